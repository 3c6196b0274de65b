"""GGUF files through the gguf package, as llama.cpp's converter lays them out."""

import json
import re

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import LlamaConfig, LlamaForCausalLM

F32, F16, Q8_0 = (GGMLQuantizationType[name] for name in ("F32", "F16", "Q8_0"))
INSIDE = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def make_llama(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    config = LlamaConfig(**(sizes | heads | {"tie_word_embeddings": False, "rms_norm_eps": 1e-5} | changes))
    return LlamaForCausalLM(config).eval()


def _neighbouring(rows, num_heads):
    """llama.cpp rotates neighbouring pairs; transformers the two halves of a head."""
    return rows.reshape(num_heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def _stored(array, kind):
    if kind is F32 or array.ndim == 1:
        return array, F32
    return (array.astype(np.float16), F16) if kind is F16 else (quants.quantize(array, kind), kind)


def write_llama(model, path, kind=F32, *, extra=(), scaling="", describe=lambda writer: None):
    """As llama.cpp's converter does, for a Llama; returns the state dict that the file then means."""
    config, meant = model.config, {}
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    describe(writer)
    if scaling:
        writer.add_string("llama.rope.scaling.type", scaling)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        inside = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
        own = f"blk.{inside[1]}.{INSIDE[inside[2]]}.weight" if inside else OUTSIDE[name]
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
        array = tensor.numpy()
        if projection := re.search(r"\.([qk])_proj", name):
            array = _neighbouring(array, heads[projection[1]])
        content, stored = _stored(array, kind)
        writer.add_tensor(own, content, raw_dtype=stored)
        content, stored = _stored(tensor.numpy(), kind)
        meant[name] = torch.from_numpy(quants.dequantize(content, stored).astype(np.float32))
    for name, array in extra:
        writer.add_tensor(name, array)
    _finish(writer)
    return meant


def write_gpt2(model, path):
    """As llama.cpp's converter does, for a GPT-2 in float32: its Conv1D weights as Linear has them."""
    config = model.config
    names = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm"}
    names |= {"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm"}
    names |= {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
    writer = GGUFWriter(path, "gpt2")
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    for name, tensor in model.transformer.state_dict().items():
        path, _, suffix = name.rpartition(".")
        inside = re.fullmatch(r"h\.(\d+)\.(.+)", path)
        own = f"blk.{inside[1]}.{names[inside[2]]}" if inside else names[path]
        conv1d = inside is not None and tensor.ndim == 2
        writer.add_tensor(f"{own}.{suffix}", np.ascontiguousarray((tensor.T if conv1d else tensor).numpy()))
    _finish(writer)


def add_tokenizer(writer, tokenizer, *, pre="gpt-2", end="<|endoftext|>"):
    """The vocabulary of a byte-level `tokenizers.Tokenizer`, as llama.cpp's converter writes it."""
    vocabulary = tokenizer.get_vocab()
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == end else 1 for token in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    if end in vocabulary:
        writer.add_eos_token_id(vocabulary[end])


def _finish(writer):
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
