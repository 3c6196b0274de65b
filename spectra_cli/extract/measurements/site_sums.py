"""What accumulates at one site of the residual stream, block by block of sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from spectra_cli.extract.device import host_zeros
from spectra_cli.extract.measurements.algebra.gram import ShiftedSums, packed_size

# A packed triangle of float64 takes what a full float32 square does; beyond this width, half of that.
_WIDEST_FLOAT64_BLOCK = 1024


def sums_bytes(width: int, num_blocks: int) -> int:
    """What one site's `SiteSums` hold on the device: products, and vectors and scalars a block."""
    return 8 * (2 * (width**2 + width + 1) + width + num_blocks * (2 * width + 3))


def packed_bytes(width: int, num_blocks: int) -> int:
    """What they hold on the host: the packed moment of each block."""
    return num_blocks * packed_size(width) * _packed_dtype(width).itemsize


def _packed_dtype(width: int) -> torch.dtype:
    return torch.float64 if width <= _WIDEST_FLOAT64_BLOCK else torch.float32


class BlockSums:
    """The sums of finished blocks, a row each: tiles of moments on the host, the rest on the device.

    All of it is taken before the first batch. Rows that were taken one by one would lie between the arrays
    of the batches, and the heap would have to grow around them for as long as batches come.
    """

    def __init__(self, num_blocks: int, like: Tensor) -> None:
        """Rooms for `num_blocks` blocks, for rows on the device of `like`: (D,)."""
        self.finished = [False] * num_blocks
        width = len(like)
        self.count, self.trace, self.first_square = like.new_zeros(3, num_blocks)
        self.mean, self.first_sum = like.new_zeros(2, num_blocks, width)
        self.packed = host_zeros(
            num_blocks, packed_size(width), dtype=_packed_dtype(width), reads_from=like.device
        )

    def take(self, other: BlockSums) -> None:
        """Take over the blocks that another has finished."""
        for row in (row for row, finished in enumerate(other.finished) if finished):
            if self.finished[row]:
                raise AssertionError(f"block {row} was measured twice")
            for name in ("count", "trace", "first_square", "mean", "first_sum", "packed"):
                getattr(self, name)[row] = getattr(other, name)[row]
            self.finished[row] = True


class SiteSums:
    """What accumulates at one site: all rows, and those of the current block before it is finished."""

    def __init__(self, width: int, num_blocks: int, device: torch.device) -> None:
        """Start empty, for rows of `width` on `device`."""
        self._pilot = torch.zeros(width, dtype=torch.float64, device=device)
        self._has_pilot = False
        self.total = ShiftedSums(self._pilot)
        self.blocks = BlockSums(num_blocks, self._pilot)
        self._current = ShiftedSums(self._pilot)

    def add(self, rows_BTD: Tensor, keep_B: Tensor, *, block: int) -> None:
        """Take in the rows of sequences of one block, of which those with `keep_B` true count.

        The first ones give the pilot mean that all rows are summed about.
        """
        if not self._has_pilot:
            self._pilot.copy_(rows_BTD.masked_fill(~keep_B[:, None, None], 0.0).mean((0, 1)))
            self._has_pilot = True
        self._current.add(rows_BTD.flatten(0, 1), keep_B.repeat_interleave(rows_BTD.shape[1]))
        first = rows_BTD[:, 0].masked_fill(~keep_B[:, None], 0.0)
        self.blocks.first_sum[block] += first.sum(0)
        self.blocks.first_square[block] += first.square().sum()

    def finish_block(self, row: int) -> None:
        """Keep the sums of the current block as those of block `row`, and begin the next."""
        blocks = self.blocks
        blocks.count[row] = self._current.count
        blocks.mean[row] = self._current.mean
        blocks.trace[row] = self._current.trace()
        blocks.packed[row].copy_(self._current.packed_moment(), non_blocking=True)
        blocks.finished[row] = True
        self.total.take(self._current)

    def merge(self, other: SiteSums) -> None:
        """Take in the blocks of another, each of which it saw whole."""
        if not self._has_pilot:  # zero would be far from all rows
            self._pilot.copy_(other._pilot)
            self._has_pilot = other._has_pilot
        self.total.merge(other.total)
        self.blocks.take(other.blocks)
