"""The protocol as the paper's public scripts run it, written plainly: the rival of the one-pass scan.

Every layer costs a forward pass from the embedding up to it, with float32 products on the host. Every
(layer, matrix) costs one forward and backward pass a sequence, with that matrix alone asking for a
gradient, a dense stack of all gradients, and a singular value decomposition on the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.bare import measured_matrices
from benchmarks.ours import COVARIANCE, GRADIENT, Spectra
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import FloatArray
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers

RMS_EPS = 1e-6


class _Reached(Exception):
    """Thrown behind the layer that was wanted."""


def run_naive(model: Model, probe: Probe, settings: ScanSettings, *, batch_size: int) -> Spectra:
    """Covariance eigenvalues of every layer, gradient singular values of every matrix."""
    found: dict[tuple[str, str], FloatArray] = {}
    tokens = probe.tokens[: settings.num_sequences]
    for layer in select_layers(settings.layers, len(model.blocks)):
        covariance = _covariance(model, layer, tokens, batch_size)
        found[COVARIANCE, f"blocks.{layer}.resid_post"] = torch.linalg.eigvalsh(covariance).flip(0).numpy()
    for view in measured_matrices(model, settings):
        stack = _gradient_stack(model, view, probe, settings.num_gradient_sequences)
        found[GRADIENT, view.site.address] = torch.linalg.svdvals(stack).double().numpy()
    return found


@torch.no_grad()
def _covariance(model: Model, layer: int, tokens: Tensor, batch_size: int) -> Tensor:
    """(D, D) float64 covariance of the RMS-normalised residual stream after one layer."""
    count = 0
    total = torch.zeros(model.width, dtype=torch.float64)
    products = torch.zeros(model.width, model.width, dtype=torch.float64)
    for batch in tokens.split(batch_size):
        hidden = _forward_to(model, layer, batch)
        rows = hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + RMS_EPS)
        rows = rows.flatten(0, 1).float().cpu()
        count += rows.shape[0]
        total += rows.sum(0).double()
        products += (rows.T @ rows).double()
    mean = total / count
    return (products - count * torch.outer(mean, mean)) / (count - 1)


def _forward_to(model: Model, layer: int, tokens: Tensor) -> Tensor:
    """The residual stream after `layer`, from the embedding; no later layer runs."""
    caught: list[Tensor] = []

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        caught.append(output if isinstance(output, Tensor) else output[0])
        raise _Reached

    handle = model.blocks[layer].register_forward_hook(stop)
    try:
        model.trunk(tokens)
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0]


def _gradient_stack(model: Model, view: MatrixView, probe: Probe, num_sequences: int) -> Tensor:
    """(n, P) float32: one row a sequence, each from its own forward and backward pass."""
    parameter: Tensor = getattr(view.module, view.parameter)
    stack = torch.empty(num_sequences, view.shape[0] * view.shape[1])
    parameter.requires_grad_(True)  # noqa: FBT003 - torch's own signature
    try:
        for row, tokens, targets in zip(stack, probe.tokens, probe.targets, strict=False):
            logits = model.head(model.trunk(tokens[None]))
            (gradient,) = torch.autograd.grad(functional.cross_entropy(logits[0], targets), parameter)
            matrix = gradient.T if view.transposed else gradient
            row.copy_((matrix if view.rows is None else matrix[view.rows]).flatten())
    finally:
        parameter.requires_grad_(False)  # noqa: FBT003
    return stack
