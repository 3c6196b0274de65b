"""Tiny models as their own writers save them, and the headers that the checkpoint formats would give."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.protocols import CheckpointHeader, Model, TensorHeader

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


class Written(NamedTuple):
    """A model with random weights beside what its folder holds."""

    module: Any
    header: CheckpointHeader
    state: dict[str, Tensor]


def make_header(config: Mapping[str, Any], state: Mapping[str, Tensor], *, format: str) -> CheckpointHeader:  # noqa: A002
    ref = CheckpointRef(run="tiny", step=5, uri="/runs/tiny/step5", format=format)
    return CheckpointHeader(
        ref=ref,
        tensors={n: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for n, t in state.items()},
        config=config,
        fingerprint="",
        num_bytes=sum({t.data_ptr(): t.nbytes for t in state.values()}.values()),
    )


@pytest.fixture(scope="session")
def header_of() -> Callable[..., CheckpointHeader]:
    return make_header


@pytest.fixture(scope="session")
def write() -> Callable[..., Written]:
    """The model of an entry of `CONFIGS`, saved as `save_pretrained` does: a tied head left out."""
    from transformers import AutoConfig, AutoModelForCausalLM

    @functools.cache
    def written(name: str) -> Written:
        config = AutoConfig.for_model(**{"model_type": name, **CONFIGS[name]})
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                # far from the flat attention of a fresh model, so that q and k matter
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        tied = module.get_output_embeddings().weight is module.get_input_embeddings().weight
        state = {n: t.clone() for n, t in module.state_dict().items() if not (tied and n == "lm_head.weight")}
        saved = json.loads(module.config.to_json_string())
        return Written(module, make_header(saved, state, format="huggingface"), state)

    return written


@pytest.fixture(scope="session")
def built(write: Callable[..., Written]) -> Callable[[str], Model]:
    """The loaded model of one type; shared by all tests, which leave it as it was."""
    from spectra_cli.extract.models.registry import find_family

    @functools.cache
    def model(model_type: str) -> Model:
        written = write(model_type)
        return find_family(written.header).build(written.header, written.state, device=torch.device("cpu"))

    return model


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCAB, (3, 7), generator=torch.Generator().manual_seed(1))


def _blocks(num_layers: int, width: int, *, fused: bool, mlp: int) -> dict[str, tuple[int, ...]]:
    """Block tensors of specs section 2.1, written out."""
    attention = {"c_attn": (3 * width, width)} if fused else {f"c_{c}": (width, width) for c in "qkv"}
    shapes = {f"attn.{n}.weight": s for n, s in attention.items()}
    shapes |= {"attn.c_proj.weight": (width, width)}
    shapes |= {"mlp.c_fc.weight": (mlp * width, width), "mlp.c_proj.weight": (width, mlp * width)}
    return {f"transformer.h.{i}.{n}": s for i in range(num_layers) for n, s in shapes.items()}


@pytest.fixture(scope="session")
def decoder_state() -> Callable[..., dict[str, Tensor]]:
    """Random tensors under the names and shapes of one variant: 3, 4, 4s, 6, nanoGPT (n; nb: biases)."""

    def state(variant: str, *, num_layers: int = 2, width: int = 32, seed: int = 0) -> dict[str, Tensor]:
        shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (VOCAB, width)}
        fused = variant in ("3", "n", "nb")
        if fused:
            shapes["transformer.wpe.weight"] = (16, width)
        shapes |= _blocks(num_layers, width, fused=fused, mlp=4)
        blocks = [f"transformer.h.{i}" for i in range(num_layers)]
        if variant == "4":
            shapes |= {f"{b}.attn.c_proj.bias": (width,) for b in blocks}
        if variant in ("n", "nb"):
            shapes |= {f"{p}.weight": (width,) for b in blocks for p in (f"{b}.ln_1", f"{b}.ln_2")}
            shapes["transformer.ln_f.weight"] = (width,)
        if variant == "nb":
            # every map but the head, and every norm, has a bias as long as its outputs
            outputs = {n: s for n, s in shapes.items() if ".h." in n or "ln_f" in n}
            shapes |= {n.replace(".weight", ".bias"): s[:1] for n, s in outputs.items()}
        generator = torch.Generator().manual_seed(seed)
        tensors = {n: 0.3 * torch.randn(s, generator=generator) for n, s in sorted(shapes.items())}
        own_head = 0.3 * torch.randn(VOCAB, width, generator=generator)
        tensors["lm_head.weight"] = own_head if variant == "6" else tensors["transformer.wte.weight"]
        return tensors

    return state
