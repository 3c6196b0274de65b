import dataclasses
import re

import pytest
import torch

from spectra_cli.core.errors import BudgetError, UsageError
from spectra_cli.core.types import Status
from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.extract.selection import select_layers, select_matrices

CPU = torch.device("cpu")
MIB = 2**20
GIB = 2**30


@pytest.fixture
def settings(make_probe, settings_for):
    return settings_for(make_probe(16, 8), matrices=("all", "embed"), num_gradient_sequences=400)


@pytest.fixture
def skeleton(skeleton_of):
    # large enough for the gradients to outweigh the loss's buffers
    return skeleton_of("variant-3", num_layers=4, width=256)


def smallest(model, settings):
    low, high = 0, 2**44
    while high - low > 1:
        middle = (low + high) // 2
        try:
            plan_scan(model, settings, device=CPU, budget_bytes=middle)
        except BudgetError:
            low = middle
        else:
            high = middle
    return high


def test_memory_is_kept_only_where_the_next_checkpoint_fits_beside_it(skeleton, settings):
    budget = 8 * GIB
    room = budget - plan_scan(skeleton, settings, device=CPU, budget_bytes=budget).peak_bytes
    for checkpoint_bytes, kept in ((room // 2, True), (room // 2 + 1, False)):
        plan = plan_scan(
            skeleton, settings, device=CPU, budget_bytes=budget, checkpoint_bytes=checkpoint_bytes
        )
        assert plan.keeps_memory is kept


def test_a_large_budget_takes_one_pass(skeleton, settings):
    plan = plan_scan(skeleton, settings, device=CPU, budget_bytes=2**40)
    assert len(plan.passes) == 1
    assert plan.sequences_to_run == plan.num_sequences == 400
    assert plan.batch_size == 256  # the 2048 / 8 that a batch on the CPU may hold


@pytest.mark.parametrize("share", [1.0, 1.05, 1.3, 2.0, 4.0])
def test_every_plan_fits_and_holds_each_matrix_once(share, skeleton, settings):
    budget = int(share * smallest(skeleton, settings))
    plan = plan_scan(skeleton, settings, device=CPU, budget_bytes=budget)
    assert plan.peak_bytes <= budget == plan.budget_bytes
    addresses = [m.address for step in plan.passes for m in step.members]
    layers = select_layers("all", 4)
    views, _ = select_matrices(skeleton, settings.matrices, layers, measurement="gradient")
    assert sorted(addresses) == sorted(v.site.address for v in views)
    assert all(step.num_sequences == 400 for step in plan.passes)
    assert plan.batch_size >= 1


def test_less_memory_takes_more_passes(skeleton, settings):
    least = smallest(skeleton, settings)
    counts = [
        len(plan_scan(skeleton, settings, device=CPU, budget_bytes=int(f * least)).passes)
        for f in (1, 1.5, 2, 3, 8)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 1


def test_the_budget_that_the_error_names_works(skeleton, settings):
    with pytest.raises(BudgetError, match="--memory") as refused:
        plan_scan(skeleton, settings, device=CPU, budget_bytes=1000)
    named = int(re.search(r"smallest plan needs (\d+) MiB", str(refused.value))[1])
    plan_scan(skeleton, settings, device=CPU, budget_bytes=named * MIB)
    assert 0 <= named * MIB - smallest(skeleton, settings) < MIB


def test_largest_matrices_are_packed_first(skeleton, settings):
    plan = plan_scan(skeleton, settings, device=CPU, budget_bytes=smallest(skeleton, settings))
    held = [sum(m.memory_bytes for m in step.members) for step in plan.passes]
    largest = max(m.memory_bytes for step in plan.passes for m in step.members)
    assert max(held) == held[0] >= largest
    # first-fit: no two passes would fit into one
    room = max(held)
    assert all(a + b > room for i, a in enumerate(held) for b in held[i + 1 :])


def test_skeleton_and_loaded_model_are_planned_alike(model_of, skeleton_of, settings):
    for name in ("llama", "gpt_neox", "variant-6"):
        one, other = (
            plan_scan(build(name), settings, device=CPU, budget_bytes=GIB)
            for build in (model_of, skeleton_of)
        )
        assert one == other


@pytest.mark.parametrize(("length", "factored"), [(2, True), (512, False)])
def test_short_sequences_wait_as_factors(length, factored, skeleton, settings):
    plan = plan_scan(
        skeleton, dataclasses.replace(settings, sequence_length=length), device=CPU, budget_bytes=2**40
    )
    members = {m.address: m for m in plan.passes[0].members}
    assert members["blocks.0.mlp.down"].factored is factored
    assert members["embed"].factored is False
    assert members["blocks.0.mlp.down"].memory_bytes == (
        400 * length * (256 + 1024) * 4 if factored else 400 * 256 * 1024 * 4
    )


def test_float64_takes_twice_the_memory(skeleton, settings):
    wide = dataclasses.replace(settings, dtype="float64")
    one, two = (plan_scan(skeleton, s, device=CPU, budget_bytes=2**40).memory_bytes for s in (settings, wide))
    assert two["model"] == 2 * one["model"]


def test_batch_size_may_be_given(skeleton, settings):
    plan = plan_scan(skeleton, settings, device=CPU, budget_bytes=2**40, batch_size=3)
    assert plan.batch_size == 3


def test_weights_alone_need_no_pass(skeleton, settings):
    plan = plan_scan(
        skeleton, dataclasses.replace(settings, measurements=("weight",)), device=CPU, budget_bytes=2**40
    )
    assert (plan.passes, plan.num_sequences, plan.sequences_to_run) == ((), 0, 0)


def test_covariance_alone_runs_its_own_sequences_forward_only(skeleton, settings):
    only = dataclasses.replace(settings, measurements=("activation_covariance",))
    plan = plan_scan(skeleton, only, device=CPU, budget_bytes=2**40)
    assert (plan.num_sequences, plan.num_gradient_sequences) == (16, 0)
    assert [step.members for step in plan.passes] == [()]
    # of the linear algebra that runs in a forward pass as well
    assert plan.memory_bytes["libraries"] > 0


def test_the_longer_probe_sets_the_first_pass(skeleton, settings):
    longer = dataclasses.replace(settings, num_sequences=900)
    plan = plan_scan(skeleton, longer, device=CPU, budget_bytes=smallest(skeleton, longer))
    assert [s.num_sequences for s in plan.passes] == [900] + [400] * (len(plan.passes) - 1)


def test_what_a_pass_holds_beside_weights_is_counted(skeleton, settings):
    settings = dataclasses.replace(settings, measurements=("gradient",))
    before = plan_scan(skeleton, settings, device=CPU, budget_bytes=2**40, batch_size=4)
    holding = dataclasses.replace(skeleton, held_bytes=lambda length, width: (length * width, 10**6))
    after = plan_scan(holding, settings, device=CPU, budget_bytes=2**40, batch_size=4)
    more = {name: after.memory_bytes[name] - before.memory_bytes[name] for name in before.memory_bytes}
    beside = more.pop("allocator")
    assert beside == pytest.approx((8 * 4 + 4 * 10**6) / 20, abs=1)
    assert {name: count for name, count in more.items() if count} == {
        "model": 8 * 4,
        "activations": 4 * 10**6,
    }


def test_a_matrix_that_mixes_sequences_takes_batches_of_one(skeleton, settings):
    alone = dataclasses.replace(skeleton, alone=frozenset({"attn.q"}))
    assert plan_scan(alone, settings, device=CPU).batch_size == 1
    without = dataclasses.replace(settings, matrices=("attn.v",))
    assert plan_scan(alone, without, device=CPU, batch_size=3).batch_size == 3


def test_missing_matrices_are_named(skeleton_of, settings):
    model = skeleton_of("llama")
    first = dataclasses.replace(model, matrices=tuple(v for v in model.matrices if v.site.layer != 1))
    plan = plan_scan(
        first, dataclasses.replace(settings, matrices=("attn.q",)), device=CPU, budget_bytes=2**40
    )
    assert [(s.site.address, s.status) for s in plan.skipped] == [("blocks.1.attn.q", Status.NOT_APPLICABLE)]
    with pytest.raises(UsageError, match=r"no matrix 'attn\.x'"):
        plan_scan(model, dataclasses.replace(settings, matrices=("attn.x",)), device=CPU)


def test_weights_to_compare_with_are_counted(skeleton, settings):
    plain = plan_scan(skeleton, settings, device=CPU, budget_bytes=2**40)
    kept = dataclasses.replace(settings, num_vectors=8, measurements=("gradient", "weight"))
    compared = plan_scan(skeleton, kept, device=CPU, budget_bytes=2**40)
    views, _ = select_matrices(skeleton, settings.matrices, range(4), measurement="weight")
    entries = [view.shape[0] * view.shape[1] for view in views]
    # a float32 copy of each, and one at least in float64 with what it is compared with
    assert compared.memory_bytes["reference"] >= 4 * sum(entries) + 40 * max(entries)
    assert "reference" not in plain.memory_bytes


def test_logits_of_float64_are_twice_those_of_float32(skeleton, settings):
    for length in (8, 4096):  # below and above a chunk
        long = dataclasses.replace(settings, sequence_length=length)
        wide = dataclasses.replace(long, dtype="float64")
        one, two = (
            plan_scan(skeleton, s, device=CPU, budget_bytes=2**44, batch_size=64).memory_bytes
            for s in (long, wide)
        )
        assert two["logits"] == 2 * one["logits"] > 0


def test_spectra_of_weights_need_what_an_svd_takes(skeleton, settings):
    only = dataclasses.replace(settings, measurements=("weight",), matrices=("mlp.down",))
    memory = plan_scan(skeleton, only, device=CPU, budget_bytes=2**40).memory_bytes
    # (256, 1024) in float64: the matrix, its copy and vectors of its size, and squares on the small side
    assert memory["weights"] + memory["activations"] >= 8 * (3 * 256 * 1024 + 4 * 256**2)
    assert memory["logits"] == 0


def test_the_next_checkpoint_loads_beside_what_is_kept(skeleton, settings):
    plans = [
        plan_scan(skeleton, settings, device=CPU, budget_bytes=budget, batch_size=1, checkpoint_bytes=GIB)
        for budget in (2**40, 2 * GIB)
    ]
    assert [plan.keeps_memory for plan in plans] == [True, False]
    room = [plan.memory_bytes["logits"] + plan.memory_bytes["activations"] for plan in plans]
    assert plans[0].memory_bytes["loading"] + room[0] + plans[0].memory_bytes["weights"] >= GIB
    assert plans[1].memory_bytes["loading"] < plans[0].memory_bytes["loading"]
