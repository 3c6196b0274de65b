"""Configurations of tiny state-space and hybrid models of transformers."""

from tests.extract.writers.huggingface import VOCAB

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": VOCAB, "pad_token_id": None}
_SCAN = {"num_heads": 8, "head_dim": 8, "n_groups": 2, "state_size": 8, "chunk_size": 8}
_HEADS = {**_SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
_MAMBA2 = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
    "mamba_chunk_size": 8,
}
_DELTA = {**_HEADS, "layer_types": ["linear_attention", "full_attention"]}

CONFIGS = {
    "mamba": {**_SIZES, "state_size": 4},
    "falcon_mamba": {**_SIZES, "state_size": 4},
    "mamba2": {**_SIZES, **_SCAN},
    "rwkv": {**_SIZES, "attention_hidden_size": 32, "context_length": 64, "rescale_every": 1},
    "recurrent_gemma": {
        **_HEADS,
        "num_hidden_layers": 3,
        "lru_width": 32,
        "attention_window_size": 16,
        "head_dim": 8,
    },
    "jamba": {
        **_HEADS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 1,
        "num_experts_per_tok": 1,
        "mamba_d_state": 4,
    },
    "zamba": {
        **_HEADS,
        "num_hidden_layers": 5,
        "num_key_value_heads": 4,
        "mamba_d_state": 4,
        "mamba_dt_rank": 4,
        "n_mamba_heads": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
    },
    "zamba2": {
        **_HEADS,
        "num_hidden_layers": 4,
        "num_key_value_heads": 4,
        "mamba_d_state": 8,
        "mamba_headdim": 8,
        "n_mamba_heads": 8,
        "mamba_ngroups": 1,
        "num_mem_blocks": 1,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "chunk_size": 8,
    },
    "bamba": {**_HEADS, **_MAMBA2, "attn_layer_indices": [1]},
    "falcon_h1": {**_HEADS, **_MAMBA2, "mamba_n_heads": 4, "mamba_d_ssm": 32, "head_dim": 8},
    "nemotron_h": {
        **_HEADS,
        "layers_block_type": ["mamba", "attention", "mlp"],
        "num_hidden_layers": 3,
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 1,
        "ssm_state_size": 8,
        "chunk_size": 8,
        "head_dim": 8,
    },
    "lfm2": {**_HEADS, "layer_types": ["conv", "full_attention"], "block_ff_dim": 48},
    "olmo_hybrid": _DELTA,
    "xlstm": {**_SIZES, "num_heads": 4, "num_blocks": 2, "embedding_dim": 32},
}
