"""The Llama of torchtitan and Meta's own code, renamed as transformers' Llama.

Meta rotates neighbouring pairs (2 i, 2 i + 1) of a head, transformers (i, i + half): the rows of q and k
change places. That leaves every spectrum of a weight or a gradient as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.models.claims.sizes import layers_apart

PARAMETERS = "params.json"
NOTICE = "Llama tensors of torchtitan read as transformers' Llama: renamed, the rows of q and k reordered"

Shape = tuple[int, ...]

_EMBEDDING = "tok_embeddings.weight"
FIRST_QUERY = "layers.0.attention.wq.weight"
_OUTSIDE = {
    _EMBEDDING: "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_IN_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.weight")
_ROTATED = re.compile(r"\.self_attn\.([qk])_proj\.weight$")
# recomputed from the configuration
_BUFFERS = frozenset({"freqs_cis", "rope.cache"})
_OF_LAYER = re.compile(r"(model\.layers\.)(\d+)(\..+)")
# of params.json -> of transformers' configuration; n_layers is more than a notice
_SIZES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
}
_NEEDED = ("n_heads", "rope_theta", "norm_eps")


def is_torchtitan_llama(names: Iterable[str]) -> bool:
    """Whether the tensors have the names of Meta's Llama."""
    return {_EMBEDDING, FIRST_QUERY} <= set(names)


def llama_names(names: Iterable[str]) -> dict[str, str]:
    """Name in transformers' Llama -> own name; those that it has no place for keep theirs."""
    return {_llama_name(name): name for name in names if name not in _BUFFERS}


def _llama_name(name: str) -> str:
    inside = _IN_LAYER.fullmatch(name)
    if inside and inside[2] in _INSIDE:
        return f"model.layers.{inside[1]}.{_INSIDE[inside[2]]}.weight"
    return _OUTSIDE.get(name, name)


def llama_config(shapes: Mapping[str, Shape], stated: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The configuration of transformers' Llama, from shapes and from what no shape shows.

    Args:
        shapes: under transformers' names.
        stated: a `config.json` of model_type llama, taken as it is; or `params.json`, with n_heads,
            rope_theta and norm_eps.
        where: the checkpoint, for messages.

    Raises:
        CheckpointError: a fact that is missing, or that the shapes contradict.
    """
    if stated.get("model_type"):
        return dict(stated)
    missing = [name for name in _NEEDED if not _is_number(stated.get(name))]
    if missing:
        raise CheckpointError(
            f"{where}: Llama tensors of torchtitan, without {', '.join(missing)}, which no tensor shows. "
            f"Write them into {PARAMETERS} beside the checkpoint or above it, such as "
            '{"n_heads": 32, "rope_theta": 500000.0, "norm_eps": 1e-05}, or put the config.json of the same '
            "Llama there"
        )
    if stated.get("use_scaled_rope"):
        raise CheckpointError(
            f"{where}: {PARAMETERS} asks for scaled RoPE without saying how it is scaled; put the "
            "config.json of the same Llama (with rope_parameters) beside the checkpoint"
        )
    try:
        vocab_size, width = shapes["model.embed_tokens.weight"]
        query, key = (shapes[f"model.layers.0.self_attn.{letter}_proj.weight"][0] for letter in "qk")
        mlp_width = shapes["model.layers.0.mlp.gate_proj.weight"][0]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{where}: not the tensors of a Llama: {error} is missing or misshapen"
        ) from error
    layers = {found[1] for name in shapes if (found := re.match(r"model\.layers\.(\d+)\.", name))}
    if layers != set(map(str, range(len(layers)))):
        raise CheckpointError(
            f"{where}: the tensors of {counted(len(layers), 'layer')} are not numbered 0 to "
            f"{len(layers) - 1}; expected "
            "every layer of the model"
        )
    depth = stated.get("n_layers")
    if type(depth) is int and depth != len(layers):
        raise CheckpointError(
            f"{where}: {PARAMETERS} says n_layers is {depth}, and its tensors are of "
            f"{counted(len(layers), 'layer')}: "
            f"{layers_apart(shapes, _OF_LAYER, stated=depth)}. The checkpoint is incomplete, or that file is "
            "another model's: copy or save it again, or put that of this checkpoint there"
        )
    num_heads = int(stated["n_heads"])
    if num_heads < 1 or query % num_heads or key % (query // num_heads) or query // num_heads % 2:
        raise CheckpointError(
            f"{where}: n_heads is {num_heads}, which does not divide q of {query} rows and k of {key} into "
            "even heads"
        )
    return {
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": width,
        "intermediate_size": mlp_width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": num_heads,
        "head_dim": query // num_heads,
        "num_key_value_heads": key // (query // num_heads),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(stated["rope_theta"])},
        "rms_norm_eps": float(stated["norm_eps"]),
        "max_position_embeddings": stated.get("max_seq_len", 131_072),
        "tie_word_embeddings": "lm_head.weight" not in shapes,
    }


def size_notices(config: Mapping[str, Any], stated: Mapping[str, Any], *, source: str) -> tuple[str, ...]:
    """A notice for each size of `params.json` that the tensors contradict: they decide.

    Args:
        config: as `llama_config` made it; stated: what `params.json` says; source: its path.
    """
    return tuple(
        f"{name} is {stated[name]!r:.40} by {source}, and the tensors have {config[own]}: the tensors decide"
        for name, own in _SIZES.items()
        # Meta's own files leave the vocabulary to the tokenizer with -1
        if stated.get(name) is not None and stated[name] not in (config[own], -1)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def with_halves_rotated(state: dict[str, Tensor], *, head_dim: int) -> None:
    """Reorder the rows of q and k, in place in the mapping, from pairs to halves."""
    for name, weight in state.items():
        if _ROTATED.search(name):
            pairs = weight.view(-1, head_dim // 2, 2, weight.shape[-1])
            state[name] = pairs.transpose(1, 2).reshape(weight.shape)
