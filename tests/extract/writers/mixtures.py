"""Configurations of tiny mixtures of experts, and where each expert lies in the writer's tensors."""

import re

VOCAB, WIDTH, INNER, EXPERTS = 37, 16, 12, 6
BASE = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "moe_intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCAB,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
DEEPSEEK = {
    **BASE,
    "num_key_value_heads": 4,
    "n_routed_experts": EXPERTS,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 4,
}
# A dense first layer, which these families have of their own accord.
HALF_DENSE = {**BASE, "n_routed_experts": EXPERTS, "n_shared_experts": 1, "first_k_dense_replace": 1}
CONFIGS = {
    "mixtral": {**BASE, "num_local_experts": EXPERTS},
    "qwen2_moe": {
        **BASE,
        "num_experts": EXPERTS,
        "shared_expert_intermediate_size": 20,
        "mlp_only_layers": [0],
    },
    "qwen3_moe": {**BASE, "num_experts": EXPERTS, "head_dim": 4},
    "olmoe": {**BASE, "num_experts": EXPERTS},
    "flex_olmo": {**BASE, "num_experts": EXPERTS},
    "gpt_oss": {
        **BASE,
        "num_local_experts": EXPERTS,
        "head_dim": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "deepseek_v2": {**DEEPSEEK, "q_lora_rank": None, "topk_method": "group_limited_greedy"},
    "deepseek_v3": {**DEEPSEEK, "q_lora_rank": 8},
    "glm4_moe": HALF_DENSE,
    "dots1": HALF_DENSE,
    "ernie4_5_moe": {
        **BASE,
        "moe_num_experts": EXPERTS,
        "moe_k": 2,
        "moe_num_shared_experts": 1,
        "moe_layer_start_index": 1,
    },
    "minimax_m2": {**BASE, "num_local_experts": EXPERTS, "head_dim": 4},
    "phimoe": {**BASE, "num_local_experts": EXPERTS},
}


def of_writer(named, site):
    """The matrix of a site in tensors under the writer's names, laid out by hand."""
    packed = re.fullmatch(r"(.*)\[(\d+)\]", site.name)
    if packed is None:
        return named[site.name]
    own = named[packed[1]][int(packed[2])]
    letter = site.component.rpartition(".")[2]
    if "gate_up_proj_bias" not in "".join(named):
        return {"gate": own[: len(own) // 2], "up": own[len(own) // 2 :], "down": own}[letter]
    # gpt-oss stores fan_in x fan_out, gate and up in turns
    return {"gate": own[:, ::2].T, "up": own[:, 1::2].T, "down": own.T}[letter]
