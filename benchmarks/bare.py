"""The floor: the same module doing the passes that a scan needs, with nothing measured.

Forward over the covariance probe, and forward and backward over the gradient probe with the weight
gradients of the measured matrices. `shared=True` is the stricter floor, in which, as in a scan, the
gradient sequences' forward pass is also the covariance's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.losses import chunk_bytes
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices


def measured_matrices(model: Model, settings: ScanSettings) -> tuple[MatrixView, ...]:
    """The matrices that a scan with these settings takes gradients of."""
    layers = select_layers(settings.layers, len(model.blocks))
    return select_matrices(model, settings.matrices, layers, measurement="gradient")[0]


def run_bare(
    model: Model, probe: Probe, settings: ScanSettings, *, batch_size: int, shared: bool = False
) -> None:
    """Both passes in batches of `batch_size`; logits a few sequences at a time, which is faster."""
    parameters = [getattr(view.module, view.parameter) for view in measured_matrices(model, settings)]
    edge, last = settings.num_gradient_sequences, settings.num_sequences
    with numerics(model, settings):
        for start in range(edge if shared else 0, last, batch_size):
            _forward(model, probe, slice(start, min(start + batch_size, last)))
        try:
            for parameter in parameters:
                parameter.requires_grad_(True)  # noqa: FBT003 - torch's own signature
            for start in range(0, edge, batch_size):
                _forward_backward(model, probe, slice(start, min(start + batch_size, edge)))
                for parameter in parameters:
                    parameter.grad = None
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)  # noqa: FBT003


@torch.inference_mode()
def _forward(model: Model, probe: Probe, sequences: slice) -> None:
    hidden = model.trunk(probe.tokens[sequences])
    for part in hidden.split(_sequences_a_head_call(model, probe)):
        model.head(part)


def _forward_backward(model: Model, probe: Probe, sequences: slice) -> None:
    hidden = model.trunk(probe.tokens[sequences])
    leaf = hidden.detach().requires_grad_()
    step = _sequences_a_head_call(model, probe)
    for part, targets in zip(leaf.split(step), probe.targets[sequences].split(step), strict=True):
        _summed_loss(model.head(part), targets).backward()
    hidden.backward(leaf.grad)


def _summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over sequences of the mean token cross-entropy; every position has a target."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()) * len(targets)


def _sequences_a_head_call(model: Model, probe: Probe) -> int:
    return max(1, chunk_bytes(probe.tokens.device) // (4 * model.vocab_size * probe.tokens.shape[1]))
