"""Which decoder of the NanoGPT world a checkpoint holds, from its tensor names, shapes and arguments.

The variants are those of the Spectral Lens paper: 3 baseline, 4 rope, 4s its streaming twin, 5 muon,
6 untied embedding; and Karpathy's nanoGPT, which has layer norms and a GELU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from spectra_cli.core.errors import ModelError

Shape = tuple[int, ...]

# torch's own default for float32 input; the family calls its norm without an epsilon
FLOAT32_EPS = 2.0**-23

_HEADS_BY_WIDTH = {768: 6, 1024: 16, 1280: 20, 1600: 25}
_NUM_HEADS_ARGUMENTS = ("n_head", "n_heads", "num_heads")

# the first that matches names the variant
_UNREAD = (
    (r"\.attn\.mix$|^value_embeds\.", "13 to 19"),
    (r"\bvte\.", "11 or 12"),
    (r"^skip_weights$", "8, 9 or 10"),
    (r"\.lamb$|\.lambdas$", "7"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """One decoder of the family.

    Attributes:
        n_layer, n_head, n_embd, vocab_size, mlp_width: sizes.
        num_positions: rows of the learned position table; None with RoPE.
        rope_dir: sense of rotation: "+" is (a cos - b sin, a sin + b cos), "-" its inverse.
        rope_table_dtype: what the cos and sin tables are rounded to; None for the activations' dtype.
        fused_qkv: one matrix with rows ordered q, k, v.
        qk_norm: RMS norm of q and k over each head, before the rotation.
        norm: "rms" without gain, or "layer" with gain.
        norm_bias, qkv_bias, attn_proj_bias, mlp_bias: which have a bias.
        activation: of the MLP.
        tied: whether the head is the token embedding.
        embed_norm: RMS norm of the embedding before the first block.
        norm_eps, qk_norm_eps: epsilons; bfloat16 runs under torch 2.5 and 2.6 had 2**-7 in the latter.
    """

    n_layer: int
    n_head: int
    n_embd: int
    vocab_size: int
    mlp_width: int
    num_positions: int | None
    rope_dir: Literal["+", "-"]
    rope_table_dtype: torch.dtype | None
    fused_qkv: bool
    qk_norm: bool
    norm: Literal["rms", "layer"]
    norm_bias: bool
    qkv_bias: bool
    attn_proj_bias: bool
    mlp_bias: bool
    activation: Literal["relu_squared", "gelu"]
    tied: bool
    embed_norm: bool
    norm_eps: float
    qk_norm_eps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredDecoder:
    """A configuration with the variant it amounts to, and what had to be assumed."""

    config: DecoderConfig
    variant: str
    notices: tuple[str, ...]


def infer_decoder(
    shapes: Mapping[str, Shape], arguments: Mapping[str, Any], *, tied: bool | None, where: str
) -> InferredDecoder:
    """The decoder that tensors of these names and shapes belong to.

    Args:
        shapes: name -> shape, names as in the paper's state dicts (`transformer.h.0.attn.c_q.weight`).
        arguments: `args` or `model_args`; only what tensors cannot tell is taken from it.
        tied: whether head and embedding hold the same values; None where the weights are unread.
        where: the checkpoint, for messages.

    Raises:
        ModelError: a variant that is not read yet, no decoder of this family, or an unknown number
            of heads.
    """
    _refuse_unread(shapes, where)
    layers = {int(m[1]) for name in shapes if (m := re.match(r"transformer\.h\.(\d+)\.", name))}
    embedding, mlp = shapes.get("transformer.wte.weight"), shapes.get("transformer.h.0.mlp.c_fc.weight")
    if not layers or embedding is None or mlp is None or len(embedding) != 2:
        raise ModelError(
            f"{where}: no NanoGPT-style decoder: expected transformer.wte.weight and "
            f"transformer.h.0.mlp.c_fc.weight, found {', '.join(sorted(shapes)[:8]) or 'no tensors'}"
        )
    vocab_size, n_embd = embedding
    layer_norm = "transformer.ln_f.weight" in shapes
    learned = "transformer.wpe.weight" in shapes
    attn_proj_bias = "transformer.h.0.attn.c_proj.bias" in shapes
    n_head, notices = _num_heads(
        arguments, n_embd, layer_norm=layer_norm, even_heads=not learned, where=where
    )
    if tied is None:
        # the one thing that 4s, 5 and 6 differ in are values
        tied = learned or attn_proj_bias or "lm_head.weight" not in shapes
        if not tied:
            notices += ("whether head and embedding are tied is known once the weights are read",)
    if not learned and "qk_norm_eps" not in arguments:
        notices += ("QK norm epsilon 2^-23; a bfloat16 run under torch 2.5 or 2.6 was trained with 2^-7",)
    config = DecoderConfig(
        n_layer=max(layers) + 1,
        n_head=n_head,
        n_embd=n_embd,
        vocab_size=vocab_size,
        mlp_width=mlp[0],
        num_positions=shapes["transformer.wpe.weight"][0] if learned else None,
        rope_dir="-" if attn_proj_bias else "+",
        rope_table_dtype=torch.bfloat16 if attn_proj_bias else None,
        fused_qkv="transformer.h.0.attn.c_attn.weight" in shapes,
        qk_norm=not learned,
        norm="layer" if layer_norm else "rms",
        norm_bias="transformer.ln_f.bias" in shapes,
        qkv_bias="transformer.h.0.attn.c_attn.bias" in shapes,
        attn_proj_bias=attn_proj_bias,
        mlp_bias="transformer.h.0.mlp.c_fc.bias" in shapes,
        activation="gelu" if layer_norm else "relu_squared",
        tied=tied,
        embed_norm=not learned and not tied,
        norm_eps=float(arguments.get("norm_eps", 1e-5 if layer_norm else FLOAT32_EPS)),
        qk_norm_eps=float(arguments.get("qk_norm_eps", FLOAT32_EPS)),
    )
    return InferredDecoder(config=config, variant=_variant(config), notices=notices)


def _variant(config: DecoderConfig) -> str:
    if config.norm == "layer":
        return "nanoGPT"
    if config.num_positions is not None:
        return "variant 3 (baseline)"
    if config.attn_proj_bias:
        return "variant 4 (rope)"
    return "variant 4s or 5 (rope, tied)" if config.tied else "variant 6 (untied embedding)"


def _refuse_unread(shapes: Mapping[str, Shape], where: str) -> None:
    for pattern, variant in _UNREAD:
        found = [name for name in shapes if re.search(pattern, name)]
        if found:
            raise ModelError(
                f"{where}: {found[0]} belongs to variant {variant} of the paper's family, which is not read "
                "yet; nanoGPT and variants 3, 4, 4s, 5 and 6 are"
            )


def _num_heads(
    arguments: Mapping[str, Any], n_embd: int, *, layer_norm: bool, even_heads: bool, where: str
) -> tuple[int, tuple[str, ...]]:
    """Heads and a notice if they were looked up: no tensor shows them."""
    notices: tuple[str, ...] = ()
    stated = next((arguments[name] for name in _NUM_HEADS_ARGUMENTS if arguments.get(name)), None)
    if stated is None and not layer_norm and n_embd in _HEADS_BY_WIDTH:
        stated = _HEADS_BY_WIDTH[n_embd]
        notices = (f"{stated} heads, the paper's number at width {n_embd}: no argument states n_head",)
    if stated is None:
        raise ModelError(
            f"{where}: the number of attention heads shows in no tensor, and no argument states it; "
            'write {"n_head": ...} into args.json beside the checkpoints'
        )
    n_head = int(stated)
    if n_head < 1 or n_embd % n_head or (even_heads and n_embd // n_head % 2):
        kind = "even heads" if even_heads else "heads"
        raise ModelError(f"{where}: n_head is {n_head}, which does not divide the width {n_embd} into {kind}")
    return n_head, notices
