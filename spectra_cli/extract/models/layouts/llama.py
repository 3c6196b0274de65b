"""Models with LLaMA's layout: separate q, k, v, o and a gated MLP of gate, up and down."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

LLAMA = HuggingFaceFamily(
    name="llama",
    summary="Llama, Mistral, Ministral, Qwen2, Qwen3, OLMo 1 to 3, Gemma 1 to 3, Granite, SmolLM3, StableLM, "
    "Cohere 1 and 2, EXAONE 4, ERNIE 4.5, Helium, HunYuan (dense), Seed-OSS",
    model_types=frozenset(
        (
            "llama",
            "mistral",
            "qwen2",
            "qwen3",
            "olmo",
            "olmo2",
            "olmo3",
            "gemma",
            "gemma2",
            "gemma3_text",
            "granite",
            "smollm3",
            "stablelm",
            "cohere",
            "cohere2",
            "ministral",
            "exaone4",
            "ernie4_5",
            "helium",
            "hunyuan_v1_dense",
            "seed_oss",
        )
    ),
    blocks="model.layers",
    final_norm="model.norm",
    parts={
        "attn.q": Part(path="self_attn.q_proj"),
        "attn.k": Part(path="self_attn.k_proj"),
        "attn.v": Part(path="self_attn.v_proj"),
        "attn.o": Part(path="self_attn.o_proj"),
        "mlp.gate": Part(path="mlp.gate_proj"),
        "mlp.up": Part(path="mlp.up_proj"),
        "mlp.down": Part(path="mlp.down_proj"),
    },
)
