"""The one forward / forward-backward loop: a model and a probe in, spectra out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.core.measurements import spectra_words
from spectra_cli.core.process.heap import give_back_heap, kept_heap
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Status
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.measurement import (
    MAX_DROPPED_SHARE,
    Batch,
    BlockMeasurement,
    Blocks,
    GradientMeasurement,
    Measured,
    Measurement,
    ParameterMeasurement,
    PassMeasurement,
    Subject,
)
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.memory import resident_bytes
from spectra_cli.extract.numerics import half_weights, numerics
from spectra_cli.extract.passes.losses import model_losses
from spectra_cli.extract.passes.onednn_linear import onednn_linears
from spectra_cli.extract.passes.taps import Clock, tapped_blocks, tapped_gradients
from spectra_cli.extract.planning.course import PASSES, Course, Progress, weights_of
from spectra_cli.extract.planning.plan import GradientPass, ScanPlan
from spectra_cli.extract.protocols import Model, Probe
from spectra_cli.extract.selection import select_layers


def measure(
    model: Model,
    probe: Probe,
    settings: ScanSettings,
    plan: ScanPlan,
    *,
    progress: Progress,
    reference: Reference | None = None,
    arena: Arena | None = None,
) -> Measured:
    """Everything that `settings` ask for on one checkpoint.

    Args:
        model: on the device to measure on.
        probe: its first `settings.num_sequences` give the covariance, its first
            `settings.num_gradient_sequences` the gradients; whichever is more gives the loss.
        settings: what to measure.
        plan: passes and batch size, from `plan_scan` for this model and these settings.
        progress: hears where it is.
        reference: weights that those of the model are compared with.
        arena: where gradients wait; a series hands the same one to every checkpoint.

    Raises:
        ModelError: the model cannot be measured as asked, or nothing at all could be measured.
    """
    subject = Subject(
        model=model,
        settings=settings,
        layers=select_layers(settings.layers, len(model.blocks)),
        num_gradient_sequences=plan.num_gradient_sequences,
        length=plan.length,
        device=plan.device,
        arena=arena or Arena(plan.device),
        reference=reference,
    )
    kinds = measurements_of(settings)
    course = Course(weights_of(model, settings, plan), progress)
    measured = Measured()
    with numerics(model, settings):
        if plan.num_sequences:
            measured += _stream(subject, kinds, probe, plan, course)
        if not plan.keeps_memory:
            subject.arena.give_back()
            give_back_heap()
        for kind in kinds:
            if isinstance(kind, ParameterMeasurement | PassMeasurement):
                views, missing = kind.views(subject)
                own = replace(subject, views=views)
                heard = course.of(kind.name, spectra_words(kind.name))
                if isinstance(kind, PassMeasurement):
                    with_passes = kind.start(own)
                    with_passes.run(probe, heard)
                    found = with_passes.finish()
                else:
                    found = kind.start(own).finish(heard)
                measured += Measured(skipped=missing) + found
    if not plan.keeps_memory:
        give_back_heap()
    if not measured.spectra:
        reasons = "; ".join(f"{s.site.address}: {s.reason}" for s in measured.skipped[:5])
        raise ModelError(f"nothing could be measured on this checkpoint ({reasons})")
    return measured


def _stream(
    subject: Subject, kinds: Sequence[Measurement], probe: Probe, plan: ScanPlan, course: Course
) -> Measured:
    """The passes over the probe: the residual stream and the first group of gradients share the first."""
    model, clock = subject.model, Clock()
    streams = [(k.name, k.start(subject)) for k in kinds if isinstance(k, BlockMeasurement)]
    measured = Measured()
    gradients = Measured(skipped=plan.skipped)
    done, total, count = 0, plan.sequences_to_run, len(plan.passes)
    for number, step in enumerate(plan.passes):
        name = f"pass {number + 1} of {count}"
        stretch = {"first": done / total, "last": (done + step.num_sequences) / total}
        heard = course.of(PASSES, f"{name}, sequences", **stretch)
        done += step.num_sequences
        subject.arena.reset(sum(m.memory_bytes for m in step.members), 2 * len(step.members))
        of_this_pass = _with_members(subject, step)
        collectors = {
            k.name: k.start(of_this_pass)
            for k in kinds
            if isinstance(k, GradientMeasurement) and step.members
        }
        # taken at once: a tensor a batch, kept, would lie in the way of the next batch's arrays
        losses = torch.empty(step.num_sequences, dtype=torch.float64, device=plan.device)
        with kept_heap(), ExitStack() as taps:
            for _, stream in streams if number == 0 else ():
                taps.enter_context(tapped_blocks(model, stream, clock))
            for collector in collectors.values():
                taps.enter_context(tapped_gradients(model, collector, clock))
            if subject.settings.dtype == "bfloat16":
                # last, since taps know a tied weight by its identity
                taps.enter_context(half_weights(model))
            elif subject.settings.dtype == "float32":
                taps.enter_context(onednn_linears(model))
            for batch, backward in _batches(probe, plan, step.num_sequences):
                losses[batch.start : batch.stop] = _run(
                    model, probe, batch, clock, backward=backward and bool(collectors)
                )
                _keep_to(plan)
                heard(batch.stop, step.num_sequences)
        if number == 0:
            measured += Measured(scalars=_loss_scalars(losses.cpu().numpy(), subject.settings))
        stretch = {"first": number / count, "last": (number + 1) / count}
        for of, collector in collectors.items():
            gradients += collector.finish(course.of(of, f"{name}, {spectra_words(of)}", **stretch))
    for name, stream in streams:
        measured += stream.finish(course.of(name, spectra_words(name)))
    return measured + gradients


def _keep_to(plan: ScanPlan) -> None:
    """Give back what batches left free, where holes in the heap made it more than was planned."""
    if plan.device.type == "cpu" and resident_bytes() > plan.asked_bytes:
        give_back_heap()


def _with_members(subject: Subject, step: GradientPass) -> Subject:
    """The subject of one pass: the matrices whose gradients it collects, and how they wait."""
    by_address = {view.site.address: view for view in subject.model.matrices}
    factored = frozenset(by_address[m.address] for m in step.members if m.factored)
    return replace(subject, views=tuple(by_address[m.address] for m in step.members), factored=factored)


def _run(model: Model, probe: Probe, batch: Batch, clock: Clock, *, backward: bool) -> Tensor:
    """One batch through the model; per-sequence losses (B,), still on the device."""
    device = batch.tokens.device
    targets = probe.targets[batch.start : batch.stop].to(device, non_blocking=True)
    clock.batch = batch
    with torch.set_grad_enabled(backward):
        losses = model_losses(model, batch.tokens, targets, clock)
    clock.batch = None
    return losses.detach()


def _batches(probe: Probe, plan: ScanPlan, num_sequences: int) -> Iterator[tuple[Batch, bool]]:
    """Batches of one pass and whether each runs backward: gradient sequences first, none mixed."""
    edge = min(plan.num_gradient_sequences, num_sequences)
    for first, last, backward in ((0, edge, True), (edge, num_sequences, False)):
        for start in range(first, last, plan.batch_size):
            stop = min(start + plan.batch_size, last)
            tokens = probe.tokens[start:stop].to(plan.device, non_blocking=True)
            yield Batch(start=start, stop=stop, length=tokens.shape[1], tokens=tokens), backward


def _loss_scalars(
    losses: np.ndarray[tuple[int], np.dtype[np.float64]], settings: ScanSettings
) -> tuple[Scalar, ...]:
    """The probe loss, its delete-one-block values, and how many sequences it had to leave out."""
    finite = np.isfinite(losses)
    blocks = Blocks(num_sequences=losses.size, num_blocks=settings.num_blocks)
    kept = np.where(finite, losses, 0.0)
    sums = np.add.reduceat(kept, blocks.edges[:-1])
    counts = np.add.reduceat(finite.astype(float), blocks.edges[:-1])
    num_finite = int(finite.sum())
    enough = losses.size - num_finite <= MAX_DROPPED_SHARE * losses.size
    usable = enough and bool((num_finite - counts > 0).all())
    value = float(sums.sum() / num_finite) if enough else float("nan")
    without = (sums.sum() - sums) / (num_finite - counts) if usable else np.empty(0)
    return (
        Scalar(
            name="probe_loss",
            site=None,
            measurement="probe",
            value=value,
            unit="nats/token",
            status=Status.OK if enough else Status.NONFINITE,
            delete_one_block=without,
            block_sizes=tuple(int(c) for c in counts) if usable else (),
        ),
        Scalar(
            name="dropped_sequences",
            site=None,
            measurement="probe",
            value=float(losses.size - num_finite),
            unit="sequences",
        ),
    )
