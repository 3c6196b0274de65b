"""Which nanochat model a checkpoint holds: what its training code changed over time, told by the tensors.

The constants of a generation stand in no tensor and in no metadata. Each generation is known by tensors
that came in with its constants:

    no value embeddings      2 sigmoid gates do not exist; base 10 000; short window T / 2
    ve_gate of 32 channels   v + 2 sigmoid(gate) ve; base 10 000; short window T / 2
    ve_gate of 12 channels   v + 3 sigmoid(gate) ve; base 100 000; q and k times 1.15; T / 3 in tiles of 128
    smear and backout        as before, with q and k times 1.2 and T / 4 in tiles of 128

A value in `model_config` under the name of an attribute below (`rotary_base`, `qk_scale`,
`short_window`, `gate_scale`) comes before these.

Source: github.com/karpathy/nanochat, nanochat/gpt.py, October 2025 to March 2026.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectra_cli.core.errors import ModelError
from spectra_cli.core.words.plurals import counted

Shape = tuple[int, ...]

SOFTCAP = 15.0
SMEAR_CHANNELS = 24

_SIZES = ("sequence_len", "vocab_size", "n_layer", "n_head", "n_kv_head", "n_embd")
# what the user may state
SETTINGS = (*_SIZES, "window_pattern", "short_window", "rotary_base", "qk_scale", "gate_scale")
_TILE = 128
_VALUE_EMBEDDING = re.compile(r"value_embeds\.(\d+)\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class NanochatConfig:
    """One nanochat model.

    Attributes:
        sequence_len, vocab_size, n_layer, n_head, n_kv_head, n_embd: as in `model_config`.
        padded_vocab_size: rows of the embeddings; logits beyond `vocab_size` are cut off.
        windows: for each layer, how many tokens before its own a query sees.
        rotary_base: of the rotary frequencies; `qk_scale`: of q and k after their norm.
        lambdas: whether each layer's input is a mix of residual stream and first embedding.
        value_layers: layers whose values are mixed with an embedding of the token.
        gate_channels, gate_scale: inputs and largest value of the gates of those embeddings.
        smear: whether the previous token's embedding is mixed in, and half the stream taken out at the end.
    """

    sequence_len: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    padded_vocab_size: int
    windows: tuple[int, ...]
    rotary_base: float
    qk_scale: float
    lambdas: bool
    value_layers: tuple[int, ...]
    gate_channels: int
    gate_scale: float
    smear: bool

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head


@dataclass(frozen=True, slots=True, kw_only=True)
class _Generation:
    """The constants that came in together."""

    name: str
    rotary_base: float
    qk_scale: float
    gate_scale: float
    window_share: int


_ORIGINAL = _Generation(name="2025", rotary_base=1e4, qk_scale=1.0, gate_scale=2.0, window_share=2)
_TUNED = _Generation(name="ve_gate of 12", rotary_base=1e5, qk_scale=1.15, gate_scale=3.0, window_share=3)
_SMEARED = _Generation(name="smear", rotary_base=1e5, qk_scale=1.2, gate_scale=3.0, window_share=4)


def infer_nanochat(
    shapes: Mapping[str, Shape], arguments: Mapping[str, Any], *, where: str
) -> tuple[NanochatConfig, tuple[str, ...]]:
    """The model that tensors of these names and shapes belong to, and what had to be assumed.

    Args:
        shapes: name -> shape.
        arguments: `model_config` of the checkpoint's meta file.
        where: the checkpoint, for messages.

    Raises:
        ModelError: sizes that are missing or contradict each other, or value embeddings of a kind that
            is not known.
    """
    sizes = _sizes(arguments, where)
    if sizes["n_layer"] > len(shapes):
        raise ModelError(
            f"{where}: model_config claims {counted(sizes['n_layer'], 'layer')} for "
            f"{counted(len(shapes), 'tensor')}"
        )
    embedding = shapes.get("transformer.wte.weight", ())
    if len(embedding) != 2 or embedding[0] < sizes["vocab_size"] or embedding[1] != sizes["n_embd"]:
        raise ModelError(
            f"{where}: transformer.wte.weight is {embedding or 'missing'}; expected at least "
            f"{sizes['vocab_size']} rows of {sizes['n_embd']}, as its model_config says"
        )
    value_layers = tuple(sorted(int(m[1]) for name in shapes if (m := _VALUE_EMBEDDING.fullmatch(name))))
    channels = _gate_channels(shapes, value_layers, where)
    smear = "smear_gate.weight" in shapes
    generation = _generation(value_layers, channels, smear=smear, where=where)
    pattern = _pattern(arguments, where)
    usual = _short_window(sizes["sequence_len"], generation.window_share)
    short = int(_number(arguments, "short_window", usual, where, least=0, whole=True))
    config = NanochatConfig(
        **sizes,
        padded_vocab_size=embedding[0],
        windows=_windows(pattern, sizes["n_layer"], long=sizes["sequence_len"], short=short),
        rotary_base=_number(arguments, "rotary_base", generation.rotary_base, where),
        qk_scale=_number(arguments, "qk_scale", generation.qk_scale, where),
        lambdas="resid_lambdas" in shapes,
        value_layers=value_layers,
        gate_channels=channels,
        gate_scale=_number(arguments, "gate_scale", generation.gate_scale, where, least=0),
        smear=smear,
    )
    return config, _assumed(config, pattern, short)


def _sizes(arguments: Mapping[str, Any], where: str) -> dict[str, int]:
    found = {name: arguments[name] for name in _SIZES if type(arguments.get(name)) is int}
    missing = [name for name in _SIZES if found.get(name, 0) < 1]
    if missing:
        said = ", ".join(f"{n} is {arguments[n]!r}" if n in arguments else f"{n} is missing" for n in missing)
        raise ModelError(
            f"{where}: model_config states no {', '.join(missing)} that a model can have ({said}); expected "
            "positive integers: copy its meta file again"
        )
    width, heads, groups = found["n_embd"], found["n_head"], found["n_kv_head"]
    if width % heads or width // heads % 2 or heads % groups:
        raise ModelError(
            f"{where}: {heads} heads over {groups} key and value heads do not divide a width of {width} "
            "into heads of even width"
        )
    return found


def _gate_channels(shapes: Mapping[str, Shape], value_layers: tuple[int, ...], where: str) -> int:
    """Inputs of the gates, 0 without value embeddings."""
    widths = {shapes.get(f"transformer.h.{n}.attn.ve_gate.weight", ())[-1:] for n in value_layers}
    if widths in (set(), {(12,)}, {(32,)}):
        return next(iter(widths))[0] if widths else 0
    raise ModelError(
        f"{where}: value_embeds.{value_layers[0]}.weight without a gate attn.ve_gate.weight of 12 or 32 "
        "channels; such a nanochat model is not known"
    )


def _generation(value_layers: tuple[int, ...], channels: int, *, smear: bool, where: str) -> _Generation:
    if smear and channels != 12:
        raise ModelError(
            f"{where}: smear_gate.weight beside gates of {channels} channels; nanochat models with a smear "
            "have value embeddings with gates of 12 channels"
        )
    if smear:
        return _SMEARED
    return _TUNED if value_layers and channels == 12 else _ORIGINAL


def _short_window(length: int, share: int) -> int:
    """T / 2, or T / 3 and T / 4 rounded up to whole tiles."""
    return length // 2 if share == 2 else -(-length // share // _TILE) * _TILE


def _number(
    arguments: Mapping[str, Any],
    name: str,
    usual: float,
    where: str,
    *,
    least: float | None = None,
    whole: bool = False,
) -> float:
    """What is stated, or else `usual`: finite, and above 0 or from `least` on."""
    value = arguments.get(name, usual)
    is_number = type(value) is int or (type(value) is float and not whole and math.isfinite(value))
    if is_number and (value > 0 if least is None else value >= least):
        return float(value) if not whole else value
    bound = "above 0" if least is None else f"from {least:g} on"
    kind = "whole number" if whole else "finite number"
    raise ModelError(f"{where}: {name} is {value!r}; expected a {kind} {bound}, or no {name}")


def _pattern(arguments: Mapping[str, Any], where: str) -> str:
    """Letters L and S: which layers see all, and which a short window."""
    pattern = arguments.get("window_pattern", "L")
    if not isinstance(pattern, str) or not pattern or set(pattern.upper()) - {"L", "S"}:
        raise ModelError(f"{where}: window_pattern is {pattern!r}; expected letters L and S")
    return pattern.upper()


def _windows(pattern: str, num_layers: int, *, long: int, short: int) -> tuple[int, ...]:
    """The pattern repeated over the layers; the last layer is long."""
    tiled = [short if pattern[n % len(pattern)] == "S" else long for n in range(num_layers - 1)]
    return (*tiled, long)


def _assumed(config: NanochatConfig, pattern: str, short: int) -> tuple[str, ...]:
    """What no file states, in one sentence."""
    said = [f"rotary base {config.rotary_base:g}"]
    if config.qk_scale != 1:
        said.append(f"q and k times {config.qk_scale:g}")
    if config.value_layers:
        said.append(f"value gates up to {config.gate_scale:g}")
    if "S" in pattern:
        said.append(f"short windows of {short}")
    return (f"{', '.join(said)}: those of nanochat's code when it had such tensors; no file states them",)
