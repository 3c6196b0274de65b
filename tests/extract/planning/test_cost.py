"""The cost model against what torch itself counts."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.workloads import WORKLOADS, build, build_model
from spectra_cli.core.errors import BudgetError
from spectra_cli.extract.engine import measure
from spectra_cli.extract.measurements.algebra.cores import num_workers
from spectra_cli.extract.measurements.algebra.gram import packed_size
from spectra_cli.extract.measurements.gradient_store import DenseGradients
from spectra_cli.extract.planning.activation_function import activation_of, hidden_features
from spectra_cli.extract.planning.cost import PARTS, scan_cost, scan_work
from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.extract.planning.rates import measure_rates

aten = torch.ops.aten
TINY = WORKLOADS["tiny"]


def _matrix_product(_total, left, right, **_kwargs):
    return 2 * left[0] * left[1] * right[1]


def _batched_product(_total, left, right, **_kwargs):
    return 2 * left[0] * left[1] * left[2] * right[2]


def _linear(inputs, weight, *_args, **_kwargs):
    return 2 * math.prod(inputs) * weight[0]


def _attention(query, key, value, *_args, **_kwargs):
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient, query, key, value, *_args, **_kwargs):
    return sdpa_backward_flop_count(gradient, query, key, value)


# The counter knows neither the in-place products nor the CPU's linear maps and attention kernel.
MISSING = {
    aten.addmm_: _matrix_product,
    aten.baddbmm_: _batched_product,
    torch.ops.mkldnn._linear_pointwise: _linear,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def smallest_budget(model, settings):
    with pytest.raises(BudgetError) as refusal:
        plan_scan(model, settings, device=torch.device("cpu"), budget_bytes=1)
    return 2**20 * int(re.search(r"smallest plan needs (\d+) MiB", str(refusal.value))[1])


def cost_of(work, *, causal_share=0.5, budget_bytes=None):
    model, probe = build(work)
    plan = plan_scan(
        model, work.settings(), device=torch.device("cpu"), batch_size=4, budget_bytes=budget_bytes
    )
    return model, probe, plan, scan_cost(model, work.settings(), plan, causal_share=causal_share)


@pytest.fixture
def gram_in_torch(monkeypatch):
    """The counter sees the products of torch, not a Gram that a core forms in numpy with fewer of them."""
    monkeypatch.setattr(DenseGradients, "on_one_core", False)


@pytest.mark.usefixtures("gram_in_torch")
@pytest.mark.parametrize(
    "work",
    [
        TINY,
        replace(TINY, layers="1", matrices=("mlp.down",)),
        replace(TINY, layers="1,2", matrices=("attn.o", "attn.q")),
        replace(TINY, num_sequences=6, num_gradient_sequences=20),
    ],
    ids=["all", "one matrix", "two layers", "more gradients"],
)
def test_operations_are_those_that_torch_counts(work):
    model, probe, plan, cost = cost_of(work, causal_share=1.0)
    with FlopCounterMode(display=False, custom_mapping=MISSING) as counter:
        measure(model, probe, work.settings(), plan, progress=lambda *_: None)
    # What the cost model leaves out: products with vectors, and rows that are shared out unevenly.
    assert counter.get_total_flops() == pytest.approx(cost.total, rel=0.05)


@pytest.mark.usefixtures("gram_in_torch")
def test_operations_of_several_passes_are_those_that_torch_counts():
    work = replace(TINY, width=64, num_gradient_sequences=64, num_sequences=64, sequence_length=96)
    model = build(work)[0]
    budget = smallest_budget(model, work.settings())
    model, probe, plan, cost = cost_of(work, causal_share=1.0, budget_bytes=budget)
    assert len(plan.passes) > 3
    with FlopCounterMode(display=False, custom_mapping=MISSING) as counter:
        measure(model, probe, work.settings(), plan, progress=lambda *_: None)
    assert counter.get_total_flops() == pytest.approx(cost.total, rel=0.05)


def test_twice_the_sequences_cost_twice_the_passes():
    once = cost_of(TINY)[-1]
    double = replace(
        TINY, num_sequences=2 * TINY.num_sequences, num_gradient_sequences=2 * TINY.num_gradient_sequences
    )
    twice = cost_of(double)[-1]
    for part in ("forward", "backward", "head"):
        assert twice.passes[part] == 2 * once.passes[part]
    assert twice.gradients == 2 * once.gradients
    assert twice.sums["covariance"] == 2 * once.sums["covariance"]
    assert twice.sums["gram"] == 4 * once.sums["gram"]


def test_no_scan_is_faster_than_its_products():
    cost = cost_of(TINY)[-1]
    assert cost.seconds(pass_rate=1.0, sum_rate=1.0, profile_rate=1.0) == pytest.approx(cost.total)
    assert cost.seconds(pass_rate=1e30, sum_rate=0.5, profile_rate=1e30) == pytest.approx(
        2 * sum(cost.sums.values())
    )


ALL = ("activation_covariance", "gradient", "weight")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return build_model(TINY)


@pytest.fixture
def work_of(model):
    def work(measurements=ALL, **changes):
        settings = replace(TINY.settings(), measurements=measurements, **changes)
        plan = plan_scan(model, settings, device=CPU, batch_size=4)
        return settings, plan, scan_work(model, settings, plan, num_bytes=1000)

    return work


def test_products_are_those_of_the_cost_model(model, work_of):
    settings, plan, work = work_of()
    cost = scan_cost(model, settings, plan)
    scores = work["attention"] + work["attention_backward"]
    assert work["maps"] + scores == pytest.approx(cost.passes["forward"] + cost.passes["backward"])
    layers, width, length = TINY.num_layers, TINY.width, TINY.sequence_length
    tokens = TINY.num_sequences * length
    assert work["attention"] == tokens * layers * 2.0 * length * width
    assert (work["head"], work["gradients"]) == (cost.passes["head"], cost.gradients)


def test_what_lies_between_the_maps_is_counted_by_token(model, work_of):
    _, _, work = work_of()
    trained = TINY.num_gradient_sequences * TINY.sequence_length
    alone = (TINY.num_sequences - TINY.num_gradient_sequences) * TINY.sequence_length
    assert hidden_features(model) == TINY.num_layers * 4 * TINY.width
    for kind, each in (
        ("norms", 2 * TINY.num_layers * TINY.width),
        ("activations", TINY.num_layers * 4 * TINY.width),
        ("logits", TINY.vocab_size),
    ):
        assert work[kind] == alone * each
        assert work[f"{kind}_backward"] == trained * each
    # batches of four: four with backward, two without
    assert work["calls"] == TINY.num_layers * (4 * 180 + 2 * 60)


def test_eigendecompositions_are_those_of_sites_and_of_both_spectra_of_a_gradient(work_of):
    _, plan, work = work_of()
    sites, matrices, n = TINY.num_layers, 4 * TINY.num_layers, TINY.num_gradient_sequences
    workers = num_workers(n)
    for power, kind in ((3, "eigen_cubes"), (2, "eigen_squares")):
        assert work[kind] == pytest.approx((sites * TINY.width**power + 2 * matrices * n**power) / workers)
    waits = {member.address: member.factored for step in plan.passes for member in step.members}
    assert [address for address, factored in waits.items() if factored] == [
        f"blocks.{layer}.mlp.down" for layer in range(TINY.num_layers)
    ]
    square = TINY.num_layers * TINY.width**2
    assert work["gram"] == pytest.approx(2 * packed_size(n) * 3 * square / workers)
    assert work["gram_of_factors"] == pytest.approx(2 * packed_size(n) * 4 * square)


def test_weights_cost_a_gram_and_the_eigenvalues_of_their_small_side(work_of):
    _, _, work = work_of(("weight",))
    width, layers, workers = TINY.width, TINY.num_layers, num_workers(TINY.width)
    assert set(work) == {"bytes", "models", "weight_products", "weight_cubes", "weight_squares"}
    assert work["bytes"] == 1000
    assert work["weight_products"] == pytest.approx(layers * (3 + 4) * width**3 / workers)
    assert work["weight_cubes"] == pytest.approx(4 * layers * width**3 / workers)


def test_leading_vectors_add_the_drift_of_each_weight(work_of):
    _, _, alone = work_of(("weight",))
    _, _, work = work_of(("weight",), num_vectors=8)
    area = TINY.num_layers * 7 * TINY.width**2
    assert work["drift_values"] == pytest.approx(area / num_workers(TINY.width))
    assert work["vector_cubes"] == work["weight_cubes"] == alone["weight_cubes"]
    assert work["weight_products"] > 2 * alone["weight_products"]


def test_gradients_on_fewer_sequences_leave_the_forward_pass_as_it_is(work_of):
    _, _, all_of_them = work_of()
    _, _, fewer = work_of(num_gradient_sequences=8)
    assert fewer["attention"] == all_of_them["attention"]
    assert fewer["gradients"] == pytest.approx(all_of_them["gradients"] / 2)


@pytest.mark.parametrize("changes", [{}, {"dtype": "float64"}, {"dtype": "bfloat16"}, {"num_vectors": 4}])
def test_each_kind_of_work_has_a_part_and_a_rate(model, work_of, changes):
    settings, plan, work = work_of(**changes)
    rates = measure_rates(model, settings, plan, seconds_of_a_model=0.01)
    assert set(work) <= set(rates.seconds) <= set(PARTS)
    seconds = rates.of(work)
    assert all(value >= 0 for value in seconds.values())
    assert seconds["models"] == pytest.approx(0.01 * work["models"])
    assert sum(seconds.values()) > 0


def test_the_activation_is_the_models_own(model_of):
    values = torch.linspace(-2, 2, 5)
    for name, expected in (("llama", torch.nn.functional.silu), ("variant-6", None)):
        found = activation_of(model_of(name))(values)
        wanted = values.clamp(min=0).square() if expected is None else expected(values)
        torch.testing.assert_close(found, wanted)
