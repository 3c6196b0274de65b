from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from spectra_cli.extract.live.untouched import untouched


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def seeded() -> tuple[float, float, float]:
    """What is drawn next, not yet drawn."""
    seed(1)
    expected = draws()
    seed(1)
    return expected


def test_what_is_drawn_inside_is_not_missing_after():
    expected = seeded()
    with untouched():
        seed(7)
        draws()
    assert draws() == expected


def test_also_where_it_ends_in_an_error():
    expected = seeded()
    with pytest.raises(ValueError, match="in vain"), untouched():
        raise ValueError(f"{draws()} in vain")
    assert draws() == expected


def test_inside_neither_autocast_nor_inference_nor_half_precision_is_on():
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), untouched():
            assert not torch.is_inference_mode_enabled()
            assert torch.is_grad_enabled()
            assert torch.get_default_dtype() is torch.float32
            weight = torch.ones(2, 2, requires_grad=True)
            product = weight @ weight
            assert product.dtype is torch.float32
            product.sum().backward()
        assert torch.get_default_dtype() is torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_device_draws_as_if_nothing_had_been():
    torch.cuda.manual_seed_all(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(1)
    with untouched():
        torch.rand(5, device="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), expected)
