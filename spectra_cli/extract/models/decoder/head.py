"""From the final hidden state to logits: the FP8 head, emulated, and the soft caps.

The FP8 head of the paper's variants 16 to 19 multiplies e4m3 operands with fixed scales,

    logits = bf16((e4m3(2 x) e4m3(32 W)^T) / 64)
    dx     = bf16((e5m2(2^29 bf16(g)) e4m3(32 W)) / (2^29 32))
    dW     = (e5m2(2^29 bf16(g))^T e4m3(2 x)) / (2^29 2)

Here the operands are rounded so and multiplied in the dtype of the pass, on any device. Each rounding
stands outside the linear map, so that the map's input and output gradient give dW as written.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

SoftCapKind = Literal["none", "tanh", "sigmoid"]

_INPUT_SCALE, _WEIGHT_SCALE = 2.0, 32.0
_GRADIENT_EXPONENT = 29
_LARGEST_E5M2 = 57344.0


def soft_cap(logits: Tensor, kind: SoftCapKind, cap: float, *, width: int) -> Tensor:
    """tanh: c tanh(z / c). sigmoid: 2c sigmoid(z / (c sqrt(D) / 2)), in (0, 2c). A cap <= 0 does nothing."""
    if kind == "none" or cap <= 0:
        return logits
    if kind == "tanh":
        return cap * torch.tanh(logits / cap)
    return 2 * cap * torch.sigmoid(logits / (0.5 * cap * width**0.5))


class _RoundInput(torch.autograd.Function):
    """Forward e4m3(2 x) / 2; backward rounds the gradient to bfloat16."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return _rounded(x, torch.float8_e4m3fn, _INPUT_SCALE)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].bfloat16().to(gradients[0].dtype)


class _RoundOutput(torch.autograd.Function):
    """Forward rounds to bfloat16; backward e5m2(2^29 g) / 2^29, of a g in bfloat16, as logits' gradients are.

    A row whose largest entry 2^29 would carry beyond e5m2 (means over fewer tokens than the 65,536 of
    training) takes the largest power of two that does not; only what underflows depends on that.
    """

    @staticmethod
    def forward(_ctx: Any, y: Tensor) -> Tensor:
        return y.bfloat16().to(y.dtype)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        g = gradients[0].bfloat16().to(gradients[0].dtype)
        largest = g.abs().amax(-1, keepdim=True).to(torch.float32)
        exponent = (_LARGEST_E5M2 / largest).log2().floor().clamp(max=_GRADIENT_EXPONENT)
        return _rounded(g, torch.float8_e5m2, exponent.exp2().to(g.dtype))


class _StandIn(torch.autograd.Function):
    """Forward gives the second tensor; backward hands its gradient to the first."""

    @staticmethod
    def forward(_ctx: Any, _weight: Tensor, rounded: Tensor) -> Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _rounded(x: Tensor, to: torch.dtype, scale: float | Tensor) -> Tensor:
    return (x * scale).to(to).to(x.dtype) / scale


class Fp8Linear(nn.Linear):
    """A linear map without bias whose weight takes part as e4m3(32 W) / 32."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(fan_in, fan_out, bias=False)
        self._kept: tuple[tuple[Any, ...], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O); `x` already rounded."""
        weight: Tensor = _StandIn.apply(self.weight, self._rounded_weight())  # type: ignore[no-untyped-call]
        return functional.linear(x, weight)

    def _rounded_weight(self) -> Tensor:
        """Rounded once for each state of the weight, and in the dtype in which it is multiplied."""
        weight = self.weight.detach()
        kind = weight.device.type
        autocast = kind != "meta" and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else weight.dtype
        state = (id(self.weight), self.weight._version, weight.device, dtype)
        if self._kept is None or self._kept[0] != state:
            # e4m3 over a power of two is exact also in bfloat16
            self._kept = (state, _rounded(weight, torch.float8_e4m3fn, _WEIGHT_SCALE).to(dtype))
        return self._kept[1]


def fp8_logits(linear: nn.Module, x: Tensor) -> Tensor:
    """(..., D) -> (..., V) through an `Fp8Linear`, with all roundings."""
    rounded: Tensor = _RoundInput.apply(x)  # type: ignore[no-untyped-call]
    logits: Tensor = _RoundOutput.apply(linear(rounded))  # type: ignore[no-untyped-call]
    return logits
