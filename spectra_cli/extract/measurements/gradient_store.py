"""Per-sequence gradients of one matrix, held dense or as factors until their Gram is formed.

Shape suffixes: N sequences, B of them in a batch, T tokens, O fan_out, I fan_in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.algebra.gram import add_gram_, gram_on_one_core, mirror_upper_

# Float64 columns of the gradient stack that are in flight at once: what a core's share of the cache holds.
GRAM_CHUNK_BYTES = 6 * 2**20
# Gradients formed from their factors at once, in the factors' dtype: enough for products of some 500 x 500.
TILE_BYTES = 32 * 2**20


class GradientStore(Protocol):
    """Where the gradients of one matrix wait, one row a sequence."""

    def add(self, start: int, inputs: Tensor, delta: Tensor, counts: Sequence[int] | None = None) -> None:
        """Add `delta^T inputs` of each sequence to rows `start`, `start + 1`, ...

        Args:
            start: first row.
            inputs: (B, T, I), or token ids (B, T) when the matrix is an embedding.
            delta: (B, T, O).
            counts: tokens of each of the B sequences, n in all, where each brings some of its tokens only,
                or none: a zero gradient. Then `inputs` are (n, I), sequence after sequence, and `delta`
                (n, O).
        """

    def merge(self, other: Self) -> None:
        """Take over the gradients of the sequences that another store of the matrix was given."""

    @property
    def on_one_core(self) -> bool:
        """Whether `gram` is the work of one core, so that several do well side by side."""

    def gram(self) -> Tensor:
        """K = G G^T: (N, N) float64."""


def dense_bytes(num_sequences: int, shape: tuple[int, int], *, width: int) -> int:
    """Memory of `DenseGradients` with `width` bytes a value."""
    return num_sequences * shape[0] * shape[1] * width


def factor_bytes(num_sequences: int, length: int, shape: tuple[int, int], *, width: int) -> int:
    """Memory of `FactoredGradients` with `width` bytes a value."""
    return num_sequences * length * (shape[0] + shape[1]) * width


def tile_bytes(num_sequences: int, shape: tuple[int, int], *, width: int) -> int:
    """Memory of the gradients that `FactoredGradients.gram` forms at once, with `width` bytes a value."""
    return min(TILE_BYTES, dense_bytes(num_sequences, shape, width=width))


class DenseGradients:
    """G itself: (N, O, I), in float32 or float64; products of bfloat16 factors are bfloat16."""

    def __init__(
        self,
        num_sequences: int,
        shape: tuple[int, int],
        *,
        dtype: torch.dtype,
        arena: Arena,
        half_products: bool = False,
    ) -> None:
        """Room for `num_sequences` gradients of a matrix of `shape` (O, I); zeros until they are added.

        With `half_products` each batch's gradients are formed in bfloat16, as autograd would.
        """
        self._stack = arena.empty(num_sequences, *shape, dtype=dtype)
        self._written = [False] * num_sequences
        self._half = half_products

    def add(self, start: int, inputs: Tensor, delta: Tensor, counts: Sequence[int] | None = None) -> None:
        """See `GradientStore.add`; a module called twice in one pass adds its second part."""
        if counts is not None:
            self._add_some(start, counts, inputs, delta)
            return
        rows = self._stack[start : start + delta.shape[0]]
        again = self._written[start]
        if inputs.dim() == delta.dim() - 1:
            if not again:
                rows.zero_()
            for row, ids, part in zip(rows, inputs, delta.to(self._stack.dtype), strict=True):
                row.index_add_(0, ids, part)
        elif self._half:
            product = torch.bmm(delta.bfloat16().transpose(1, 2), inputs.bfloat16())
            rows.add_(product) if again else rows.copy_(product)
        else:
            rows.baddbmm_(
                delta.to(self._stack.dtype).transpose(1, 2),
                inputs.to(self._stack.dtype),
                beta=1 if again else 0,
            )
        self._written[start : start + delta.shape[0]] = [True] * delta.shape[0]

    def _add_some(self, start: int, counts: Sequence[int], inputs: Tensor, delta: Tensor) -> None:
        dtype = torch.bfloat16 if self._half else self._stack.dtype
        parts = zip(inputs.to(dtype).split(list(counts)), delta.to(dtype).split(list(counts)), strict=True)
        for sequence, (own_inputs, own_delta) in enumerate(parts, start):
            if not len(own_inputs):
                continue
            row, again = self._stack[sequence], self._written[sequence]
            if self._half:
                product = own_delta.T @ own_inputs
                row.add_(product) if again else row.copy_(product)
            else:
                row.addmm_(own_delta.T, own_inputs, beta=1 if again else 0)
            self._written[sequence] = True

    def merge(self, other: Self) -> None:
        """See `GradientStore.merge`."""
        for sequence in (i for i, written in enumerate(other._written) if written):
            if self._written[sequence]:
                raise AssertionError(f"sequence {sequence} was measured twice")
            self._stack[sequence] = other._stack[sequence]
            self._written[sequence] = True

    def rows(self) -> Tensor:
        """The gradients: (N, O, I)."""
        for row, written in zip(self._stack, self._written, strict=True):
            if not written:
                row.zero_()
        return self._stack

    @property
    def on_one_core(self) -> bool:
        """See `GradientStore.on_one_core`."""
        return self._stack.device.type == "cpu"

    def gram(self) -> Tensor:
        """See `GradientStore.gram`; summed in float64 over chunks of columns."""
        flat = self.rows().flatten(1)
        if self.on_one_core:
            return torch.from_numpy(gram_on_one_core(flat.numpy()))
        total = flat.new_zeros(flat.shape[0], flat.shape[0], dtype=torch.float64)
        _add_gram_of(flat, total, _chunk_room(flat))
        return mirror_upper_(total)


class FactoredGradients:
    """G as its factors: inputs (N, T, I) and output gradients (N, T, O), for short sequences.

    The gradients are formed a tile of outputs by inputs at a time, when the Gram is: of all sequences, since
    the Gram needs them together, and as square as may be, since a narrow product runs at a fraction of the
    machine's rate.
    """

    def __init__(
        self,
        num_sequences: int,
        length: int,
        shape: tuple[int, int],
        *,
        dtype: torch.dtype,
        arena: Arena,
    ) -> None:
        """Room for `num_sequences` sequences of `length` tokens at a matrix of `shape` (O, I).

        With `dtype` bfloat16 the gradients are formed in bfloat16 too, as autograd would.
        """
        self._delta = arena.empty(num_sequences, length, shape[0], dtype=dtype)
        self._inputs = arena.empty(num_sequences, length, shape[1], dtype=dtype)
        self._filled = [0] * num_sequences

    def add(self, start: int, inputs: Tensor, delta: Tensor, counts: Sequence[int] | None = None) -> None:
        """See `GradientStore.add`; parts of a sequence are laid one behind the other, and positions without a
        token stay zero.
        """
        if counts is None:
            self._lay(slice(start, start + delta.shape[0]), inputs, delta)
            return
        parts = zip(inputs.split(list(counts)), delta.split(list(counts)), strict=True)
        for sequence, (own_inputs, own_delta) in enumerate(parts, start):
            if len(own_inputs):
                self._lay(slice(sequence, sequence + 1), own_inputs, own_delta)

    def _lay(self, sequences: slice, inputs: Tensor, delta: Tensor) -> None:
        """Lay the tokens of some sequences, as many of each, behind those that are there."""
        first = self._filled[sequences.start]
        last = first + delta.shape[-2]
        if last > self._delta.shape[1]:
            raise ModelError(
                f"a matrix of shape ({self._delta.shape[2]}, {self._inputs.shape[2]}) is used more than "
                f"once in one pass: {last} positions of {self._delta.shape[1]}; weights shared between "
                "layers cannot be measured as separate ones: leave it out of --matrices"
            )
        self._delta[sequences, first:last] = delta
        self._inputs[sequences, first:last] = inputs
        self._filled[sequences] = [last] * (sequences.stop - sequences.start)

    def merge(self, other: Self) -> None:
        """See `GradientStore.merge`."""
        for sequence in (i for i, filled in enumerate(other._filled) if filled):
            if self._filled[sequence]:
                raise AssertionError(f"sequence {sequence} was measured twice")
            self._delta[sequence] = other._delta[sequence]
            self._inputs[sequence] = other._inputs[sequence]
            self._filled[sequence] = other._filled[sequence]

    @property
    def on_one_core(self) -> bool:
        """See `GradientStore.on_one_core`: the gradients are formed in torch, by all cores."""
        return False

    def gram(self) -> Tensor:
        """See `GradientStore.gram`."""
        for sequence, filled in enumerate(self._filled):
            self._delta[sequence, filled:] = 0
            self._inputs[sequence, filled:] = 0
        total = self._delta.new_zeros(len(self._filled), len(self._filled), dtype=torch.float64)
        parts = list(self._tiles())
        # one tile after the other in the same memory: the largest is cut first
        room = self._delta.new_empty(self._tile_shape(*parts[0]))
        chunks = _chunk_room(room)
        for outputs, inputs in parts:
            shape = self._tile_shape(outputs, inputs)
            tile = room.flatten()[: math.prod(shape)].view(shape)
            torch.bmm(self._delta[:, :, outputs].transpose(1, 2), self._inputs[:, :, inputs], out=tile)
            _add_gram_of(tile.flatten(1), total, chunks)
        return mirror_upper_(total)

    def _tile_shape(self, outputs: slice, inputs: slice) -> tuple[int, int, int]:
        return len(self._filled), outputs.stop - outputs.start, inputs.stop - inputs.start

    def _tiles(self) -> Iterator[tuple[slice, slice]]:
        """Outputs and inputs of every tile, of at most `TILE_BYTES` for all sequences together."""
        entries = max(1, TILE_BYTES // (len(self._filled) * self._delta.element_size()))
        num_outputs = min(self._delta.shape[2], math.isqrt(entries))
        for outputs in _equal_parts(self._delta.shape[2], num_outputs):
            for inputs in _equal_parts(self._inputs.shape[2], entries // num_outputs):
                yield outputs, inputs


def _equal_parts(size: int, most: int) -> Iterator[slice]:
    """`range(size)` in the fewest parts of at most `most`, of about equal size."""
    step = math.ceil(size / math.ceil(size / most))
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def _add_gram_of(rows: Tensor, total: Tensor, room: Tensor) -> None:
    """Add the Gram of `rows` (N, P) to the upper tiles of `total`: float64, a chunk of columns at a time.

    `room` is where chunks are widened, one after the other: on the CPU fresh memory costs more than that.
    """
    for chunk in rows.split(len(room) // len(rows), dim=1):
        add_gram_(total, room[: chunk.numel()].view(chunk.shape).copy_(chunk))


def _chunk_room(rows: Tensor) -> Tensor:
    """Room for float64 chunks of `rows` (N, ...), see `_add_gram_of`."""
    num_columns = max(1, min(GRAM_CHUNK_BYTES // (8 * len(rows)), rows[0].numel()))
    return rows.new_empty(len(rows) * num_columns, dtype=torch.float64)
