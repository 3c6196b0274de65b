"""Memory that waiting gradients share, from pass to pass and from checkpoint to checkpoint.

On the CPU a store that is mapped anew for every checkpoint costs a page fault for each 4 KiB; on the heap it
would leave holes that the next checkpoint's arrays need not fit into.
"""

from __future__ import annotations

import math
import mmap
import sys

import torch
from torch import Tensor

_ALIGNMENT = 64


class Arena:
    """One mapping of its own on the CPU, cut into tensors from its start; elsewhere the device allocates."""

    def __init__(self, device: torch.device) -> None:
        """An arena without room; see `reset`."""
        self.device = device
        self._memory: Tensor | None = None
        self._used = 0

    def reset(self, num_bytes: int, num_tensors: int = 1) -> None:
        """Start anew, with room for so much in so many tensors; those cut before must not be used again."""
        self._used = 0
        wanted = num_bytes + _ALIGNMENT * num_tensors
        if self.device.type != "cpu" or sys.platform == "win32" or self._size >= wanted:
            return
        self.give_back()
        # private: the default, shared memory, would count against the system's limit for it
        pages = mmap.mmap(-1, wanted, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory = torch.frombuffer(pages, dtype=torch.uint8)

    def give_back(self) -> None:
        """Return the memory to the system, once the last tensor cut from it is gone."""
        self._memory = None

    def empty(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A tensor of whatever values were there; one that no room was made for is allocated by itself."""
        num_bytes = math.prod(shape) * dtype.itemsize
        first, last = self._used, self._used + num_bytes
        if self._memory is None or last > self._size:
            return torch.empty(shape, dtype=dtype, device=self.device)
        self._used = -(-last // _ALIGNMENT) * _ALIGNMENT
        return self._memory[first:last].view(dtype).view(shape)

    @property
    def _size(self) -> int:
        return 0 if self._memory is None else self._memory.numel()
