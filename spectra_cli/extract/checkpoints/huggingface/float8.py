"""Weights in 8-bit floating point with their scales, as float32: W = Q * S, S stretched over its blocks.

Layouts: `weight_scale_inv`, one number a block of rows and columns (DeepSeek; a multiplier in spite of
its name), and `weight_scale`, one a tensor or one a row (compressed-tensors, fbgemm, ModelOpt).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.state_dicts import header_of
from spectra_cli.extract.protocols import TensorHeader

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)

_BLOCK_SCALE, _SCALE = "_scale_inv", "_scale"
_OF_ACTIVATIONS = ("input_scale", "output_scale", "k_scale", "v_scale", "q_scale", "activation_scale")
_METHODS = ("fp8", "compressed-tensors", "fbgemm_fp8", "modelopt")

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Float8Layout:
    """How the 8-bit weights of a checkpoint are stored.

    Attributes:
        scales: weight -> the tensor that holds its scales, None where it has none.
        block: rows and columns of a block, where the configuration says so.
        unused: scales of activations, which no weight needs.
    """

    scales: Mapping[str, str | None]
    block: tuple[int, int] | None
    unused: frozenset[str]

    @property
    def not_weights(self) -> set[str]:
        """Tensors that leave the state once they are used."""
        return {scale for scale in self.scales.values() if scale} | self.unused


def float8_layout(
    tensors: Mapping[str, TensorHeader], config: Mapping[str, Any], *, where: str
) -> Float8Layout | None:
    """The layout of the 8-bit weights, None where there are none.

    Raises:
        CheckpointError: scales of a shape that no layout has, or a transform that was applied as well.
    """
    weights = [name for name, header in tensors.items() if header.dtype in FLOAT8]
    if not weights:
        return None
    stated = _quantization(config)
    if stated.get("transform_config"):
        raise CheckpointError(
            f"{where}: its weights were rotated before they were quantised (transform_config); "
            "save it dequantised first"
        )
    scales = {name: _scale_of(name, tensors) for name in weights}
    size = stated.get("weight_block_size")
    block = (int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None
    layout = Float8Layout(
        scales=scales,
        block=block,
        unused=frozenset(name for name in tensors if name.rpartition(".")[2] in _OF_ACTIVATIONS),
    )
    for name, scale in scales.items():
        if scale is not None:
            _blocks(tensors[name].shape, tensors[scale].shape, layout, where=f"{where}: {scale}")
    return layout


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    stated = config.get("quantization_config") or config.get("compression_config")
    return stated if isinstance(stated, Mapping) else {}


def _scale_of(weight: str, tensors: Mapping[str, TensorHeader]) -> str | None:
    return next((weight + end for end in (_BLOCK_SCALE, _SCALE) if weight + end in tensors), None)


def _blocks(shape: Shape, scale: Shape, layout: Float8Layout, *, where: str) -> tuple[int, int]:
    """Rows and columns that one scale stands for."""
    if math.prod(scale) == 1:
        return max(1, shape[0]), max(1, shape[-1])
    if len(shape) == 2 and scale in ((shape[0],), (shape[0], 1)):
        return 1, max(1, shape[1])
    if len(shape) == 2 and len(scale) == 2:
        # without a stated size: 128 where it fits, as DeepSeek has it
        rows, columns = layout.block or (128, 128)
        if scale == (-(-shape[0] // rows), -(-shape[1] // columns)):
            return rows, columns
    raise CheckpointError(
        f"{where} has shape {scale} for a weight of shape {shape}; expected one number, one a row, or one a "
        f"block of {layout.block or (128, 128)}; save it dequantised first"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A checkpoint's description as it is once its 8-bit weights are dequantised.

    Attributes:
        tensors, config, read_bytes: as in `CheckpointHeader`.
        notices: what the user must know about them.
    """

    tensors: Mapping[str, TensorHeader]
    config: Mapping[str, Any]
    read_bytes: int | None = None
    notices: tuple[str, ...] = ()


def with_float8_dequantised(
    tensors: Mapping[str, TensorHeader], config: Mapping[str, Any], *, where: str
) -> Described:
    """The description after `dequantised`; the same one where no weight is stored in 8 bits.

    Raises:
        CheckpointError: as `float8_layout`.
    """
    layout = float8_layout(tensors, config, where=where)
    if layout is None:
        return Described(tensors=tensors, config=config)
    read = {
        name: TensorHeader(shape=header.shape, dtype=torch.float32) if name in layout.scales else header
        for name, header in tensors.items()
        if name not in layout.not_weights
    }
    method = _quantization(config).get("quant_method", "fp8")
    spent = ("quantization_config", "compression_config") if method in _METHODS else ()
    return Described(
        tensors=read,
        config={name: value for name, value in config.items() if name not in spent},
        read_bytes=sum(math.prod(h.shape) * h.dtype.itemsize for h in read.values()),
        notices=_notices(tensors, layout),
    )


def dequantised(state: dict[str, Tensor], config: Mapping[str, Any], *, where: str) -> dict[str, Tensor]:
    """The state with its 8-bit weights in float32 and without their scales.

    Raises:
        CheckpointError: as `float8_layout`.
    """
    layout = float8_layout({name: header_of(tensor) for name, tensor in state.items()}, config, where=where)
    if layout is None:
        return state
    return {
        name: _product(state, name, layout, where=where) if name in layout.scales else tensor
        for name, tensor in state.items()
        if name not in layout.not_weights
    }


def _product(state: Mapping[str, Tensor], name: str, layout: Float8Layout, *, where: str) -> Tensor:
    weight, scale = state[name].to(torch.float32), layout.scales[name]
    if scale is None:
        return weight
    factor = state[scale].to(torch.float32)
    rows, columns = _blocks(tuple(weight.shape), tuple(factor.shape), layout, where=f"{where}: {scale}")
    if factor.numel() == 1:
        return weight.mul_(factor.reshape(()))
    factor = factor.reshape(factor.shape[0], -1)
    for number, start in enumerate(range(0, weight.shape[0], rows)):
        weight[start : start + rows] *= factor[number].repeat_interleave(columns)[: weight.shape[1]]
    return weight


def _notices(tensors: Mapping[str, TensorHeader], layout: Float8Layout) -> tuple[str, ...]:
    kinds = ", ".join(sorted({str(tensors[name].dtype).removeprefix("torch.") for name in layout.scales}))
    unscaled = sum(scale is None for scale in layout.scales.values())
    noise = "the tails of their spectra carry quantisation noise"
    notices = [f"{len(layout.scales)} weights stored as {kinds} are dequantised to float32: {noise}"]
    if unscaled:
        notices.append(f"{unscaled} of them have no scales: read as the plain numbers that they are")
    if layout.unused:
        notices.append(f"{len(layout.unused)} scales of activations are not read")
    return tuple(notices)
