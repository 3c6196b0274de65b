"""Which decoder a checkpoint holds: from its tensors' names, shapes and values, then its arguments.

What tensors show is taken from them. What they do not show comes from the variant, and any of it may be
stated under the names below, in the training arguments or by the user:

    variant                      one of VARIANTS, where several have the same tensors
    n_head
    pos                          rope | rope_trunc
    rope_dir                     + | -
    rope_table_dtype             bfloat16 | activations
    qk_norm, embed_norm          true | false
    norm_eps, qk_norm_eps
    attn_scale
    mask                         causal | token | doc_token | doc_token_block | doc_block |
                                 doc_block_long_short
    mask_block, eot              eot: an id, or none for no documents
    window_tokens, window_blocks and what a schedule reads (decoder_windows)
    softcap                      none | tanh C | sigmoid C
    head                         plain | fp8
    value_reach

Whatever else of the structure is stated (fused_qkv, attn_proj_bias, tied, x0_mix, value_mix, unet,
skip_attn_layer) has to agree with the tensors. Sizes are taken from the tensors whatever is stated: one
trainer accepts sizes and ignores them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder_config import FLOAT32_EPS, DecoderConfig
from spectra_cli.extract.models.decoder_settings import (
    attention_scale,
    attention_window,
    epsilon,
    head_kind,
    mask_kind,
    mask_rules,
    rope_settings,
    soft_cap_settings,
)
from spectra_cli.extract.models.decoder_stated import count, flag, unstated
from spectra_cli.extract.models.decoder_structure import Seen, check_stated, shown_by_tensors
from spectra_cli.extract.models.decoder_values import default_reach
from spectra_cli.extract.models.decoder_variants import VARIANTS, Variant, find_variant
from spectra_cli.extract.models.decoder_windows import Window

_HEADS_BY_WIDTH = {768: 6, 1024: 16, 1280: 20, 1600: 25}
_NUM_HEADS_ARGUMENTS = ("n_head", "n_heads", "num_heads")
_TOY_STAGES = ("toy unet", "toy fixed_window", "toy attn_scale")
_SPARSE = ("13", "14", "15", "16", "16adj", "17", "18", "19")

# a group of variants with the same tensors -> what must be stated where nothing names the variant
_NEEDED = {
    ("8", "9", "10"): ("mask",),
    _TOY_STAGES: ("mask", "attn_scale"),
    _SPARSE: ("pos", "rope_dir", "mask", "softcap", "head", "attn_scale"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredDecoder:
    """A configuration with the variant it amounts to, and what had to be looked up or assumed."""

    config: DecoderConfig
    variant: str
    notices: tuple[str, ...]


def infer_decoder(seen: Seen) -> InferredDecoder:
    """The decoder that these tensors belong to.

    Raises:
        ModelError: no decoder of this family, or something that neither tensors nor arguments say, by
            its name.
    """
    shown, tie_notices = shown_by_tensors(seen)
    check_stated(seen, shown)
    key, variant, notices = _variant(seen, shown)
    n_head, head_notices = _num_heads(seen, shown, key)
    arguments, where = seen.arguments, seen.where
    learned = shown.num_positions is not None
    default_eps = variant.eps or (1e-5 if shown.norm == "layer" else FLOAT32_EPS)
    if not learned and variant.eps is None and "qk_norm_eps" not in arguments:
        notices += ("QK norm epsilon 2^-23; a bfloat16 run under torch 2.5 or 2.6 was trained with 2^-7",)
    rope, rope_dir, table_dtype = rope_settings(arguments, variant, where)
    softcap, constant = soft_cap_settings(arguments, variant, where)
    mask = mask_kind(arguments, variant, where)
    window = attention_window(arguments, variant, mask, step=seen.step, where=where)
    long_rule, short_rule = mask_rules(arguments, mask, window, vocab_size=shown.vocab_size, where=where)
    reach, reach_notices = _value_reach(seen, shown)
    config = replace(
        shown,
        n_head=n_head,
        qk_norm=flag(arguments, "qk_norm", shown.qk_norm, where),
        embed_norm=flag(arguments, "embed_norm", shown.embed_norm, where),
        rope=rope,
        rope_dir=rope_dir,
        rope_table_dtype=table_dtype,
        norm_eps=epsilon(arguments, "norm_eps", default_eps, where),
        qk_norm_eps=epsilon(arguments, "qk_norm_eps", variant.eps or FLOAT32_EPS, where),
        norm_float32=variant.norm_float32,
        value_reach=reach,
        attn_scale=attention_scale(arguments, variant, where),
        mask=long_rule,
        short_mask=short_rule,
        softcap=softcap,
        softcap_constant=constant,
        head=head_kind(arguments, variant, where),
    )
    if not learned and config.head_width % (4 if rope == "truncated" else 2):
        raise ModelError(f"{where}: heads are {config.head_width} wide, which {rope} RoPE cannot halve")
    windows = () if window is None else (f"attention window {_in_words(window, config)}, {window.source}",)
    fp8 = ("FP8 head: operands rounded to e4m3 and e5m2, multiplied in the dtype of the pass",)
    return InferredDecoder(
        config=config,
        variant=variant.name,
        notices=(
            *head_notices,
            *tie_notices,
            *notices,
            *windows,
            *reach_notices,
            *(fp8 if config.head == "fp8" else ()),
        ),
    )


def _candidates(config: DecoderConfig, *, toy: bool) -> tuple[str, ...]:
    """The variants that have such tensors."""
    if config.value_mix == "sparse":
        return _SPARSE
    if config.value_mix == "first_v":
        return ("7",) if not config.unet else _TOY_STAGES if toy else ("8", "9", "10")
    if config.value_mix != "none":
        return ("11",) if config.value_mix == "vte_full" else ("12",)
    if config.norm == "layer":
        return ("nanoGPT",)
    if config.num_positions is not None:
        return ("3",)
    return ("4",) if config.attn_proj_bias else ("5",) if config.tied else ("6",)


def _variant(seen: Seen, shown: DecoderConfig) -> tuple[str | None, Variant, tuple[str, ...]]:
    """Its key, what it adds, and what says so."""
    candidates = _candidates(shown, toy=seen.toy)
    key, evidence = find_variant(candidates, seen.arguments, uri=seen.where)
    if key is not None:
        return key, VARIANTS[key], (f"{VARIANTS[key].name} by its {evidence}",) if evidence else ()
    needed = _NEEDED[candidates]
    missing = [name for name in needed if seen.arguments.get(name) is None]
    named = ", ".join(candidates)
    if missing:
        raise unstated(
            f"{seen.where}: variants {named} of the paper's family have the same tensors, and neither "
            "arguments nor names tell which this is",
            "variant",
            f"all of {', '.join(missing)}",
        )
    if candidates == ("8", "9", "10") and seen.arguments["mask"] == "causal":
        return "8", VARIANTS["8"], ()
    # its window has to be stated, since only a variant has a schedule
    name = f"one of variants {named}, by its stated fields"
    return None, replace(VARIANTS[candidates[-1]], name=name, schedule=None), ()


def _num_heads(seen: Seen, shown: DecoderConfig, key: str | None) -> tuple[int, tuple[str, ...]]:
    """Heads and a notice if they were looked up: no tensor shows them."""
    width, even = shown.n_embd, shown.num_positions is None
    notices: tuple[str, ...] = ()
    stated = next((seen.arguments[n] for n in _NUM_HEADS_ARGUMENTS if seen.arguments.get(n)), None)
    table = _HEADS_BY_WIDTH if shown.norm != "layer" else {}
    if key == "9" and width in table and stated not in (None, table[width]):
        notices = (f"{table[width]} heads: variant 9 ignores its argument n_head = {stated}",)
        stated = table[width]
    elif stated is None and width in table:
        stated = table[width]
        notices = (f"{stated} heads, the paper's number at width {width}: no argument states n_head",)
    if stated is None:
        raise unstated(
            f"{seen.where}: the number of attention heads shows in no tensor, and no argument states it",
            "n_head",
        )
    if type(stated) is not int:
        raise ModelError(f"{seen.where}: n_head is {stated!r:.40}; expected a whole number of heads")
    n_head = stated
    if n_head < 1 or width % n_head or (even and width // n_head % 2):
        kind = "even heads" if even else "heads"
        raise ModelError(
            f"{seen.where}: n_head is {n_head}, which does not divide the width {width} into {kind}"
        )
    return n_head, notices


def _value_reach(seen: Seen, shown: DecoderConfig) -> tuple[int, tuple[str, ...]]:
    """Layers at each end with a sparse value embedding: stated, else shown by values, else the rule.

    mix[1] of a layer without one never gets a gradient and stays at exactly 0.5.
    """
    if shown.value_mix != "sparse":
        return 0, ()
    num_layers, stated = shown.n_layer, count(seen.arguments, "value_reach", seen.where)
    moved = {layer for layer, weight in seen.value_weights.items() if weight != 0.5}
    by_values = [
        reach
        for reach in range(1, num_layers // 2 + 1)
        if moved and {i for i in seen.value_weights if i < reach or i >= num_layers - reach} == moved
    ]
    endpoint = count(seen.arguments, "vte_endpoint_k", seen.where)
    notices: tuple[str, ...] = ()
    if stated is not None:
        reach = stated
    elif by_values:
        reach = by_values[0]
        if endpoint is not None and endpoint not in by_values:
            raise unstated(
                f"{seen.where}: vte_endpoint_k is {endpoint}, but attn.mix moved from its start in the "
                f"first and last {reach} layers and nowhere else",
                "value_reach",
            )
        reach = reach if endpoint is None else endpoint
        notices = (f"value embeddings in the first and last {reach} layers: their weights have moved",)
    elif endpoint is not None:
        reach = endpoint
    else:
        reach = default_reach(num_layers)
        notices = (f"value embeddings in the first and last {reach} layers, the paper's rule: not stated",)
    if not 1 <= reach <= num_layers // 2:
        raise ModelError(
            f"{seen.where}: value embeddings reach {reach} layers; expected 1 to {num_layers // 2}"
        )
    return reach, notices


def _in_words(window: Window, config: DecoderConfig) -> str:
    if not window.in_blocks:
        return f"{window.size} tokens"
    return f"{window.size} blocks of {config.mask.block if config.mask else 0} tokens"
