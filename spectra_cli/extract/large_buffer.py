"""Memory for large arrays that live through a pass: mapped on its own on the CPU.

On the heap such an array would leave a hole that the next checkpoint's arrays need not fit into, and
memory would creep up along a series. No huge pages: clearing those took three times as long as the page
faults that they spare (measured on a virtual machine whose host takes freed memory back).
"""

from __future__ import annotations

import math
import mmap
import sys

import torch
from torch import Tensor

# Below this the heap serves as well.
SMALLEST_BYTES = 4 * 2**20


def large_zeros(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros whose memory goes back to the system with the tensor; pages are touched when written."""
    num_bytes = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or num_bytes < SMALLEST_BYTES or sys.platform == "win32":
        return torch.zeros(shape, dtype=dtype, device=device)
    # private: the default, shared memory, would count against the system's limit for it
    pages = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).view(shape)
