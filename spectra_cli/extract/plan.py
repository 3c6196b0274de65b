"""Which passes, which batch size, how much memory: settled before any work starts."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from spectra_cli.core.errors import BudgetError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Skipped
from spectra_cli.extract.losses import CHUNK_BYTES
from spectra_cli.extract.measurements.gradient_gram import GRADIENT
from spectra_cli.extract.measurements.gradient_store import dense_bytes, factor_bytes
from spectra_cli.extract.measurements.measurement import BlockMeasurement, GradientMeasurement
from spectra_cli.extract.measurements.registry import find_measurements
from spectra_cli.extract.protocols import MatrixView, Model
from spectra_cli.extract.selection import select_layers, select_matrices

_TOKENS_PER_BATCH = {"cpu": 8192, "cuda": 16_384}
_DEFAULT_SHARE = 0.7
# Tensors kept for backward, in units of the linear maps' inputs and outputs: measured 1.1 to 1.4 on
# Llama, GPT-2 and NeoX blocks with fused attention; the rest covers temporaries.
_ACTIVATION_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMember:
    """One matrix of a pass, and whether its gradients wait as factors or dense."""

    address: str
    factored: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientPass:
    """One pass over the probe: how many sequences, and whose gradients it collects."""

    num_sequences: int
    members: tuple[GradientMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """How one checkpoint will be measured.

    Attributes:
        device: where.
        length: T.
        batch_size: sequences a batch.
        num_sequences: of the first pass (covariance, loss); 0 when only weights are measured.
        num_gradient_sequences: of every pass that runs backward; 0 without gradients.
        passes: in order; the first one also carries the covariance.
        skipped: matrices asked for that some layers lack.
        memory_bytes: estimate by part; `budget_bytes`: what they had to fit into.
    """

    device: torch.device
    length: int
    batch_size: int
    num_sequences: int
    num_gradient_sequences: int
    passes: tuple[GradientPass, ...]
    skipped: tuple[Skipped, ...]
    memory_bytes: dict[str, int]
    budget_bytes: int

    @property
    def sequences_to_run(self) -> int:
        """Sequences through the model, all passes together."""
        return sum(step.num_sequences for step in self.passes)

    @property
    def peak_bytes(self) -> int:
        """Estimated peak, model included."""
        return sum(self.memory_bytes.values())


def plan_scan(
    model: Model,
    settings: ScanSettings,
    *,
    device: torch.device,
    budget_bytes: int | None = None,
    batch_size: int | None = None,
) -> ScanPlan:
    """The fewest passes and the largest useful batch that fit the budget.

    Args:
        model: loaded or a skeleton on the meta device; only shapes are read.
        settings: what to measure.
        device: where it will run.
        budget_bytes: limit for everything on the device; by default 70 % of its memory.
        batch_size: sequences a batch, in place of the automatic choice.

    Raises:
        BudgetError: even the smallest plan does not fit, with the budget that would.
    """
    budget = default_budget(device) if budget_bytes is None else budget_bytes
    layers = select_layers(settings.layers, len(model.blocks))
    kinds = find_measurements(settings.measurements)
    has_covariance = any(isinstance(kind, BlockMeasurement) for kind in kinds)
    has_gradients = any(isinstance(kind, GradientMeasurement) for kind in kinds)
    num_covariance = settings.num_sequences if has_covariance else 0
    num_gradient = settings.num_gradient_sequences if has_gradients else 0
    views, missing = (
        select_matrices(model, settings.matrices, layers, measurement=GRADIENT.name)
        if has_gradients
        else ((), ())
    )
    width = 8 if settings.dtype == "float64" else 4
    members = [_member(view, num_gradient, settings.sequence_length, width) for view in views]
    wanted = batch_size or max(1, _TOKENS_PER_BATCH.get(device.type, 8192) // settings.sequence_length)
    wanted = min(wanted, max(num_covariance, num_gradient, 1))
    tokens = wanted * settings.sequence_length
    fixed = {
        "model": _parameter_bytes(model.module, width),
        "covariance": _covariance_bytes(model, settings, len(layers)) if has_covariance else 0,
        "logits": 3 * min(CHUNK_BYTES, tokens * model.vocab_size * 4),
    }
    each = _sequence_bytes(model, settings, width, backward=has_gradients)
    largest = max((m.memory_bytes for m in members), default=0)
    gram = 6 * num_gradient**2 * 8 + min(2 * CHUNK_BYTES, 4 * largest)
    smallest = sum(fixed.values()) + each + largest + gram
    if smallest > budget:
        raise BudgetError(
            f"the memory budget is {_gib(budget, math.floor)}; the smallest plan needs {_gib(smallest)} "
            f"(model {_gib(fixed['model'])}, covariance {_gib(fixed['covariance'])}, one sequence "
            f"{_gib(each)}, gradients of the largest matrix {_gib(largest)}): raise --memory, or measure "
            "fewer layers (--layers), fewer or shorter sequences"
        )
    spare = budget - sum(fixed.values()) - gram
    # A batch may take a quarter of what is left, if the largest matrix still fits beside it.
    fitting = max(1, min((spare - largest) // each, max(spare // (4 * each), 1)))
    size = min(wanted, fitting)
    groups = _group(members, spare - size * each)
    passes = [GradientPass(num_sequences=num_gradient, members=tuple(group)) for group in groups]
    num_sequences = max(num_covariance, num_gradient)
    if num_sequences:
        first = passes[0].members if passes else ()
        passes[:1] = [GradientPass(num_sequences=num_sequences, members=first)]
    held = max((sum(m.memory_bytes for m in step.members) for step in passes), default=0)
    return ScanPlan(
        device=device,
        length=settings.sequence_length,
        batch_size=size,
        num_sequences=num_sequences,
        num_gradient_sequences=num_gradient,
        passes=tuple(passes),
        skipped=missing,
        memory_bytes=fixed | {"gradients": held + gram, "activations": size * each},
        budget_bytes=budget,
    )


def default_budget(device: torch.device) -> int:
    """70 % of the device's memory; on the CPU, of what this machine or its container may use."""
    if device.type == "cuda":
        return int(_DEFAULT_SHARE * torch.cuda.get_device_properties(device).total_memory)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return int(_DEFAULT_SHARE * total)


def _member(view: MatrixView, num_sequences: int, length: int, width: int) -> GradientMember:
    dense = dense_bytes(num_sequences, view.shape) * width // 4
    factors = factor_bytes(num_sequences, length, view.shape) * width // 4
    # Tied and embedding matrices are written by more than one call, which only the dense form adds up.
    factored = factors < dense and view.kind == "linear" and not view.aliases
    return GradientMember(
        address=view.site.address, factored=factored, memory_bytes=factors if factored else dense
    )


def _group(members: Sequence[GradientMember], room: int) -> list[list[GradientMember]]:
    """Matrices into passes: largest first, each into the first pass with room (first-fit decreasing)."""
    groups: list[list[GradientMember]] = []
    for member in sorted(members, key=lambda m: -m.memory_bytes):
        for group in groups:
            if sum(m.memory_bytes for m in group) + member.memory_bytes <= room:
                group.append(member)
                break
        else:
            groups.append([member])
    order = {member.address: position for position, member in enumerate(members)}
    return [sorted(group, key=lambda m: order[m.address]) for group in groups]


def _parameter_bytes(module: nn.Module, width: int) -> int:
    return sum(p.numel() for p in module.parameters()) * width


def _covariance_bytes(model: Model, settings: ScanSettings, num_sites: int) -> int:
    """Sums and finished blocks (packed triangles) of every site, and one eigendecomposition."""
    square = model.width**2 * 8
    blocks = settings.num_blocks * model.width * (model.width + 1) // 2
    packed = blocks * (8 if model.width <= 1024 else 4)
    return num_sites * (2 * square + packed) + 8 * square


def _sequence_bytes(model: Model, settings: ScanSettings, width: int, *, backward: bool) -> int:
    """What one sequence of a batch keeps: for backward, inputs and outputs of every linear map."""
    length = settings.sequence_length
    features = [sum(shape) for shape in _linear_shapes(model)]
    kept = sum(features) if backward else 4 * max(features, default=model.width)
    rows = 3 * model.width * 8
    return int(length * (_ACTIVATION_FACTOR * kept * width + rows))


def _linear_shapes(model: Model) -> list[tuple[int, ...]]:
    """Stored shape of every linear map inside the blocks, fused ones once."""
    parameters = (getattr(v.module, v.parameter) for v in model.matrices if v.site.layer is not None)
    return list({id(parameter): tuple(parameter.shape) for parameter in parameters}.values())


def _gib(count: int, rounded: Callable[[float], int] = math.ceil) -> str:
    """In hundredths of a GiB: what is needed rounded up, so that the budget named does work."""
    return f"{rounded(100 * count / 2**30) / 100:.2f} GiB"
