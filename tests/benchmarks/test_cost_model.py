"""The cost model against what torch itself counts."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks import ours
from benchmarks.cost_model import cost_of
from benchmarks.workloads import WORKLOADS, build

aten = torch.ops.aten
TINY = WORKLOADS["tiny"]


def _matrix_product(_total, left, right, **_kwargs):
    return 2 * left[0] * left[1] * right[1]


def _batched_product(_total, left, right, **_kwargs):
    return 2 * left[0] * left[1] * left[2] * right[2]


def _attention(query, key, value, *_args, **_kwargs):
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient, query, key, value, *_args, **_kwargs):
    return sdpa_backward_flop_count(gradient, query, key, value)


# The counter knows neither the in-place products nor the CPU's attention kernel.
MISSING = {
    aten.addmm_: _matrix_product,
    aten.baddbmm_: _batched_product,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


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
    model, probe = build(work)
    with FlopCounterMode(display=False, custom_mapping=MISSING) as counter:
        ours.scan(model, probe, work.settings(), batch_size=4)
    expected = cost_of(work, batch_size=4, causal_share=1.0)
    # What the model leaves out: products with vectors, and rows that are shared out unevenly.
    assert counter.get_total_flops() == pytest.approx(expected.total, rel=0.05)


def test_twice_the_sequences_cost_twice_the_passes():
    once = cost_of(TINY, batch_size=4)
    double = replace(
        TINY, num_sequences=2 * TINY.num_sequences, num_gradient_sequences=2 * TINY.num_gradient_sequences
    )
    twice = cost_of(double, batch_size=4)
    for part in ("forward", "backward", "head", "gradients", "covariance"):
        assert twice.operations[part] == 2 * once.operations[part]
    assert twice.operations["gram"] == 4 * once.operations["gram"]
