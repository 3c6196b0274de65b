"""Which passes, which batch size, how much memory: settled before any work starts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from spectra_cli.core.errors import BudgetError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Skipped
from spectra_cli.extract.measurements.measurement import (
    BlockMeasurement,
    GradientMeasurement,
    ParameterMeasurement,
)
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.measurements.scope import GradientMember, Scope
from spectra_cli.extract.memory import default_budget, in_gib
from spectra_cli.extract.numerics import is_plain_linear
from spectra_cli.extract.passes.losses import chunk_bytes
from spectra_cli.extract.planning.activation_function import activation_bytes
from spectra_cli.extract.planning.allocator import PART as ALLOCATOR
from spectra_cli.extract.planning.allocator import allocator_bytes, bytes_to_ask
from spectra_cli.extract.planning.mixing_memory import mixing_bytes
from spectra_cli.extract.protocols import Model

# On the CPU small batches, whose tensors stay in cache and in glibc's heap.
_TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 16_384}
# Tensors kept for backward and temporaries, in units of the linear maps' inputs and outputs. With it the
# plan of the benchmark's d = 256 work was 1.4 times the peak that was measured.
_ACTIVATION_FACTOR = 2.0
# What the linear algebra's libraries, their threads and autograd take for themselves on first use.
_LIBRARY_BYTES = 16 * 2**20
# What reading takes beside the tensors: pages of the file, pieces that are digested.
_READING_BYTES = 8 * 2**20


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
        read_ahead: whether the next checkpoint is read while this one is measured; not on the CPU,
            where reading takes cores and memory from measuring.
        keeps_memory: whether all that measuring took is kept while weights are measured and the next
            checkpoint loads, in place of being given back and fetched anew.
        memory_bytes: estimate by part; `budget_bytes`: what they had to fit into.
    """

    device: torch.device
    length: int
    batch_size: int
    num_sequences: int
    num_gradient_sequences: int
    passes: tuple[GradientPass, ...]
    skipped: tuple[Skipped, ...]
    read_ahead: bool
    keeps_memory: bool
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

    @property
    def asked_bytes(self) -> int:
        """The same without what the allocator takes beside it."""
        return self.peak_bytes - self.memory_bytes[ALLOCATOR]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What the settings ask of a model, before it is fitted into memory; sizes in bytes.

    Attributes:
        num_covariance, num_gradient: sequences of either kind; 0 where it is not measured.
        members: matrices whose gradients are collected; missing: those that layers lack.
        fixed: held throughout, by part; each: a sequence of the batch; gram: while one is formed.
        weights: for what is measured once all batches are done.
        alone: whether batches may hold one sequence only.
    """

    num_covariance: int
    num_gradient: int
    members: tuple[GradientMember, ...]
    missing: tuple[Skipped, ...]
    fixed: dict[str, int]
    each: int
    gram: int
    weights: int
    alone: bool

    @property
    def num_sequences(self) -> int:
        return max(self.num_covariance, self.num_gradient)

    @property
    def largest(self) -> int:
        return max((member.memory_bytes for member in self.members), default=0)

    @property
    def smallest(self) -> int:
        """Peak of the smallest plan: one sequence a batch, one matrix a pass."""
        asked = sum(self.fixed.values()) + self.each + self.largest + self.gram + self.beyond_batches(1)
        return asked + allocator_bytes(asked - self.fixed["process"])

    def beyond_batches(self, size: int) -> int:
        """What the spectra of weights need beyond the room of the batches, free by then."""
        return max(0, self.weights - self.fixed["logits"] - size * self.each)


def plan_scan(
    model: Model,
    settings: ScanSettings,
    *,
    device: torch.device,
    budget_bytes: int | None = None,
    batch_size: int | None = None,
    checkpoint_bytes: int = 0,
    process_bytes: int = 0,
) -> ScanPlan:
    """The fewest passes and the largest useful batch that fit the budget.

    Args:
        model: loaded or a skeleton on the meta device; only shapes are read.
        settings: what to measure.
        device: where it will run.
        budget_bytes: limit for everything on the device, on the CPU for the whole process; by default
            70 % of the memory there is.
        batch_size: sequences a batch, in place of the automatic choice.
        checkpoint_bytes: of tensors in one checkpoint, which stand beside the model while it loads.
        process_bytes: what this process held on the device before any model was loaded.

    Raises:
        BudgetError: even the smallest plan does not fit, with the budget that would.
    """
    budget = default_budget(device) if budget_bytes is None else budget_bytes
    wanted = batch_size or max(1, _TOKENS_PER_BATCH.get(device.type, 16_384) // settings.sequence_length)
    work = _work(model, settings, device, wanted, process_bytes)
    _check_budget(work, budget, checkpoint_bytes)
    wanted = 1 if work.alone else wanted
    process = work.fixed["process"]
    spare = process + bytes_to_ask(budget - process) - sum(work.fixed.values()) - work.gram
    # A batch may take a quarter of what is left, if the largest matrix still fits beside it.
    fitting = max(1, min((spare - work.largest) // work.each, max(spare // (4 * work.each), 1)))
    size = min(wanted, fitting, max(work.num_sequences, 1))
    beyond = work.beyond_batches(size)
    groups = _group(work.members, spare - size * work.each - beyond)
    passes = [GradientPass(num_sequences=work.num_gradient, members=tuple(group)) for group in groups]
    if work.num_sequences:
        first = passes[0].members if passes else ()
        passes[:1] = [GradientPass(num_sequences=work.num_sequences, members=first)]
    held = max((sum(m.memory_bytes for m in step.members) for step in passes), default=0)
    memory = work.fixed | {"gradients": held + work.gram, "activations": size * work.each, "weights": beyond}
    asked = sum(memory.values())
    keeps = asked + allocator_bytes(asked - process) + 2 * checkpoint_bytes <= budget
    memory["loading"] = _loading_bytes(memory, checkpoint_bytes, keeps=keeps)
    memory[ALLOCATOR] = allocator_bytes(sum(memory.values()) - process)
    return ScanPlan(
        device=device,
        length=settings.sequence_length,
        batch_size=size,
        num_sequences=work.num_sequences,
        num_gradient_sequences=work.num_gradient,
        passes=tuple(passes),
        skipped=work.missing,
        read_ahead=device.type != "cpu",
        keeps_memory=keeps,
        memory_bytes=memory,
        budget_bytes=budget,
    )


def _work(
    model: Model, settings: ScanSettings, device: torch.device, batch_size: int, process_bytes: int
) -> _Work:
    scope, kinds = Scope.of(model, settings, device), measurements_of(settings)
    memory = [kind.memory(scope) for kind in kinds]
    has_passes = any(not isinstance(kind, ParameterMeasurement) for kind in kinds)
    has_blocks = any(isinstance(kind, BlockMeasurement) for kind in kinds)
    gradients = [kind for kind in kinds if isinstance(kind, GradientMeasurement)]
    members, missing = _members(gradients, scope)
    gathered = {member.address for member in members}
    backward = bool(gradients)
    width = 8 if settings.dtype == "float64" else 4
    held, held_each = model.held_bytes(settings.sequence_length, 2 if settings.dtype == "bfloat16" else width)
    logits = settings.sequence_length * model.vocab_size * width
    throughout: Counter[str] = Counter()
    for one in memory:
        throughout.update(one.throughout)
    return _Work(
        num_covariance=settings.num_sequences if has_blocks else 0,
        num_gradient=settings.num_gradient_sequences if backward else 0,
        members=members,
        missing=missing,
        fixed={
            "process": process_bytes,
            "model": _parameter_bytes(model.module, settings.dtype) + held,
            **throughout,
            # a loss of the user's own is given whole sequences: its logits count with each
            "logits": 3 * min(chunk_bytes(device) * width // 4, batch_size * logits)
            if model.loss is None and has_passes
            else 0,
            "libraries": _LIBRARY_BYTES,
        },
        # under autocast linear maps see bfloat16, norms and residual stream float32
        each=_sequence_bytes(model, settings, 3 if settings.dtype == "bfloat16" else width, backward=backward)
        + held_each
        + (mixing_bytes(model, settings, width, backward=backward) if has_passes else 0)
        + (activation_bytes(model, settings.sequence_length, width) if backward else 0)
        + (0 if model.loss is None else 3 * logits),
        gram=max((one.forming for one in memory), default=0),
        weights=max((one.afterwards for one in memory), default=0),
        alone=any(v.site.component in model.alone for v in model.matrices if v.site.address in gathered),
    )


def _members(
    gradients: Sequence[GradientMeasurement], scope: Scope
) -> tuple[tuple[GradientMember, ...], tuple[Skipped, ...]]:
    """The matrices whose gradients are gathered, and what is missing; each measurement holds its own."""
    members: dict[str, GradientMember] = {}
    missing: tuple[Skipped, ...] = ()
    for kind in gradients:
        views, lacking = kind.views(scope)
        missing += lacking
        for member in (kind.waits(scope, view) for view in views):
            held = members[member.address].memory_bytes if member.address in members else 0
            members[member.address] = replace(member, memory_bytes=held + member.memory_bytes)
    return tuple(members.values()), missing


def _check_budget(work: _Work, budget: int, checkpoint_bytes: int) -> None:
    """Refuse a budget that not even the smallest plan fits, while measuring or while loading."""
    fixed = work.fixed
    loaded = fixed["model"] + checkpoint_bytes
    smallest = max(work.smallest, fixed["process"] + loaded + allocator_bytes(loaded))
    if smallest > budget:
        parts = ", ".join(f"{name} {in_gib(taken)}" for name, taken in fixed.items() if taken)
        raise BudgetError(
            f"the memory budget is {in_gib(budget, math.floor)}; the smallest plan needs {in_gib(smallest)} "
            f"(this {parts}, one sequence {in_gib(work.each)}, gradients of the largest "
            f"matrix {in_gib(work.largest)}): raise --memory, or measure fewer layers (--layers), fewer or "
            "shorter sequences"
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


def _parameter_bytes(module: nn.Module, dtype: str) -> int:
    """The weights, and in bfloat16 passes the linear maps' rounded ones beside them."""
    total = sum(p.numel() for p in module.parameters()) * (8 if dtype == "float64" else 4)
    if dtype == "bfloat16":
        linear = (m for m in module.modules() if is_plain_linear(m))
        total += sum(2 * m.get_parameter("weight").numel() for m in linear)
    return total


def _loading_bytes(memory: Mapping[str, int], checkpoint_bytes: int, *, keeps: bool) -> int:
    """What the next checkpoint needs to load, beyond the room that the last one's batches left."""
    needed = checkpoint_bytes + min(_READING_BYTES, checkpoint_bytes)
    free = sum(memory[part] for part in ("logits", "activations", "weights"))
    if not keeps:
        free += memory["gradients"]
    return max(0, needed - free)


def _sequence_bytes(model: Model, settings: ScanSettings, width: int, *, backward: bool) -> int:
    """What one sequence of a batch keeps: for backward, inputs and outputs of every linear map."""
    length = settings.sequence_length
    features = _linear_features(model)
    kept = sum(features) if backward else 4 * max(features, default=model.width)
    rows = 3 * model.width * 8
    return int(length * (_ACTIVATION_FACTOR * kept * width + rows))


def _linear_features(model: Model) -> list[float]:
    """Inputs and outputs a token of every linear map inside the blocks: fused ones once, packed experts
    as often as a token reaches one.
    """
    features: dict[int, float] = {}
    for view in model.matrices:
        if view.site.layer is not None:
            stored = getattr(view.module, view.parameter)
            times = 1.0 if view.expert is None else view.share * stored.shape[0]
            features[id(stored)] = times * sum(stored.shape[-2:])
    return list(features.values())
