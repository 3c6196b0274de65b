"""Which decoder a checkpoint holds: from its tensors' names and shapes, what is stated, and a few values.

What tensors show is taken from them. For the rest the order is: what the user states, what the run's own
files state (`decoder_arguments`), the code of the variant (`decoder_variants`), and what values or names
suggest, which is a notice with its evidence. Any of this may be stated, in the training arguments or by the
user:

    variant                      one of VARIANTS, where several have the same tensors
    n_head
    pos                          rope | rope_trunc
    rope_dir                     + | -
    rope_table_dtype             bfloat16 | activations
    qk_norm, embed_norm          true | false
    norm_eps, qk_norm_eps
    activation                   relu_squared | gelu | gelu_tanh
    attn_scale
    mask                         causal | token | doc_token | doc_token_block | doc_block |
                                 doc_block_long_short
    mask_block, eot              eot: an id, or none for no documents
    window_tokens, window_blocks and what a schedule reads (decoder_windows)
    softcap                      none | tanh C | sigmoid C
    head                         plain | fp8
    value_reach

Whatever else of the structure is stated (sizes, fused_qkv, attn_proj_bias, tied, x0_mix, value_mix, unet,
skip_attn_layer) has to agree with the tensors, sizes where the user states them. Those that files state and
the tensors contradict are notices, since one trainer accepts them and ignores them; but a number of layers
that nothing proves wrong is the model's (`decoder_sizes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.config import FLOAT32_EPS, Activation, DecoderConfig
from spectra_cli.extract.models.nanogpt.arguments import (
    SCHEDULE,
    Stated,
    flag,
    number,
    one_of,
    settled,
    unstated,
)
from spectra_cli.extract.models.nanogpt.facts import decoder_facts
from spectra_cli.extract.models.nanogpt.reach import value_reach
from spectra_cli.extract.models.nanogpt.settings import (
    attention_scale,
    attention_window,
    mask_rules,
    rope_settings,
    soft_cap_settings,
)
from spectra_cli.extract.models.nanogpt.sizes import num_heads, size_notices
from spectra_cli.extract.models.nanogpt.structure import Seen, check_stated, shown_by_tensors
from spectra_cli.extract.models.nanogpt.variants import (
    VARIANTS,
    MaskKind,
    Variant,
    find_variant,
    names_early_variant,
)
from spectra_cli.extract.models.nanogpt.windows import Window
from spectra_cli.extract.protocols import Fact

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
    """A configuration with the variant it amounts to, what says each part of it, and what to know."""

    config: DecoderConfig
    variant: str
    notices: tuple[str, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A variant: its key, what it adds, what says so, and notices."""

    key: str | None
    variant: Variant
    source: str
    notices: tuple[str, ...] = ()


def infer_decoder(seen: Seen) -> InferredDecoder:
    """The decoder that these tensors belong to.

    Raises:
        ModelError: no decoder of this family, or something that neither tensors nor arguments say, by
            its name.
    """
    shown, tie_notices = shown_by_tensors(seen)
    stated = settled(seen.arguments, seen.sources, toy=seen.toy)
    check_stated(seen, stated, shown)
    named = _variant(seen, stated, shown)
    variant, where = named.variant, seen.where
    arguments = {**variant.says, **stated.values}
    sizes = size_notices(seen, stated, shown, name=variant.name)
    n_head, head_source, head_notices = num_heads(seen, stated, shown, named.key)
    learned = shown.num_positions is not None
    default_eps = variant.eps or (1e-5 if shown.norm == "layer" else FLOAT32_EPS)
    rope, rope_dir, table_dtype = rope_settings(arguments, where)
    softcap, constant = soft_cap_settings(stated, variant, where)
    mask = cast("MaskKind", one_of(arguments, "mask", get_args(MaskKind), where))
    head = cast("Literal['plain', 'fp8']", one_of(arguments, "head", ("plain", "fp8"), where))
    window = attention_window(arguments, variant, mask, step=seen.step, where=where)
    long_rule, short_rule = mask_rules(arguments, mask, window, vocab_size=shown.vocab_size, where=where)
    reach = value_reach(seen, stated, shown)
    activation = one_of(arguments, "activation", ("relu_squared", "gelu", "gelu_tanh"), where)
    config = replace(
        shown,
        n_head=n_head,
        qk_norm=flag(arguments, "qk_norm", shown.qk_norm, where),
        embed_norm=flag(arguments, "embed_norm", shown.embed_norm, where),
        activation=shown.activation if activation is None else cast("Activation", activation),
        rope=rope,
        rope_dir=rope_dir,
        rope_table_dtype=table_dtype,
        norm_eps=number(arguments, "norm_eps", default_eps, where),
        qk_norm_eps=number(arguments, "qk_norm_eps", variant.eps or FLOAT32_EPS, where),
        norm_float32=variant.norm_float32,
        value_reach=reach.layers,
        attn_scale=attention_scale(arguments, where),
        mask=long_rule,
        short_mask=short_rule,
        softcap=softcap,
        softcap_constant=constant,
        head=head,
    )
    if not learned and config.head_width % (4 if rope == "truncated" else 2):
        raise ModelError(f"{where}: heads are {config.head_width} wide, which {rope} RoPE cannot halve")
    windows = () if window is None else (f"attention window {_in_words(window, config)}",)
    fp8 = ("FP8 head: operands rounded to e4m3 and e5m2, multiplied in the dtype of the pass",)
    worked_out = {"n_head": head_source, "value_reach": reach.source, "variant": named.source}
    if window is not None and not window.is_stated:
        worked_out |= dict.fromkeys(("window_tokens", "window_blocks"), window.source)
    if seen.tied is not None:
        worked_out["tied"] = "the values of head and embedding"
    facts = decoder_facts(
        config, stated, mask=mask, window=window, code=f"the code of {variant.name}", sources=worked_out
    )
    return InferredDecoder(
        config=config,
        variant=variant.name,
        facts={"variant": Fact(value=variant.name, source=named.source or "its tensors"), **facts},
        notices=(
            *stated.notices,
            *sizes,
            *head_notices,
            *tie_notices,
            *named.notices,
            *_assumed(seen, stated, config, variant),
            *windows,
            *reach.notices,
            *_idle(stated, config, mask, window),
            *(fp8 if config.head == "fp8" else ()),
        ),
    )


def _candidates(config: DecoderConfig, *, toy: bool) -> tuple[str, ...]:
    """The variants that have such tensors."""
    if config.value_mix == "sparse":
        return _SPARSE
    if config.value_mix == "first_v":
        if toy:
            return _TOY_STAGES if config.unet else ("toy value_mix",)
        return ("8", "9", "10") if config.unet else ("7",)
    if config.value_mix != "none":
        return ("11",) if config.value_mix == "vte_full" else ("12",)
    if config.norm == "layer":
        return ("nanoGPT",)
    if config.num_positions is not None:
        return ("3",)
    return ("4",) if config.attn_proj_bias else ("5",) if config.tied else ("6",)


def _variant(seen: Seen, stated: Stated, shown: DecoderConfig) -> _Named:
    """Its key, what it adds, and what says so."""
    candidates = _candidates(shown, toy=seen.toy)
    found = find_variant(candidates, stated, uri=seen.where, toy=seen.toy)
    if found.key is not None:
        variant = VARIANTS[found.key]
        evidence = (
            (f"{variant.name} by its {found.source}; --set model.variant says otherwise",)
            if found.inferred
            else ()
        )
        source = f"inferred: {found.source}" if found.inferred else found.source
        return _Named(key=found.key, variant=variant, source=source, notices=(*found.notices, *evidence))
    needed = _NEEDED[candidates]
    missing = [name for name in needed if name not in stated.values]
    named = ", ".join(candidates)
    if missing:
        raise unstated(
            f"{seen.where}: variants {named} of the paper's family have the same tensors, and neither "
            f"arguments nor names tell which this is: variant, or all of {', '.join(missing)}, would"
            + "".join(f"; {notice}" for notice in found.notices),
            "variant",
        )
    if candidates == ("8", "9", "10") and stated.values["mask"] == "causal":
        return _Named(key="8", variant=VARIANTS["8"], source=f"mask in {stated.source('mask')}")
    # its window has to be stated, since only a variant has a schedule
    name = f"one of variants {named}, by its stated fields"
    return _Named(
        key=None,
        variant=replace(VARIANTS[candidates[-1]], name=name, schedule=None),
        source="its stated fields",
        notices=found.notices,
    )


def _assumed(seen: Seen, stated: Stated, config: DecoderConfig, variant: Variant) -> tuple[str, ...]:
    """Notices of what neither tensors nor anybody says, and the variant's code leaves open."""
    notices = []
    if config.qk_norm and variant.eps is None and not seen.toy and "qk_norm_eps" not in stated.values:
        notices.append(
            "QK norm epsilon 2^-23; a bfloat16 run under torch 2.5 or 2.6 was trained with 2^-7: "
            "--set model.qk_norm_eps=0.0078125"
        )
    if config.norm == "layer" and "activation" not in stated.values:
        notices.append(
            "activation gelu, as in nanoGPT's present code; its older code, and GPT-2, have the tanh form: "
            "--set model.activation=gelu_tanh"
        )
    by_values = seen.tied is not None and not config.x0_mix and config.num_positions is None
    is_open = by_values and not config.attn_proj_bias and "embed_norm" not in stated.values
    if is_open and not names_early_variant(stated.values, seen.where):
        relation = "the same" if config.tied else "different"
        norm = "no norm" if config.tied else "a norm"
        notices.append(
            f"{norm} after the embedding, as in {variant.name}: head and embedding hold {relation} values; "
            "--set model.embed_norm says otherwise"
        )
    return tuple(notices)


def _idle(stated: Stated, config: DecoderConfig, mask: str, window: Window | None) -> tuple[str, ...]:
    """Notices of what the user states and this decoder has no place for."""
    idle: dict[str, str] = {}
    if config.num_positions is not None:
        idle |= dict.fromkeys(("pos", "rope_dir", "rope_table_dtype"), "its positions are learned")
    if not config.qk_norm:
        idle["qk_norm_eps"] = "it has no QK norm"
    if window is None:
        names = ("window_tokens", "window_blocks", *SCHEDULE, "mask_block", "eot")
        idle |= dict.fromkeys(names, f"its mask is {mask}")
    elif window.source in ("fixed",) or window.is_stated:
        idle |= dict.fromkeys(SCHEDULE, "its window follows no schedule")
    if config.value_mix != "sparse":
        idle["value_reach"] = "it has no sparse value embeddings"
    if "softcap" in stated.values:
        idle["lm_head_softcap"] = "softcap is stated"
    return tuple(
        f"{name} by {stated.source(name)} changes nothing: {why}"
        for name, why in idle.items()
        if name in stated.by_user
    )


def _in_words(window: Window, config: DecoderConfig) -> str:
    blocks = f"blocks of {config.mask.block if config.mask else 0} tokens"
    at = "" if window.step is None else f"at step {window.step} of "
    return f"{window.size} {blocks if window.in_blocks else 'tokens'}, {at}{window.source}"
