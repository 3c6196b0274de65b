"""A model is measured only after its taps were checked against autograd.

Sites of an architecture are a claim: that a module's inputs and output gradients carry the whole
gradient of a matrix, that rows of a fused matrix are the right ones, that the head is all there is
between the trunk and the loss. One short sequence settles it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.losses import sequence_losses
from spectra_cli.extract.measurements.gradient_store import DenseGradients
from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices
from spectra_cli.extract.taps import Clock, tapped_gradients

_LENGTH = 64
# Largest difference allowed, relative to the largest entry of the gradient: room for rounding in deep
# models, far below what a wrong row or a missed call would show.
_TOLERANCE = {"float64": 1e-8, "float32": 1e-3, "bfloat16": 0.1}
# The experts of a layer pass through one module, and are checked in one go.
_EXPERT = re.compile(r"^experts\.\d+")


class _OneGradient:
    """The tapped gradients of one sequence, and the dtypes in which they came."""

    def __init__(self, views: tuple[MatrixView, ...], dtype: torch.dtype, device: torch.device) -> None:
        self.views = views
        self.stores = {view: DenseGradients(1, view.shape, dtype=dtype, device=device) for view in views}
        self.dtypes: dict[MatrixView, torch.dtype] = {}

    def observe(self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch) -> None:
        self.dtypes[view] = delta.dtype
        self.stores[view].add(batch.start, inputs, delta if view.rows is None else delta[..., view.rows])

    def observe_rows(
        self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch, counts: Sequence[int]
    ) -> None:
        self.dtypes[view] = delta.dtype
        own = delta if view.rows is None else delta[..., view.rows]
        self.stores[view].add_rows(batch.start, counts, inputs, own)


def verify_gradients(model: Model, probe: Probe, settings: ScanSettings) -> dict[str, str]:
    """Compare tapped gradients with autograd's, on the first sequence, first and last layer measured.

    Args:
        model: as the engine gets it, inside the engine's numerics.
        probe: its first sequence, cut to 64 tokens.
        settings: which matrices.

    Returns:
        Components that fail, and why, of an architecture that is not known by name.

    Raises:
        ModelError: a matrix of a known architecture whose tapped gradient is not autograd's, by name
            and by how much.
    """
    layers = select_layers(settings.layers, len(model.blocks))
    ends = sorted({layers[0], layers[-1]})
    views, _ = select_matrices(model, settings.matrices, ends, measurement="gradient")
    if model.recognised:
        _compare(model, probe, settings, views)
        return {}
    failed: dict[str, str] = {}
    groups: dict[str, list[MatrixView]] = {}
    for view in views:
        groups.setdefault(_EXPERT.sub("experts.*", view.site.component), []).append(view)
    for group in groups.values():
        try:
            _compare(model, probe, settings, tuple(group))
        except ModelError as error:
            failed |= dict.fromkeys((view.site.component for view in group), str(error))
    return failed


def _compare(model: Model, probe: Probe, settings: ScanSettings, views: tuple[MatrixView, ...]) -> None:
    if not views:
        return
    parameters = {view: getattr(view.module, view.parameter) for view in views}
    device = next(iter(parameters.values())).device
    tokens = probe.tokens[:1, :_LENGTH].to(device)
    targets = probe.targets[:1, :_LENGTH].to(device)
    clock = Clock(batch=Batch(start=0, stop=1, length=tokens.shape[1], tokens=tokens))
    tapped = _OneGradient(views, next(iter(parameters.values())).dtype, device)
    with ExitStack() as stack, torch.enable_grad():
        stack.enter_context(tapped_gradients(model, tapped, clock))
        sequence_losses(model.head, model.trunk(tokens), targets, model.vocab_size, clock)
    expected = _autograd(model, tokens, targets, list(dict.fromkeys(parameters.values())))
    for view, parameter in parameters.items():
        truth = view.part_of(expected[parameter]).to(torch.float64)
        found = tapped.stores[view].rows()[0].to(torch.float64)
        scale = float(truth.abs().max())
        error = float((found - truth).abs().max())
        tolerance = _TOLERANCE[settings.dtype]
        if tapped.dtypes.get(view) == torch.float32:
            # some routers work in float32 whatever the model's dtype
            tolerance = max(tolerance, _TOLERANCE["float32"])
        # A checkpoint whose gradient is NaN is reported by the measurement itself.
        if not math.isnan(scale) and not error <= tolerance * scale + 1e-30:
            raise ModelError(
                f"the gradient of {view.site.address} ({view.site.name}) seen through its taps differs from "
                f"autograd's by {error:.3g}, where its largest entry is {scale:.3g}: this architecture "
                f"({model.architecture}) uses the matrix in a way that is not understood; "
                f"leave {view.site.component} out of --matrices"
            )


def _autograd(
    model: Model, tokens: Tensor, targets: Tensor, parameters: list[nn.Parameter]
) -> dict[nn.Parameter, Tensor]:
    """The gradient of the first sequence's loss, by plain autograd; flags are put back."""
    for parameter in parameters:
        parameter.requires_grad_()
    try:
        with torch.enable_grad():
            logits = model.head(model.trunk(tokens))
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
            loss = nn.functional.cross_entropy(wide[0], targets[0], ignore_index=-100)
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)  # noqa: FBT003
    return {
        parameter: torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    }
