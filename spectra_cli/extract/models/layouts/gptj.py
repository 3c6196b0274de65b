"""GPT-J: attention and MLP in parallel from one norm, separate q, k, v without bias."""

from __future__ import annotations

from spectra_cli.extract.models.transformers.layout import HuggingFaceFamily, Part

GPTJ = HuggingFaceFamily(
    name="gptj",
    summary="GPT-J",
    model_types=frozenset({"gptj"}),
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    parts={
        "attn.q": Part(path="attn.q_proj"),
        "attn.k": Part(path="attn.k_proj"),
        "attn.v": Part(path="attn.v_proj"),
        "attn.o": Part(path="attn.out_proj"),
        "mlp.up": Part(path="mlp.fc_in"),
        "mlp.down": Part(path="mlp.fc_out"),
    },
    absent={"mlp.gate": "the MLP has no gate"},
)
