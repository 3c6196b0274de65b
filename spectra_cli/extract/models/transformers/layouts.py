"""Layouts of transformers' own classes, one entry a layout: where the matrices are in a block.

A model type of an existing layout is a word in its `types`; a new layout is an entry in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from spectra_cli.extract.models.transformers.fused import (
    FusedHeads,
    by_head,
    by_thirds,
    fused_gate_up,
    fused_qkv,
)
from spectra_cli.extract.models.transformers.layout import Part, TransformersFamily, sites_of_parts

# setting -> what transformers' class computes, whatever config.json says
_COMPUTED = {"logit_scale": (None,), "norm_type": ("low_precision_layernorm", "layernorm")}
_COMPUTED_ATTENTION = {
    "alibi": (True,),
    "alibi_bias_max": (8,),
    "attn_type": ("multihead_attention",),
    "prefix_lm": (False,),
    "qk_ln": (False,),
    "rope": (False,),
    "sliding_window_size": (-1,),
}


def passed_over(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What config.json asks for and transformers' class does not compute."""
    attention = config.get("attn_config") or {}
    return tuple(
        f"{name} = {stated[name]!r}"
        for stated, computed in ((config, _COMPUTED), (attention, _COMPUTED_ATTENTION))
        for name, values in computed.items()
        if name in stated and stated[name] not in values
    )


_CODEGEN_CORES = 4  # it was trained on as many; each had heads of its own


def _qkv(attention: str) -> dict[str, Part]:
    """Separate projections of the module at `attention`."""
    return {f"attn.{letter}": Part(path=f"{attention}.{letter}_proj") for letter in "qkv"}


def _outputs(attention: str, up: str, down: str, *, transposed: bool = False) -> dict[str, Part]:
    """What follows q, k and v: the output of attention, the way up and the way down of the MLP."""
    paths = {"attn.o": attention, "mlp.up": up, "mlp.down": down}
    return {component: Part(path=path, transposed=transposed) for component, path in paths.items()}


def _layout(
    name: str,
    summary: str,
    parts: Mapping[str, Part],
    *,
    blocks: str,
    norm: str,
    types: str = "",
    unsupported: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda config: (),
) -> TransformersFamily:
    """One layout; `types` are its model types, where they are others than its name."""
    absent = {} if "mlp.gate" in parts else {"mlp.gate": "the MLP has no gate"}
    return TransformersFamily(
        name=name,
        summary=summary,
        find=partial(sites_of_parts, blocks=blocks, final_norm=norm, parts=parts, absent=absent),
        model_types=frozenset((types or name).split()),
        unsupported=unsupported,
    )


def _phi3_heads(config: Any) -> FusedHeads:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return FusedHeads(width=width, queries=heads, keys=config.num_key_value_heads)


def _bigcode_heads(config: Any) -> FusedHeads:
    """One key head for all queries; by head without multi-query attention."""
    heads = config.num_attention_heads
    if not config.multi_query:
        return by_head(config)
    return FusedHeads(width=config.hidden_size // heads, queries=heads, keys=1)


def _falcon_heads(config: Any) -> FusedHeads:
    """Falcon-40B and later: a group for every key head; 7B: one key head; the RW models: by head."""
    heads, width = config.num_attention_heads, config.head_dim
    if config.new_decoder_architecture:
        groups = config.num_kv_heads
        return FusedHeads(width=width, groups=groups, queries=heads // groups, keys=1)
    return FusedHeads(width=width, queries=heads, keys=1) if config.multi_query else by_head(config)


def _codegen_heads(config: Any) -> FusedHeads:
    """A group for every core; in each q, then v, then k."""
    heads = config.num_attention_heads
    in_group = heads // _CODEGEN_CORES
    return FusedHeads(
        width=config.hidden_size // heads, groups=_CODEGEN_CORES, queries=in_group, keys=in_group, order="qvk"
    )


# In the order in which they are tried.
LAYOUTS: dict[str, TransformersFamily] = {
    layout.name: layout
    for layout in (
        _layout(
            "llama",
            "Llama, Mistral, Ministral, Qwen2, Qwen3, OLMo 1 to 3, Gemma 1 to 3, Granite, SmolLM3, StableLM, "
            "Cohere 1 and 2, EXAONE 4, ERNIE 4.5, Helium, HunYuan (dense), Seed-OSS",
            {
                **_qkv("self_attn"),
                "attn.o": Part(path="self_attn.o_proj"),
                "mlp.gate": Part(path="mlp.gate_proj"),
                "mlp.up": Part(path="mlp.up_proj"),
                "mlp.down": Part(path="mlp.down_proj"),
            },
            types="llama mistral ministral qwen2 qwen3 olmo olmo2 olmo3 gemma gemma2 gemma3_text granite "
            "smollm3 stablelm cohere cohere2 exaone4 ernie4_5 helium hunyuan_v1_dense seed_oss",
            blocks="model.layers",
            norm="model.norm",
        ),
        _layout(
            "gpt2",
            "GPT-2 and its descendants in the same class",
            {
                **fused_qkv("attn.c_attn", by_thirds, transposed=True),
                **_outputs("attn.c_proj", "mlp.c_fc", "mlp.c_proj", transposed=True),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "gpt_neox",
            "GPT-NeoX and Pythia",
            {
                **fused_qkv("attention.query_key_value", by_head),
                **_outputs("attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            },
            blocks="gpt_neox.layers",
            norm="gpt_neox.final_layer_norm",
        ),
        _layout(
            "gpt_neo",
            "GPT-Neo",
            {
                **_qkv("attn.attention"),
                **_outputs("attn.attention.out_proj", "mlp.c_fc", "mlp.c_proj"),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "gptj",
            "GPT-J",
            {**_qkv("attn"), **_outputs("attn.out_proj", "mlp.fc_in", "mlp.fc_out")},
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "gpt_bigcode",
            "GPT-BigCode: StarCoder and SantaCoder",
            {
                **fused_qkv("attn.c_attn", _bigcode_heads),
                **_outputs("attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "starcoder2",
            "StarCoder 2",
            {**_qkv("self_attn"), **_outputs("self_attn.o_proj", "mlp.c_fc", "mlp.c_proj")},
            blocks="model.layers",
            norm="model.norm",
        ),
        _layout(
            "codegen",
            "CodeGen",
            {
                **fused_qkv("attn.qkv_proj", _codegen_heads),
                **_outputs("attn.out_proj", "mlp.fc_in", "mlp.fc_out"),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "opt",
            "OPT",
            # the MLP's two maps lie directly in the block
            {**_qkv("self_attn"), **_outputs("self_attn.out_proj", "fc1", "fc2")},
            blocks="model.decoder.layers",
            norm="model.decoder.final_layer_norm",
        ),
        _layout(
            "bloom",
            "BLOOM and BLOOMZ",
            {
                **fused_qkv("self_attention.query_key_value", by_head),
                **_outputs("self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "falcon",
            "Falcon 7B, 40B, 180B and RefinedWeb (RW)",
            {
                **fused_qkv("self_attention.query_key_value", _falcon_heads),
                **_outputs("self_attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
            },
            blocks="transformer.h",
            norm="transformer.ln_f",
        ),
        _layout(
            "mpt",
            "MPT",
            {
                **fused_qkv("attn.Wqkv", by_thirds),
                **_outputs("attn.out_proj", "ffn.up_proj", "ffn.down_proj"),
            },
            blocks="transformer.blocks",
            norm="transformer.norm_f",
            unsupported=passed_over,
        ),
        _layout(
            "phi",
            "Phi-1, Phi-1.5 and Phi-2",
            {**_qkv("self_attn"), **_outputs("self_attn.dense", "mlp.fc1", "mlp.fc2")},
            blocks="model.layers",
            norm="model.final_layernorm",
        ),
        _layout(
            "phi3",
            "Phi-3, Phi-3.5 and Phi-4 (dense)",
            {
                **fused_qkv("self_attn.qkv_proj", _phi3_heads),
                "attn.o": Part(path="self_attn.o_proj"),
                **fused_gate_up("mlp.gate_up_proj"),
                "mlp.down": Part(path="mlp.down_proj"),
            },
            blocks="model.layers",
            norm="model.norm",
        ),
        _layout(
            "glm",
            "GLM-4 (dense)",
            {
                **_qkv("self_attn"),
                "attn.o": Part(path="self_attn.o_proj"),
                **fused_gate_up("mlp.gate_up_proj"),
                "mlp.down": Part(path="mlp.down_proj"),
            },
            types="glm glm4",
            blocks="model.layers",
            norm="model.norm",
        ),
        _layout(
            "nemotron",
            "Nemotron, Arcee (AFM), Apertus",
            {**_qkv("self_attn"), **_outputs("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")},
            types="apertus arcee nemotron",
            blocks="model.layers",
            norm="model.norm",
        ),
    )
}
