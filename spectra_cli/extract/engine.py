"""The one forward / forward-backward loop: a model and a probe in, spectra out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Site, Status
from spectra_cli.extract.losses import sequence_losses
from spectra_cli.extract.measurements import activation_covariance, weights
from spectra_cli.extract.measurements.activation_covariance import ActivationCovariance
from spectra_cli.extract.measurements.gradient_gram import GradientGram
from spectra_cli.extract.measurements.gradient_store import DenseGradients, FactoredGradients, GradientStore
from spectra_cli.extract.measurements.measurement import Batch, Blocks, Measured
from spectra_cli.extract.plan import GradientPass, ScanPlan
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices
from spectra_cli.extract.taps import Clock, tapped_blocks, tapped_gradients

Progress = Callable[[str, int, int], None]


def measure(
    model: Model, probe: Probe, settings: ScanSettings, plan: ScanPlan, *, progress: Progress
) -> Measured:
    """Everything that `settings` ask for on one checkpoint.

    Args:
        model: on the device to measure on.
        probe: its first `settings.num_sequences` give the covariance, its first
            `settings.num_gradient_sequences` the gradients; whichever is more gives the loss.
        settings: what to measure.
        plan: passes and batch size, from `plan_scan` for this model and these settings.
        progress: called with (what is under way, sequences done, sequences in all).

    Raises:
        ModelError: the model cannot be measured as asked, or nothing at all could be measured.
    """
    layers = select_layers(settings.layers, len(model.blocks))
    measured = Measured()
    with numerics(model, settings):
        if plan.num_sequences:
            measured += _stream(model, probe, settings, plan, layers, progress)
        if weights.NAME in settings.measurements:
            progress("weights", 0, 1)
            views, missing = select_matrices(model, settings.matrices, layers, measurement=weights.NAME)
            measured += Measured(skipped=missing) + weights.measure_weights(views)
    if not measured.spectra:
        reasons = "; ".join(f"{s.site.address}: {s.reason}" for s in measured.skipped[:5])
        raise ModelError(f"nothing could be measured on this checkpoint ({reasons})")
    return measured


def _stream(
    model: Model,
    probe: Probe,
    settings: ScanSettings,
    plan: ScanPlan,
    layers: tuple[int, ...],
    progress: Progress,
) -> Measured:
    """The passes over the probe: covariance and the first group of gradients share the first one."""
    clock = Clock()
    covariance: ActivationCovariance | None = None
    if activation_covariance.NAME in settings.measurements:
        covariance = ActivationCovariance(
            sites={layer: Site(layer=layer, component="resid_post") for layer in layers},
            blocks=Blocks(num_sequences=settings.num_sequences, num_blocks=settings.num_blocks),
            normalize=settings.normalize,
            pool=settings.pool,
            final_norm=model.final_norm,
        )
    gradients = Measured(skipped=plan.skipped)
    losses = torch.empty(0)
    total = plan.sequences_to_run
    done = 0
    for number, group in enumerate(plan.passes):
        name = f"pass {number + 1}/{len(plan.passes)}"
        gram = _gradient_gram(group, plan, settings, model) if group.members else None
        with ExitStack() as taps:
            if number == 0 and covariance is not None:
                taps.enter_context(tapped_blocks(model, covariance, clock))
            if gram is not None:
                taps.enter_context(tapped_gradients(model, gram, clock))
            found = []
            for batch, backward in _batches(probe, plan, group.num_sequences, plan.num_gradient_sequences):
                progress(name, done, total)
                found.append(_run(model, probe, batch, clock, backward=backward and gram is not None))
                done += batch.stop - batch.start
        if number == 0:
            losses = torch.cat(found)
        if gram is not None:
            progress(f"{name}: gradient spectra", done, total)
            gradients += gram.finish()
    measured = Measured(scalars=_loss_scalars(losses.cpu().double().numpy(), settings))
    if covariance is not None:
        progress("activation spectra", done, total)
        measured += covariance.finish()
    return measured + gradients


def _run(model: Model, probe: Probe, batch: Batch, clock: Clock, *, backward: bool) -> Tensor:
    """One batch through the model; per-sequence losses (B,), still on the device."""
    device = batch.tokens.device
    targets = probe.targets[batch.start : batch.stop].to(device, non_blocking=True)
    clock.batch = batch
    with torch.set_grad_enabled(backward):
        hidden = model.trunk(batch.tokens)
        losses = sequence_losses(model.head, hidden, targets, model.vocab_size, clock)
    clock.batch = None
    return losses.detach()


def _batches(
    probe: Probe, plan: ScanPlan, num_sequences: int, num_gradient_sequences: int
) -> Iterator[tuple[Batch, bool]]:
    """Batches of one pass and whether each runs backward: gradient sequences first, none mixed."""
    edge = min(num_gradient_sequences, num_sequences)
    for first, last, backward in ((0, edge, True), (edge, num_sequences, False)):
        for start in range(first, last, plan.batch_size):
            stop = min(start + plan.batch_size, last)
            tokens = probe.tokens[start:stop].to(plan.device, non_blocking=True)
            yield Batch(start=start, stop=stop, length=tokens.shape[1], tokens=tokens), backward


def _gradient_gram(group: GradientPass, plan: ScanPlan, settings: ScanSettings, model: Model) -> GradientGram:
    dtype = torch.float64 if settings.dtype == "float64" else torch.float32
    by_address = {view.site.address: view for view in model.matrices}
    stores: dict[MatrixView, GradientStore] = {}
    for member in group.members:
        view = by_address[member.address]
        if member.factored:
            stores[view] = FactoredGradients(
                plan.num_gradient_sequences, plan.length, view.shape, dtype=dtype, device=plan.device
            )
        else:
            stores[view] = DenseGradients(
                plan.num_gradient_sequences, view.shape, dtype=dtype, device=plan.device
            )
    blocks = Blocks(num_sequences=plan.num_gradient_sequences, num_blocks=settings.num_blocks)
    return GradientGram(stores=stores, blocks=blocks)


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
    usable = num_finite > 0 and bool((num_finite - counts > 0).all())
    value = float(sums.sum() / num_finite) if num_finite else float("nan")
    without = (sums.sum() - sums) / (num_finite - counts) if usable else np.empty(0)
    return (
        Scalar(
            name="probe_loss",
            site=None,
            measurement="probe",
            value=value,
            unit="nats/token",
            status=Status.OK if num_finite else Status.NONFINITE,
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


@contextmanager
def numerics(model: Model, settings: ScanSettings) -> Iterator[None]:
    """The pass in the stated dtype: full float32 products (no TF32), float64, or bfloat16 autocast."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    if settings.dtype == "float64":
        model.module.double()
    device = next(model.module.parameters()).device
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.dtype == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
