"""How much memory this process holds, and how much it may."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

_DEFAULT_SHARE = 0.7
_STEP = 64 * 2**20


def resident_bytes() -> int:
    """Memory this process holds now, rounded up to 64 MiB so that plans made twice agree."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        held = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        held = peak if sys.platform == "darwin" else peak * 1024
    return -(-held // _STEP) * _STEP


def default_budget(device: torch.device) -> int:
    """70 % of the device's memory; on the CPU, of what this machine or its container may use."""
    if device.type == "cuda":
        return int(_DEFAULT_SHARE * torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return int(_DEFAULT_SHARE * total)
