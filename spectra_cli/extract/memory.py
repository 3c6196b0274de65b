"""How much memory this process holds, how much it may, and what is said when there is no more."""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from spectra_cli.core.errors import OutOfMemoryError
from spectra_cli.extract.protocols import CheckpointHeader

_DEFAULT_SHARE = 0.7
_STEP = 64 * 2**20


def rounded_resident_bytes() -> int:
    """Memory this process holds now, rounded up to 64 MiB so that plans made twice agree."""
    return -(-resident_bytes() // _STEP) * _STEP


def resident_bytes() -> int:
    """Memory this process holds now."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def default_budget(device: torch.device) -> int:
    """70 % of the device's memory; on the CPU, of what this machine or its container may use."""
    if device.type == "cuda":
        return int(_DEFAULT_SHARE * torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return int(_DEFAULT_SHARE * total)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, the device's, or the CPU's under a tensor or a mapped file."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and "allocate memory" in str(error))


@contextmanager
def room_for(header: CheckpointHeader, device: torch.device) -> Iterator[None]:
    """Read a checkpoint or build its model inside.

    Raises:
        ModelError: in place of running out of memory, with what the model takes.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        values = 4 * sum(math.prod(tensor.shape) for tensor in header.tensors.values())
        raise OutOfMemoryError(
            f"{header.ref.uri}: out of memory while it was read and built on {device}: its tensors take "
            f"{in_gib(values)} in float32, beside {in_gib(header.num_bytes)} as they are stored; end other "
            "programs, or scan it on a machine with more memory"
        ) from error


def in_gib(count: int, rounded: Callable[[float], int] = math.ceil) -> str:
    """In GiB, or MiB below one: what is needed rounded up, so that the budget named does work."""
    if count < 2**30:
        return f"{rounded(count / 2**20)} MiB"
    return f"{rounded(100 * count / 2**30) / 100:.2f} GiB"
