"""Tiny models of transformers: their configurations, and their random weights."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCAB = 61
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB}
_GATED = {**_SIZES, "intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": None}
_WITH_HEAD_DIM = {**_GATED, "head_dim": 8}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "n_positions": 64}
_MPT = {"d_model": 32, "n_layers": 2, "n_heads": 4, "vocab_size": VOCAB, "max_seq_len": 64}

# by model type, or by a name of its own beside the model type
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**_GATED, "max_position_embeddings": 64},
    "mistral": {**_GATED, "sliding_window": None},
    "qwen2": {**_GATED, "tie_word_embeddings": True},
    "qwen3": _WITH_HEAD_DIM,
    "olmo": _GATED,
    "olmo2": _GATED,
    "olmo3": _GATED,
    "gemma": _WITH_HEAD_DIM,
    "gemma2": _WITH_HEAD_DIM,
    "gemma3_text": _WITH_HEAD_DIM,
    "granite": {**_GATED, "logits_scaling": 3.0},
    "smollm3": _GATED,
    "stablelm": _GATED,
    "cohere": _GATED,
    "cohere2": {**_GATED, "sliding_window": 3},
    "ministral": _WITH_HEAD_DIM,
    "exaone4": {**_GATED, "sliding_window": 3, "sliding_window_pattern": 2},
    "ernie4_5": _WITH_HEAD_DIM,
    "helium": _WITH_HEAD_DIM,
    "hunyuan_v1_dense": _WITH_HEAD_DIM,
    "seed_oss": _WITH_HEAD_DIM,
    "glm": _WITH_HEAD_DIM,
    "glm4": _WITH_HEAD_DIM,
    "apertus": _GATED,
    "arcee": _GATED,
    "nemotron": _GATED,
    "gpt2": _GPT,
    "gpt_neox": {**_SIZES, "intermediate_size": 48, "tie_word_embeddings": False},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": VOCAB,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 3,
    },
    "gptj": {**_GPT, "rotary_dim": 4},
    "gpt_bigcode": _GPT,
    "gpt_bigcode-heads": {"model_type": "gpt_bigcode", **_GPT, "multi_query": False},
    "codegen": {**_GPT, "n_head": 8, "rotary_dim": 4},
    "starcoder2": {**_GATED, "sliding_window": 3},
    "opt": {**_SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "opt-350m": {
        "model_type": "opt",
        **_SIZES,
        "ffn_dim": 48,
        "word_embed_proj_dim": 16,
        "do_layer_norm_before": False,
        "max_position_embeddings": 64,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB},
    "falcon": _SIZES,
    "falcon-40b": {"model_type": "falcon", **_SIZES, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon-rw": {
        "model_type": "falcon",
        **_SIZES,
        "alibi": True,
        "bias": True,
        "multi_query": False,
        "parallel_attn": False,
    },
    "mpt": _MPT,
    "mpt-clipped": {"model_type": "mpt", **_MPT, "attn_config": {"clip_qkv": 1.5, "softmax_scale": 0.2}},
    "phi": {**_GATED, "max_position_embeddings": 64},
    "phi-normed": {"model_type": "phi", **_GATED, "qk_layernorm": True},
    "phi3": {**_GATED, "max_position_embeddings": 64, "original_max_position_embeddings": 64},
    "phi3-window": {"model_type": "phi3", **_GATED, "sliding_window": 3},
    "mistral-window": {"model_type": "mistral", **_GATED, "sliding_window": 3},
    "qwen2-window": {
        "model_type": "qwen2",
        **_GATED,
        "use_sliding_window": True,
        "sliding_window": 3,
        "max_window_layers": 1,
    },
    "gemma2-window": {"model_type": "gemma2", **_WITH_HEAD_DIM, "sliding_window": 3},
    "gemma3-window": {
        "model_type": "gemma3_text",
        **_WITH_HEAD_DIM,
        "sliding_window": 3,
        "sliding_window_pattern": 2,
        "final_logit_softcapping": 5.0,
    },
    "olmo3-window": {"model_type": "olmo3", **_GATED, "sliding_window": 3},
    "stablelm-parallel": {
        "model_type": "stablelm",
        **_GATED,
        "use_parallel_residual": True,
        "use_qkv_bias": True,
        "qk_layernorm": True,
    },
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCAB, "state_size": 4},
}


def random_model(config: Mapping[str, Any], *, spread: float = 0.2) -> PreTrainedModel:
    """In float32, far from the flat attention of a fresh model, so that q and k matter."""
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=spread)
    return module
