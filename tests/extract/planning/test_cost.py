"""The cost model against what torch itself counts."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.workloads import WORKLOADS, build
from spectra_cli.core.errors import BudgetError
from spectra_cli.extract.engine import measure
from spectra_cli.extract.measurements.gradient_store import DenseGradients
from spectra_cli.extract.planning.cost import scan_cost
from spectra_cli.extract.planning.plan import plan_scan

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
