"""The one forward / forward-backward loop: a model and a probe in, spectra out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.core.heap import give_back_heap, kept_heap
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Status
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.losses import model_losses
from spectra_cli.extract.measurements.measurement import (
    MAX_DROPPED_SHARE,
    Batch,
    BlockMeasurement,
    Blocks,
    GradientMeasurement,
    Measured,
    Measurement,
    ParameterMeasurement,
    Subject,
)
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.registry import find_measurements
from spectra_cli.extract.numerics import half_weights, numerics
from spectra_cli.extract.onednn_linear import onednn_linears
from spectra_cli.extract.plan import GradientPass, ScanPlan
from spectra_cli.extract.protocols import Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices
from spectra_cli.extract.taps import Clock, tapped_blocks, tapped_gradients

Progress = Callable[[str, int, int], None]


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
        progress: called with (what is under way, sequences done, sequences in all).
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
    kinds = find_measurements(settings.measurements)
    measured = Measured()
    with numerics(model, settings):
        if plan.num_sequences:
            measured += _stream(subject, kinds, probe, plan, progress)
        if not plan.keeps_memory:
            subject.arena.give_back()
            give_back_heap()
        for kind in kinds:
            if isinstance(kind, ParameterMeasurement):
                progress(kind.name, 0, 1)
                views, missing = select_matrices(
                    model, settings.matrices, subject.layers, measurement=kind.name
                )
                measured += Measured(skipped=missing) + kind.start(replace(subject, views=views)).finish()
    if not plan.keeps_memory:
        give_back_heap()
    if not measured.spectra:
        reasons = "; ".join(f"{s.site.address}: {s.reason}" for s in measured.skipped[:5])
        raise ModelError(f"nothing could be measured on this checkpoint ({reasons})")
    return measured


def _stream(
    subject: Subject, kinds: Sequence[Measurement], probe: Probe, plan: ScanPlan, progress: Progress
) -> Measured:
    """The passes over the probe: the residual stream and the first group of gradients share the first."""
    model, clock = subject.model, Clock()
    streams = [(k.name, k.start(subject)) for k in kinds if isinstance(k, BlockMeasurement)]
    measured = Measured()
    gradients = Measured(skipped=plan.skipped)
    done, total = 0, plan.sequences_to_run
    for number, step in enumerate(plan.passes):
        name = f"pass {number + 1}/{len(plan.passes)}"
        subject.arena.reset(sum(m.memory_bytes for m in step.members), 2 * len(step.members))
        of_this_pass = _with_members(subject, step)
        collectors = [
            k.start(of_this_pass) for k in kinds if isinstance(k, GradientMeasurement) and step.members
        ]
        losses = []
        with kept_heap(), ExitStack() as taps:
            for _, stream in streams if number == 0 else ():
                taps.enter_context(tapped_blocks(model, stream, clock))
            for collector in collectors:
                taps.enter_context(tapped_gradients(model, collector, clock))
            if subject.settings.dtype == "bfloat16":
                # last, since taps know a tied weight by its identity
                taps.enter_context(half_weights(model))
            elif subject.settings.dtype == "float32":
                taps.enter_context(onednn_linears(model))
            for batch, backward in _batches(probe, plan, step.num_sequences):
                progress(name, done, total)
                losses.append(_run(model, probe, batch, clock, backward=backward and bool(collectors)))
                done += batch.stop - batch.start
        if number == 0:
            measured += Measured(
                scalars=_loss_scalars(torch.cat(losses).cpu().double().numpy(), subject.settings)
            )
        for collector in collectors:
            progress(f"{name}: gradient spectra", done, total)
            gradients += collector.finish()
    for name, stream in streams:
        progress(f"{name}: spectra", done, total)
        measured += stream.finish()
    return measured + gradients


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
