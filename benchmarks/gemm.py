"""This machine's measured matrix-product rate, against which a scan's operations are held."""

from __future__ import annotations

import time

import torch

from benchmarks.timing import Spread

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def gemm_rate(dtype: str, *, size: int = 2048, rounds: int = 7) -> Spread:
    """Floating-point operations a second of a square product: `2 size^3 / seconds`.

    Args:
        dtype: `float32`, `float64` or `bfloat16`.
        size: rows and columns; from about 1,000 on the rate depends little on it.
        rounds: repetitions, after one that is not counted.
    """
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(size, size, generator=generator).to(DTYPES[dtype])
    right = torch.randn(size, size, generator=generator).to(DTYPES[dtype])
    out = torch.empty(size, size, dtype=DTYPES[dtype])
    rates = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        rates.append(2 * size**3 / (time.perf_counter() - started))
    return Spread.of(rates[1:])
