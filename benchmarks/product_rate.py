"""The rate of matrix products on this device."""

from __future__ import annotations

import time
from functools import partial

import torch

from spectra_cli.extract.device import wait_for
from spectra_cli.extract.passes.onednn_linear import float32_product, has_onednn


def product_rates(
    device: torch.device, dtype: torch.dtype, *, size: int = 2048, rounds: int = 7
) -> list[float]:
    """Floating-point operations a second of a square product, `2 size^3 / seconds`, one a round.

    Args:
        device: where.
        dtype: float32 (without TF32), float64 or bfloat16.
        size: rows and columns; from about 1,000 on the rate depends little on it.
        rounds: repetitions, after one that is not counted.
    """
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2))
    # what a pass works with
    by_onednn = device.type == "cpu" and dtype == torch.float32 and has_onednn()
    multiply = float32_product if by_onednn else partial(torch.mm, out=torch.empty_like(left))
    rates = []
    for _ in range(rounds + 1):
        wait_for(device)
        started = time.perf_counter()
        multiply(left, right)
        wait_for(device)
        rates.append(2 * size**3 / (time.perf_counter() - started))
    return rates[1:]
