"""The merge itself, in closed form; that it is PEFT's is in test_source.py."""

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.merge import merge, merged_headers, update_of
from spectra_cli.extract.checkpoints.adapter.placement import AdaptedMatrix, Placement
from spectra_cli.extract.checkpoints.files.state_dicts import header_of

A, B = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[1.0], [3.0]])
W = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
SUM = torch.tensor([[3.0, 4.0, 0.0], [6.0, 13.0, 0.0]])  # W + 2 B A


def matrix(**changes):
    fields = {
        "module": "m",
        "parameter": "m.weight",
        "a": "a",
        "b": "b",
        "magnitude": "",
        "bias": "",
        "flipped": False,
        "scale": 2.0,
    }
    return AdaptedMatrix(**(fields | changes))


def placement(*adapted, replaced=None, copies=None):
    return Placement(adapted=adapted, replaced=replaced or {}, copies=copies or {}, untouched=())


def both(where, tensors, base):
    """The merged state, after a look at its headers."""
    state = merge(where, tensors, base)
    heads = merged_headers(
        where, {n: header_of(t) for n, t in tensors.items()}, {n: header_of(t) for n, t in base.items()}
    )
    assert heads == {name: header_of(tensor) for name, tensor in state.items()}
    return state


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_lora(dtype):
    base = {"m.weight": W.to(dtype), "other": W}
    state = both(placement(matrix()), {"a": A, "b": B}, base)
    assert state["m.weight"].dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(state["m.weight"], SUM.to(state["m.weight"].dtype))
    assert state["other"] is base["other"]
    assert torch.equal(base["m.weight"], W.to(dtype))  # what is mapped from a file is left alone


def test_dora_sets_the_norm_of_every_output():
    tensors = {"a": A, "b": B, "m": torch.tensor([10.0, 1.0])}
    state = both(placement(matrix(magnitude="m")), tensors, {"m.weight": W})
    torch.testing.assert_close(state["m.weight"][0], torch.tensor([6.0, 8.0, 0.0]))
    torch.testing.assert_close(state["m.weight"].norm(dim=1), tensors["m"])
    flipped = both(placement(matrix(magnitude="m", flipped=True)), tensors, {"m.weight": W.T.contiguous()})
    torch.testing.assert_close(flipped["m.weight"].T, state["m.weight"])


def test_a_flipped_update_is_the_transpose():
    state = both(placement(matrix(flipped=True)), {"a": A, "b": B}, {"m.weight": W.T.contiguous()})
    assert torch.equal(state["m.weight"], SUM.T)


def test_whole_tensors_copies_and_biases():
    tensors = {"a": A, "b": B, "new": torch.ones(5), "beta": torch.tensor([1.0, 2.0])}
    base = {"m.weight": W, "m.bias": torch.zeros(2), "old": torch.zeros(5)}
    where = placement(matrix(bias="beta"), replaced={"old": "new"}, copies={"copy": "m.weight"})
    state = both(where, tensors, base)
    assert torch.equal(state["old"], tensors["new"])
    assert torch.equal(state["copy"], W)  # as it was before the update
    assert torch.equal(state["m.bias"], torch.tensor([2.0, 4.0]))
    with pytest.raises(CheckpointError, match=r"lora_bias needs m\.bias"):
        merged_headers(placement(matrix(bias="beta")), {}, {"m.weight": header_of(W)})


def test_factors_stay_what_is_stored():
    update = update_of(matrix(), {"a": A.half(), "b": B.half()}, {})
    assert (update.left.dtype, update.scale, update.rescaling) == (torch.float16, 2.0, None)
