"""How long each kind of work takes on this machine: short samples, timed now, at the shapes of the scan."""

from __future__ import annotations

import hashlib
import mmap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from spectra_cli.core.process.heap import kept_heap
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.device import wait_for
from spectra_cli.extract.measurements.activation_covariance import normalise_rms
from spectra_cli.extract.measurements.algebra.cores import LARGEST_APART
from spectra_cli.extract.measurements.algebra.gram import (
    ShiftedSums,
    add_gram_,
    gram_on_one_core,
    packed_quadratic_forms,
    packed_size,
)
from spectra_cli.extract.passes.losses import chunk_bytes
from spectra_cli.extract.passes.onednn_linear import float32_product, has_onednn
from spectra_cli.extract.planning.activation_function import activation_of
from spectra_cli.extract.planning.mixing_memory import is_eager
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import Model

# Of one sample: what a core does in some 20 ms.
_OPERATIONS = 1e9
_VALUES = 2_000_000
_ROUNDS = 2
_CPU = torch.device("cpu")
# Sides of the eigendecompositions that n^2 and n^3 are told apart from, and of other square samples.
_SMALL, _LARGE = 128, 512
_SIDE = 384
_HEAD_WIDTH = 64
_LONGEST = 2048
# Passes of a few tokens that prove a model whole.
_SHORT_PASSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Seconds that one unit of each kind of work takes (kinds and units: see `cost.scan_work`)."""

    seconds: Mapping[str, float]

    def of(self, work: Mapping[str, float]) -> dict[str, float]:
        """Kind -> seconds of these amounts; work of kinds that were not measured is a KeyError."""
        return {kind: amount * self.seconds[kind] for kind, amount in work.items()}


def measure_rates(
    model: Model, settings: ScanSettings, plan: ScanPlan, *, seconds_of_a_model: float = 0.0
) -> Rates:
    """Time a sample of each kind of work; about a second in all.

    Args:
        model: a skeleton will do; only shapes are read, and which functions its blocks use.
        settings, plan: of the scan.
        seconds_of_a_model: that building the model without its weights took.
    """
    found = _reading() | {"models": seconds_of_a_model}
    found |= _eigen() | _weights()
    if plan.passes:
        with torch.no_grad(), kept_heap():
            sample = _Sample(model, settings, plan)
            found |= sample.products() | sample.attention() | sample.values() | sample.sums()
    return Rates(seconds=found)


class _Sample:
    """Samples of what the passes over the probe do."""

    def __init__(self, model: Model, settings: ScanSettings, plan: ScanPlan) -> None:
        self._model, self._plan = model, plan
        self._device = plan.device
        self._dtype: torch.dtype = getattr(torch, settings.dtype)
        # what lies between the maps is float32 under autocast
        self._between = torch.float64 if self._dtype == torch.float64 else torch.float32
        self._tokens = max(1, plan.batch_size) * plan.length
        self._maps = [v for v in model.matrices if v.site.layer is not None and v.expert is None]
        by_address = {view.site.address: view for view in model.matrices}
        self._measured = [by_address[m.address] for step in plan.passes for m in step.members]

    def products(self) -> dict[str, float]:
        """Of linear maps, of the head and of the gradients: seconds an operation."""
        device, width, vocabulary = self._device, self._model.width, self._model.vocab_size
        chunk = min(self._tokens, max(1, chunk_bytes(device) // (4 * vocabulary)))
        views = {view.shape for view in self._maps} or {(width, width)}
        chosen = {min(views), max(views, key=lambda shape: shape[0] * shape[1])}
        found = {
            "maps": self._per_operation([(self._tokens, *shape) for shape in sorted(chosen)]),
            "head": self._per_operation([(chunk, vocabulary, width)]),
        }
        if self._measured:
            fan_out, fan_in = max((v.shape for v in self._measured), key=lambda shape: shape[0] * shape[1])
            length = min(self._plan.length, _LONGEST)
            fan_out = max(1, min(fan_out, int(_OPERATIONS / (2 * length * fan_in))))
            delta, inputs = self._of(1, length, fan_out), self._of(1, length, fan_in)
            stack = self._of(1, fan_out, fan_in)
            work = partial(stack.baddbmm_, delta.transpose(1, 2), inputs, beta=0)
            found["gradients"] = self._timed(work) / (2 * length * fan_out * fan_in)
        return found

    def _per_operation(self, shapes: list[tuple[int, int, int]]) -> float:
        """Of `tokens` through maps of (O, I), cut to what a sample may take."""
        seconds = operations = 0.0
        for tokens, fan_out, fan_in in shapes:
            tokens = max(32, min(tokens, int(_OPERATIONS / (2 * fan_out * fan_in))))
            fan_out = max(1, min(fan_out, int(2 * _OPERATIONS / (2 * tokens * fan_in))))
            inputs, weight = self._of(tokens, fan_in), self._of(fan_out, fan_in)
            by_onednn = self._device.type == "cpu" and self._dtype == torch.float32 and has_onednn()
            multiply = float32_product if by_onednn else nn.functional.linear
            seconds += self._timed(partial(multiply, inputs, weight))
            operations += 2.0 * tokens * fan_out * fan_in
        return seconds / operations

    def attention(self) -> dict[str, float]:
        """Seconds an operation of the scores and their use, forward alone, and backward."""
        length = min(self._plan.length, _LONGEST)
        operations = 2.0 * length**2 * _HEAD_WIDTH
        heads = max(1, min(8, int(_OPERATIONS / (4 * operations))))
        shape = (1, heads, length, _HEAD_WIDTH)
        query, key, value = (self._of(*shape) for _ in range(3))
        fused = partial(nn.functional.scaled_dot_product_attention, is_causal=True)
        attend = _eager if is_eager(self._model) else fused
        forward, both = self._with_backward(attend, query, key, value)
        return {
            "attention": forward / (heads * operations),
            "attention_backward": max(both - forward, 0.0) / (2.5 * heads * operations),
        }

    def values(self) -> dict[str, float]:
        """Seconds a value of what lies between the maps, without backward and with it."""
        width, vocabulary = self._model.width, self._model.vocab_size
        tokens = max(1, min(self._tokens, _VALUES // width))
        stream, scale = self._of(tokens, width).to(self._between), self._of(width).to(self._between)
        fused = any(isinstance(module, nn.LayerNorm) for module in self._model.module.modules())
        found = self._value("norms", partial(_norm, fused, scale), stream)
        features = max((v.shape[0] for v in self._maps if v.site.component == "mlp.up"), default=4 * width)
        hidden = self._of(max(1, min(self._tokens, _VALUES // features)), features).to(self._between)
        activated = activation_of(self._model)
        found |= self._value("activations", lambda values: activated(values) * values, hidden)
        chunk = min(self._tokens, max(1, chunk_bytes(self._device) // (4 * vocabulary)))
        logits = self._of(max(1, min(chunk, _VALUES // vocabulary)), vocabulary)
        picked = torch.zeros(len(logits), 1, dtype=torch.int64, device=self._device)
        found["logits"] = self._timed(partial(_loss, logits, picked)) / logits.numel()
        found["logits_backward"] = self._timed(partial(_loss_backward, logits, picked)) / logits.numel()
        small = self._of(8)
        found["calls"] = self._timed(lambda: [small.add(small) for _ in range(100)]) / 100
        return found

    def _value(self, kind: str, function: Callable[[Tensor], Tensor], inputs: Tensor) -> dict[str, float]:
        forward, both = self._with_backward(function, inputs)
        return {kind: forward / inputs.numel(), f"{kind}_backward": both / inputs.numel()}

    def sums(self) -> dict[str, float]:
        """Seconds an operation of covariances, their error bars, and Gram matrices of gradients."""
        width, n = self._model.width, self._plan.num_gradient_sequences
        rows = max(64, min(self._tokens, int(_OPERATIONS / (2 * packed_size(width)))))
        hidden = self._of(rows, width)
        sums = ShiftedSums(torch.zeros(width, dtype=torch.float64, device=self._device))
        keep = torch.ones(rows, dtype=torch.bool, device=self._device)
        add = self._timed(lambda: sums.add(normalise_rms(hidden).double(), keep))
        side = min(width, _SIDE)
        packed: NDArray[np.floating[Any]] = np.ones(packed_size(side), dtype=np.float64)
        if width > LARGEST_APART:
            packed = packed.astype(np.float32)
        with threadpool_limits(limits=1 if width <= LARGEST_APART else None):
            forms = _timed(partial(packed_quadratic_forms, packed, np.ones((side, side))))
        found = {
            "covariance": add / (2.0 * packed_size(width) * rows),
            "profiles": forms / (2.0 * packed_size(side) * side),
        }
        if self._measured:
            columns = max(64, min(int(_OPERATIONS / (4 * packed_size(n))), _VALUES // n))
            stack = torch.ones(n, columns)
            operations = 2.0 * packed_size(n) * stack.shape[1]
            with threadpool_limits(limits=1 if n <= LARGEST_APART else None):
                found["gram"] = _timed(partial(gram_on_one_core, stack.numpy())) / operations
            total, wide = (torch.zeros(n, k, dtype=torch.float64, device=self._device) for k in (n, columns))
            found["gram_of_factors"] = self._timed(partial(add_gram_, total, wide)) / operations
        return found

    def _of(self, *shape: int) -> Tensor:
        return torch.full(shape, 0.01, dtype=self._dtype, device=self._device)

    def _timed(self, work: Callable[[], Any]) -> float:
        return _timed(work, self._device)

    def _with_backward(self, function: Callable[..., Tensor], *inputs: Tensor) -> tuple[float, float]:
        """Seconds of the forward pass without gradients, and of forward and backward."""
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]

        def both() -> None:
            with torch.enable_grad():
                output = function(*leaves)
            torch.autograd.grad(output, leaves, torch.ones_like(output))

        return self._timed(partial(function, *inputs)), self._timed(both)


def _norm(fused: bool, scale: Tensor, values: Tensor) -> Tensor:  # noqa: FBT001
    """A norm, its residual sum, and what turns queries and keys: about one such pass."""
    if fused:
        return nn.functional.layer_norm(values, scale.shape, scale) + values
    wide = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + 1e-6)
    turned = torch.cat((-wide[..., 1::2], wide[..., ::2]), -1)
    return wide * scale + turned * scale + values


def _eager(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(-1, -2)
    hidden = torch.full(scores.shape[-2:], -1e9, dtype=scores.dtype, device=scores.device).triu(1)
    return torch.softmax(scores + hidden, -1) @ value


def _loss(logits: Tensor, picked: Tensor) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, -1, dtype=wide).gather(-1, picked)


def _loss_backward(logits: Tensor, picked: Tensor) -> Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    shares = torch.log_softmax(logits, -1, dtype=wide).exp_()
    shares.scatter_add_(-1, picked, shares.new_full((), -1.0).expand(picked.shape))
    return shares.mul_(torch.ones_like(picked, dtype=wide))


def _reading() -> dict[str, float]:
    """Seconds a byte of reading, checking and building: a digest, a copy in fresh memory, one comparison, and
    the passes of four tokens that prove the model whole.
    """
    piece, few = torch.ones(1024, 2048), torch.ones(4, 2048)

    def read() -> None:
        hashlib.sha256(piece.numpy().data)
        fresh = torch.frombuffer(mmap.mmap(-1, piece.nbytes), dtype=piece.dtype).view(piece.shape)
        torch.equal(piece, fresh.copy_(piece))
        for _ in range(_SHORT_PASSES):
            nn.functional.linear(few, piece)

    return {"bytes": _timed(read) / piece.nbytes}


def _eigen() -> dict[str, float]:
    """Seconds of eigendecompositions with vectors, n^3 and n^2 apart."""
    cubes, squares = _cubes_and_squares(np.linalg.eigh)
    return {"eigen_cubes": cubes, "eigen_squares": squares, "vector_cubes": cubes}


def _weights() -> dict[str, float]:
    """Seconds of the spectra of weights: an operation of their Gram, eigenvalues, a value compared."""
    cubes, squares = _cubes_and_squares(np.linalg.eigvalsh)
    matrix = np.ones((_SIDE, 2 * _SIDE))
    values = np.ones(_VALUES // 8)
    with threadpool_limits(limits=1):
        product = _timed(lambda: matrix @ matrix.T)
    return {
        "weight_products": product / matrix.size / _SIDE,
        "weight_cubes": cubes,
        "weight_squares": squares,
        "drift_values": 3 * _timed(partial(np.quantile, values, 0.5)) / values.size,
    }


def _cubes_and_squares(solve: Callable[[Any], Any]) -> tuple[float, float]:
    """Seconds an n^3 and an n^2, from a small matrix and a large one."""
    taken = []
    generator = np.random.default_rng(0)
    for size in (_SMALL, _LARGE):
        rows = generator.standard_normal((size, size))
        with threadpool_limits(limits=1):
            taken.append(_timed(partial(solve, rows @ rows.T)))
    cubes = max((taken[1] / _LARGE**2 - taken[0] / _SMALL**2) / (_LARGE - _SMALL), 0.0)
    return cubes, max(taken[0] - cubes * _SMALL**3, 0.0) / _SMALL**2


def _timed(work: Callable[[], Any], device: torch.device = _CPU) -> float:
    """Median seconds of a few rounds, after one that is not counted."""
    taken = []
    for _ in range(_ROUNDS + 1):
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        taken.append(time.perf_counter() - started)
    return median(taken[1:])
