"""What the names and shapes of a checkpoint's tensors show of its decoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spectra_cli.core.errors import ModelError
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.models.decoder.config import FLOAT32_EPS, DecoderConfig
from spectra_cli.extract.models.decoder.values import ValueMix
from spectra_cli.extract.models.nanogpt.arguments import Stated

Shape = tuple[int, ...]

_SIZES = ("n_layer", "n_embd", "vocab_size")
_SHOWN = ("fused_qkv", "attn_proj_bias", "x0_mix", "value_mix", "unet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a checkpoint before its decoder is.

    Attributes:
        shapes: name -> shape, names as in the paper's state dicts (`transformer.h.0.attn.c_q.weight`).
        arguments: `args` or `model_args`, and what the user states.
        sources: of the header: what says each argument.
        where: the checkpoint, for messages and for the names of its folders.
        step: its label.
        tied: whether head and embedding hold the same values; None where the weights are unread.
        value_weights: layer -> attn.mix[1]; empty where the weights are unread.
        toy: whether the tensors have the toy models' names.
    """

    shapes: Mapping[str, Shape]
    arguments: Mapping[str, Any]
    where: str
    step: int | None = None
    tied: bool | None = None
    value_weights: Mapping[int, float] = field(default_factory=dict)
    toy: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self.shapes


def shown_by_tensors(seen: Seen) -> tuple[DecoderConfig, tuple[str, ...]]:
    """Everything that names and shapes show, and what they leave open.

    The number of heads, which shows nowhere, is left at 1; so is what only variants differ in.

    Raises:
        ModelError: no decoder of this family.
    """
    shapes = seen.shapes
    layers = {int(m[1]) for name in shapes if (m := re.match(r"transformer\.h\.(\d{1,9})\.", name))}
    embedding, mlp = shapes.get("transformer.wte.weight"), shapes.get("transformer.h.0.mlp.c_fc.weight")
    if not layers or embedding is None or mlp is None or len(embedding) != 2:
        raise ModelError(
            f"{seen.where}: no NanoGPT-style decoder: expected transformer.wte.weight and "
            f"transformer.h.0.mlp.c_fc.weight, found {', '.join(sorted(shapes)[:8]) or 'no tensors'}"
        )
    num_layers = len(layers)
    if layers != set(range(num_layers)):
        raise ModelError(
            f"{seen.where}: the tensors of {counted(num_layers, 'layer')} are not numbered 0 to "
            f"{num_layers - 1}; "
            "expected every layer of the model"
        )
    layer_norm, learned = seen.has("transformer.ln_f.weight"), seen.has("transformer.wpe.weight")
    first = _first_attention(seen, num_layers)
    attn_proj_bias, x0_mix = seen.has(f"{first}.c_proj.bias"), seen.has("transformer.h.0.lambdas")
    tied, notices = (False, ()) if x0_mix else _tied(seen, known=learned or attn_proj_bias)
    config = DecoderConfig(
        n_layer=num_layers,
        n_head=1,
        n_embd=embedding[1],
        vocab_size=embedding[0],
        mlp_width=mlp[0],
        num_positions=shapes["transformer.wpe.weight"][0] if learned else None,
        rope_dir="+",
        rope_table_dtype=None,
        fused_qkv=seen.has(f"{first}.c_attn.weight"),
        qk_norm=not learned,
        norm="layer" if layer_norm else "rms",
        norm_bias=seen.has("transformer.ln_f.bias"),
        qkv_bias=seen.has(f"{first}.c_attn.bias"),
        attn_proj_bias=attn_proj_bias,
        mlp_bias=seen.has("transformer.h.0.mlp.c_fc.bias"),
        activation="gelu" if layer_norm else "relu_squared",
        tied=tied,
        embed_norm=not learned and not tied,
        norm_eps=FLOAT32_EPS,
        qk_norm_eps=FLOAT32_EPS,
        x0_mix=x0_mix,
        value_mix=_value_mix(seen, first, num_layers, embedding[1]),
        unet=seen.has("skip_weights"),
        attention_free=frozenset(
            i for i in range(num_layers) if not seen.has(f"transformer.h.{i}.attn.c_proj.weight")
        )
        if seen.has(f"{first}.mix")
        else frozenset(),
    )
    if config.unet and num_layers % 2:
        raise ModelError(f"{seen.where}: skip_weights need an even number of blocks, found {num_layers}")
    return config, notices


def check_stated(seen: Seen, stated: Stated, shown: DecoderConfig) -> None:
    """Nothing, if what is stated of the structure is what the tensors show; of sizes, what the user states.

    Raises:
        ModelError: it is not; tensors cannot be overruled.
    """
    found = {name: getattr(shown, name) for name in _SHOWN}
    if seen.tied is not None:
        found["tied"] = shown.tied
    if shown.value_mix == "sparse":
        found["skip_attn_layer"] = min(shown.attention_free, default=None)
    if shown.num_positions is not None:
        found["pos"] = "learned"
    elif stated.values.get("pos") == "learned":
        found["pos"] = "rope"
    found |= {name: getattr(shown, name) for name in _SIZES if name in stated.by_user}
    for name, value in found.items():
        said = stated.values.get(name)
        if said is not None and said != value:
            raise ModelError(
                f"{seen.where}: {name} is {said!r} by {stated.source(name)}, but its tensors are those of "
                f"{name} = {value!r}; leave {name} out, or give the checkpoint that it describes"
            )


def _first_attention(seen: Seen, num_layers: int) -> str:
    """Path of the first block's attention; of the second where the first has none."""
    paths = [f"transformer.h.{i}.attn" for i in range(num_layers)]
    return next((path for path in paths if seen.has(f"{path}.c_proj.weight")), paths[0])


def _tied(seen: Seen, *, known: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether head and embedding are one; 4s, 5 and 6 differ in nothing but these values."""
    if seen.tied is not None:
        return seen.tied, ()
    if known or not seen.has("lm_head.weight"):
        return True, ()
    return False, ("whether head and embedding are tied is known once the weights are read",)


def _value_mix(seen: Seen, first: str, num_layers: int, width: int) -> ValueMix:
    if seen.has(f"{first}.mix"):
        return "sparse"
    if not seen.has(f"{first}.lamb"):
        return "none"
    table = seen.shapes.get("transformer.vte.weight")
    if table is None:
        return "first_v"
    names: dict[int, ValueMix] = {width * num_layers: "vte_full", width * (num_layers // 2): "vte_mirror"}
    if table[-1] not in names:
        raise ModelError(
            f"{seen.where}: transformer.vte.weight has {table[-1]} columns; expected {width * num_layers} "
            f"(variant 11) or {width * (num_layers // 2)} (variant 12)"
        )
    return names[table[-1]]
