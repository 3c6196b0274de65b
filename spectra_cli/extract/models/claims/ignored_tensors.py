"""Tensors of a file that a transformers class ignores on purpose, told from those that fit no model.

Published mixtures bring layers that predict further tokens (multi-token prediction), behind their last block
or under `mtp`. The class names them in `_keys_to_ignore_on_load_unexpected`; where it does not, the
configuration counts them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from spectra_cli.core.words.names import listed
from spectra_cli.core.words.numbers import size
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.protocols import TensorHeader

_LAYER = re.compile(r"(?P<list>(?:^|.*\.)(?:layers|h|blocks))\.(?P<number>\d{1,9})\.(?P<part>.+)")
_NUM_PREDICTION_LAYERS = ("num_nextn_predict_layers", "num_mtp_layers")
# what joins a prediction layer to the model: DeepSeek's name, kept by all that came after
_JOINS = ("eh_proj.weight", "enorm.weight", "hnorm.weight")
_NUM_NAMED = 4


def ignored_on_purpose(module: Any, unexpected: Collection[str], stored: Collection[str]) -> set[str]:
    """Those of the `unexpected` tensors that the class of `module` leaves out by name.

    A layer with nothing but the parts of an ordinary block is none of them, whatever its number: the
    model is then of more layers than the configuration says.

    Args:
        module: the model, with `config`; unexpected: names that it has no place for.
        stored: names of all tensors of the file.
    """
    patterns = list(getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ())
    # masks that old versions stored: a bias of the same name is told from them by its shape, elsewhere
    named = [pattern for pattern in patterns if not pattern.endswith("bias")]
    counted = _counted_layers(module.config)
    ordinary, parts = _parts_by_layer(module, stored)
    ignored = set()
    for name in unexpected:
        layer = _LAYER.fullmatch(name)
        by_class = any(re.search(pattern, name) for pattern in named)
        if layer is None:
            ignored |= {name} if by_class else set()
            continue
        own = parts[int(layer["number"])]
        by_count = int(layer["number"]) in counted and any(part.endswith(_JOINS) for part in own)
        if (by_class or by_count) and not own <= ordinary:
            ignored.add(name)
    return ignored


def _counted_layers(config: Any) -> range:
    """Numbers of the prediction layers that the configuration counts, behind those of the model."""
    counts = [getattr(config, name, None) for name in _NUM_PREDICTION_LAYERS]
    count = next((number for number in counts if type(number) is int and number > 0), 0)
    first = getattr(config, "num_hidden_layers", None)
    return range(first, first + count) if type(first) is int else range(0)


def _parts_by_layer(module: Any, stored: Collection[str]) -> tuple[set[str], dict[int, set[str]]]:
    """What the blocks of the model consist of, and what each layer of the file does."""
    num_layers = getattr(module.config, "num_hidden_layers", 0)
    ordinary: set[str] = set()
    parts: dict[int, set[str]] = defaultdict(set)
    for name in stored:
        if layer := _LAYER.fullmatch(name):
            parts[int(layer["number"])].add(layer["part"])
            if int(layer["number"]) < num_layers:
                ordinary.add(layer["part"])
    return ordinary, parts


def ignored_notice(architecture: str, ignored: Collection[str], tensors: Mapping[str, TensorHeader]) -> str:
    """What was left out: how many tensors, how many bytes, and of which parts."""
    headers = [found for name in ignored if (found := _header(name, tensors)) is not None]
    num_bytes = sum(math.prod(header.shape) * header.dtype.itemsize for header in headers)
    groups = sorted({_group(name) for name in ignored})
    return (
        f"{counted(len(ignored), 'tensor')} ({size(num_bytes)}) {agreed(len(ignored))} no part of "
        f"{architecture}, which leaves such out on "
        f"purpose, and {agreed(len(ignored))} not measured: {listed(groups, _NUM_NAMED)}"
    )


def _header(name: str, tensors: Mapping[str, TensorHeader]) -> TensorHeader | None:
    """Of a tensor that the model may know by a longer name than the file."""
    return tensors.get(name) or next((h for own, h in tensors.items() if name.endswith(f".{own}")), None)


def _group(name: str) -> str:
    """The part of the model that a tensor is of: its layer, or its outermost module but for `model`."""
    if layer := _LAYER.fullmatch(name):
        return f"{layer['list']}.{layer['number']}.*"
    first, _, rest = name.partition(".")
    second, _, inside = rest.partition(".")
    if first != "model" or not inside:
        return f"{first}.*" if rest else name
    return f"{first}.{second}.*"


def may_be_missing(module: Any, missing: Collection[str]) -> set[str]:
    """Those of the `missing` tensors that the class lets be missing by name and starts at a constant.

    A matrix that starts at random never is: its numbers would be nobody's.
    """
    patterns = list(getattr(module, "_keys_to_ignore_on_load_missing", None) or ())
    return {
        name
        for name in missing
        if any(re.search(pattern, name) for pattern in patterns) and _is_constant(_tensor(module, name))
    }


def _tensor(module: nn.Module, name: str) -> torch.Tensor:
    return module.get_parameter_or_buffer(name)  # type: ignore[operator, no-any-return]


def _is_constant(tensor: torch.Tensor) -> bool:
    """Whether all its entries are one number; on the meta device, whether it is a vector."""
    if tensor.is_meta:
        return tensor.ndim <= 1
    return tensor.ndim <= 1 and bool((tensor == tensor.reshape(-1)[:1]).all())
