"""A model is measured only after its taps were checked against autograd.

Sites of an architecture are a claim: that a module's inputs and output gradients carry the whole
gradient of a matrix, that rows of a fused matrix are the right ones, that the head is all there is
between the trunk and the loss. One short sequence settles it. Where the architecture is not known by
name, two sequences together also show whether each one's own gradient can be told from the other's.
"""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.measurements import GRADIENT
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.gradient_store import DenseGradients
from spectra_cli.extract.measurements.measurement import Batch, Counts
from spectra_cli.extract.passes.losses import model_losses
from spectra_cli.extract.passes.taps import Clock, tapped_gradients
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices

_LENGTH = 64
# Largest difference allowed, relative to the largest entry of the gradient: room for rounding in deep
# models, far below what a wrong row or a missed call would show. A float64 pass leaves room for the float32
# that some architectures (Mamba-2's scan, softmaxes) work in inside.
_TOLERANCE = {"float64": 1e-5, "float32": 1e-3, "bfloat16": 0.1}
# Experts are checked in one go: no short sequence reaches each of them.
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the taps can be trusted with, by component.

    Attributes:
        untappable: component -> why its gradient cannot be seen.
        alone: components that are right only with one sequence a batch.
    """

    untappable: dict[str, str] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()


class _FewGradients:
    """The tapped gradients of some sequences, and the dtypes in which they came."""

    def __init__(
        self, views: tuple[MatrixView, ...], number: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.views = views
        arena = Arena(device)
        self.stores = {view: DenseGradients(number, view.shape, dtype=dtype, arena=arena) for view in views}
        self.dtypes: dict[MatrixView, torch.dtype] = {}

    def observe(
        self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch, counts: Counts = None
    ) -> None:
        self.dtypes[view] = delta.dtype
        self.stores[view].add(batch.start, inputs, delta, counts)


def verify_gradients(model: Model, probe: Probe, settings: ScanSettings) -> Verified:
    """Compare tapped gradients with autograd's, on the first sequence, first and last layer measured; on
    the first two, where the architecture is not known by name.

    Args:
        model: as the engine gets it, inside the engine's numerics.
        probe: its first sequences, cut to 64 tokens.
        settings: which matrices.

    Returns:
        Components that fail, of an architecture that is not known by name.

    Raises:
        ModelError: a matrix of a known architecture whose tapped gradient is not autograd's, by name
            and by how much.
    """
    layers = select_layers(settings.layers, len(model.blocks))
    ends = sorted({layers[0], layers[-1]})
    views, _ = select_matrices(model, settings.matrices, ends, measurement=GRADIENT)
    if model.recognised:
        _compare(model, probe, settings, views, number=1)
        return Verified()
    untappable: dict[str, str] = {}
    alone: set[str] = set()
    groups: dict[str, list[MatrixView]] = {}
    for view in views:
        groups.setdefault(_NUMBER.sub("*", view.site.component), []).append(view)
    for name, group in groups.items():
        # the same kind of matrix in the layers that were not looked at
        kind = {v.site.component for v in model.matrices if _NUMBER.sub("*", v.site.component) == name}
        try:
            _compare(model, probe, settings, tuple(group), number=min(2, len(probe.tokens)))
        except ModelError:
            try:
                _compare(model, probe, settings, tuple(group), number=1)
                alone |= kind
            except ModelError as error:
                untappable |= dict.fromkeys(kind, str(error))
    return Verified(untappable=untappable, alone=frozenset(alone))


def _compare(
    model: Model, probe: Probe, settings: ScanSettings, views: tuple[MatrixView, ...], *, number: int
) -> None:
    if not views:
        return
    parameters = {view: getattr(view.module, view.parameter) for view in views}
    unique = list(dict.fromkeys(parameters.values()))
    device = unique[0].device
    tokens = probe.tokens[:number, :_LENGTH].to(device)
    targets = probe.targets[:number, :_LENGTH].to(device)
    clock = Clock(batch=Batch(start=0, stop=number, length=tokens.shape[1], tokens=tokens))
    tapped = _FewGradients(views, number, unique[0].dtype, device)
    with ExitStack() as stack, torch.enable_grad():
        stack.enter_context(tapped_gradients(model, tapped, clock))
        model_losses(model, tokens, targets, clock)
    for sequence in range(number):
        of_one = slice(sequence, sequence + 1)
        expected = _autograd(model, tokens[of_one], targets[of_one], unique)
        for view, parameter in parameters.items():
            truth = view.part_of(expected[parameter])
            _require_equal(model, settings, view, tapped, sequence=sequence, truth=truth)


def _require_equal(
    model: Model,
    settings: ScanSettings,
    view: MatrixView,
    tapped: _FewGradients,
    *,
    sequence: int,
    truth: Tensor,
) -> None:
    truth = truth.to(torch.float64)
    found = tapped.stores[view].rows()[sequence].to(torch.float64)
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
    """The gradient of one sequence's loss, by plain autograd; flags are put back."""
    for parameter in parameters:
        parameter.requires_grad_()
    try:
        with torch.enable_grad():
            found = torch.autograd.grad(_loss(model, tokens, targets), parameters, allow_unused=True)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)  # noqa: FBT003
    return {
        parameter: torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    }


def _loss(model: Model, tokens: Tensor, targets: Tensor) -> Tensor:
    """Mean token loss of one sequence, in one piece."""
    if model.loss is not None:
        return model.loss(tokens, targets).sum()
    logits = model.head(model.trunk(tokens))
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return nn.functional.cross_entropy(wide[0], targets[0], ignore_index=-100)
