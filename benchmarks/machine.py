"""What the figures depend on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.product_rate import product_rates
from benchmarks.timing import Spread

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
_LIBRARIES = ("torch", "numpy", "scipy", "transformers", "opacus", "backpack-for-pytorch", "weightwatcher")


def describe_machine() -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions, measured product rates."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    return {
        "cpu": facts.get("model name", platform.processor()),
        "flags": [f for f in facts.get("flags", "").split() if f.startswith(("avx", "amx", "fma"))],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "gemm_gflops": {dtype: asdict(_scaled(product_rate(dtype), 1e-9)) for dtype in _DTYPES},
    }


def product_rate(dtype: str) -> Spread:
    """Floating-point operations a second of a square product on the CPU."""
    return Spread.of(product_rates(torch.device("cpu"), _DTYPES[dtype]))


def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _scaled(spread: Spread, factor: float) -> Spread:
    return replace(
        spread,
        median=spread.median * factor,
        smallest=spread.smallest * factor,
        largest=spread.largest * factor,
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
