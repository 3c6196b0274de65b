import math

import pytest
import torch

from spectra_cli.extract import digest
from spectra_cli.extract.checkpoints.tensors.non_finite import non_finite

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("chunk_bytes", [1, 64, 1 << 26])
def test_counts_are_exact_whatever_the_chunks(dtype, chunk_bytes, monkeypatch):
    monkeypatch.setattr(digest, "_CHUNK_BYTES", chunk_bytes)
    tensor = torch.ones(40, 3).to(dtype)
    assert non_finite({"w": tensor}) == ""
    tensor[0, 1] = tensor[39, 2] = torch.tensor(math.nan).to(dtype)
    assert non_finite({"w": tensor, "v": torch.zeros(2)}) == "w (2 of 120)"
    assert non_finite({"w": tensor.T}) == "w (2 of 120)"


def test_infinities_of_both_signs_and_one_number():
    tensor = torch.tensor([math.inf, -math.inf, 0.0])
    assert non_finite({"w": tensor, "s": torch.tensor(math.inf)}) == "w (2 of 3), s (1 of 1)"


def test_a_sum_that_overflows_is_no_infinite_weight():
    assert non_finite({"w": torch.full((4, 4), 6e4, dtype=torch.float16)}) == ""
    assert non_finite({"w": torch.full((4,), 3e38)}) == ""


def test_many_tensors_are_counted_and_integers_left_alone():
    state = {f"w{i}": torch.tensor([math.nan]) for i in range(7)}
    assert non_finite(state).endswith("w3 (1 of 1) and 3 more tensors")
    assert (
        non_finite({"ids": torch.arange(4), "mask": torch.ones(2, dtype=torch.bool), "e": torch.empty(0)})
        == ""
    )
