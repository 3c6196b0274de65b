"""Linear maps through oneDNN for float32 passes on x86 CPUs.

torch hands float32 products to MKL, which on processors that are not Intel's runs at a fraction of what
oneDNN, in the same torch, reaches. Both round like float32; `benchmarks/linear_rate.py` measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.extract.numerics import is_plain_linear
from spectra_cli.extract.protocols import Model


@contextmanager
def onednn_linears(model: Model) -> Iterator[None]:
    """Let the model's plain linear maps work through oneDNN, where there is one; gone on every exit path.

    Only maps whose parameters ask for no gradient: a pass measures through taps, which need none.
    """
    with ExitStack() as swaps:
        for module in model.module.modules() if has_onednn() else ():
            if is_plain_linear(module) and _suits(module.get_parameter("weight")):
                module.forward = partial(_forward, module, module.forward)
                swaps.callback(delattr, module, "forward")
        yield


def linear_library(device: torch.device, dtype: str) -> str:
    """What works the linear maps of a pass (dtype as in `ScanSettings`): `onednn` or `torch`."""
    return "onednn" if device.type == "cpu" and dtype == "float32" and has_onednn() else "torch"


def has_onednn() -> bool:
    """Whether this torch has oneDNN, and the processor the instructions that it is fast with."""
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() in (
        "AVX2",
        "AVX512",
    )


def _suits(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and not weight.requires_grad


def _forward(module: nn.Module, plain: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """(..., I) -> (..., O); what the module itself would compute, up to float32 rounding."""
    if inputs.dtype != torch.float32 or not inputs.numel():
        return plain(inputs)
    weight: Tensor = module.get_parameter("weight")
    weight_OI = weight if isinstance(module, nn.Linear) else weight.T
    product: Tensor = _Linear.apply(inputs, weight_OI, module.bias)  # type: ignore[no-untyped-call]
    return product


class _Linear(torch.autograd.Function):
    """`x W^T + b`, whose backward knows the gradient of x alone."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight_OI: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight_OI)
        return float32_product(inputs, weight_OI, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight_OI,) = ctx.saved_tensors
        return float32_product(gradients[0], weight_OI.T), None, None


def float32_product(inputs: Tensor, weight_OI: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b` by oneDNN, (..., I) -> (..., O); the weight may be a transposed view."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight_OI, bias, "none", [], "")
    return product
