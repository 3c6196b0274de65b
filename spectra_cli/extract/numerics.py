"""The number format of a pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.protocols import Model


@contextmanager
def numerics(model: Model, settings: ScanSettings) -> Iterator[None]:
    """The pass in the stated dtype: full float32 products (no TF32), float64, or bfloat16 autocast."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    if settings.dtype == "float64":
        in_dtype(model.module, torch.float64)
    device = next(model.module.parameters()).device
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.dtype == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def in_dtype(module: nn.Module, dtype: torch.dtype) -> None:
    """Bring floating-point parameters and buffers to `dtype`, in place; complex ones keep both parts."""

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    module._apply(cast)


@contextmanager
def half_weights(model: Model) -> Iterator[None]:
    """Let linear maps hold their weights in bfloat16, for passes under autocast.

    Autocast would round the same weights to the same values anew at every call (it remembers only
    weights that ask for a gradient): of a head with 50,304 rows that is as dear as the product.
    """
    with ExitStack() as swaps:
        for module in model.module.modules():
            if is_plain_linear(module):
                swaps.callback(setattr, module, "weight", module.weight)
                rounded = module.get_parameter("weight").bfloat16()
                module.weight = nn.Parameter(rounded, requires_grad=False)
        yield


def is_plain_linear(module: nn.Module) -> bool:
    """Whether all that the module does with its weight is a product that autocast rounds for."""
    kind = type(module)
    of_transformers = kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"
    of_torch = isinstance(module, nn.Linear) and kind.forward is nn.Linear.forward
    # neither a forward that somebody put in its place, nor a weight that is computed at each call
    is_own = "forward" not in vars(module) and "weight" in dict(module.named_parameters(recurse=False))
    return (of_transformers or of_torch) and is_own
