import re
import struct
import sys

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.gguf import GgufFormat
from spectra_cli.extract.checkpoints.gguf_rope import llama3_factors
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family

F32, F16, Q8_0 = (GGMLQuantizationType[name] for name in ("F32", "F16", "Q8_0"))
TOKENS = torch.arange(12).reshape(2, 6)
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


def _llama(**changes):
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


def _write(model, path, kind=F32, *, extra=(), scaling=""):
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
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    return meant


def _built(path):
    source = find_source(str(path))
    (ref,) = source.refs()
    header, state = source.header(ref), source.open(ref)
    assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
        n: (tuple(t.shape), t.dtype) for n, t in state.items()
    }
    return header, find_family(header).build(header, state, device=torch.device("cpu"))


def _assert_logits(model, expected):
    with torch.inference_mode():
        torch.testing.assert_close(
            model.head(model.trunk(TOKENS)), expected(TOKENS).logits, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", [F32, F16, Q8_0])
def test_logits_are_the_writers(tmp_path, kind, tied):
    llama = _llama(tie_word_embeddings=tied, rope_theta=5000.0)
    meant = _write(llama, tmp_path / "tiny.gguf", kind)
    llama.load_state_dict(meant, strict=not tied)
    header, model = _built(tmp_path / "tiny.gguf")
    _assert_logits(model, llama)
    assert (model.family, header.ref.format, header.ref.step) == ("llama", "gguf", None)
    notices = " ".join(header.notices)
    assert (f"{kind.name} (" in notices) == (kind is not F32)
    assert ("the tails of spectra carry quantisation noise" in notices) == (kind is Q8_0)


def test_gpt2(tmp_path):
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2)).eval()
    names = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm"}
    names |= {"attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm"}
    names |= {"mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
    writer = GGUFWriter(tmp_path / "gpt2.gguf", "gpt2")
    writer.add_context_length(16)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_token_list([f"t{i}" for i in range(64)])
    for name, tensor in gpt2.transformer.state_dict().items():
        path, _, suffix = name.rpartition(".")
        inside = re.fullmatch(r"h\.(\d+)\.(.+)", path)
        own = f"blk.{inside[1]}.{names[inside[2]]}" if inside else names[path]
        conv1d = inside is not None and tensor.ndim == 2
        writer.add_tensor(f"{own}.{suffix}", np.ascontiguousarray((tensor.T if conv1d else tensor).numpy()))
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    _, model = _built(tmp_path)
    _assert_logits(model, gpt2)
    assert model.family == "gpt2"


def test_folder_is_a_series(tmp_path):
    for name in ("m-step200-F32.gguf", "m-step30-F32.gguf"):
        _write(_llama(), tmp_path / name)
    source = find_source(str(tmp_path))
    assert [ref.step for ref in source.refs()] == [30, 200]


def test_llama3_frequencies_are_kept(tmp_path):
    scaled = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0}
    scaled |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    llama = _llama(rope_parameters=scaled, hidden_size=64, num_attention_heads=2, num_key_value_heads=1)
    factors = llama3_factors(500_000.0, 8.0, 16).astype(np.float32)
    _write(llama, tmp_path / "tiny.gguf", extra=[("rope_freqs.weight", factors)])
    header, model = _built(tmp_path)
    assert header.config["rope_parameters"] == scaled
    _assert_logits(model, llama)


@pytest.mark.parametrize(
    "scaled", [{"scaling": "yarn"}, {"extra": [("rope_freqs.weight", np.arange(4, dtype=np.float32) + 1)]}]
)
def test_other_frequencies_are_refused(tmp_path, scaled):
    _write(_llama(), tmp_path / "tiny.gguf", **scaled)
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match="rotary frequencies are scaled"):
        source.header(source.refs()[0])


def test_a_tensor_that_transformers_passes_over(tmp_path):
    extra = [("blk.0.attn_q_norm.weight", np.ones(8, dtype=np.float32))]
    _write(_llama(), tmp_path / "tiny.gguf", extra=extra)
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match="does not know all of this model's tensors"):
        source.open(source.refs()[0])


def _claiming(content, at, value):
    return content[:at] + struct.pack("<Q", value) + content[at + 8 :]


@pytest.mark.parametrize(
    "edit",
    [
        lambda b: b"",
        lambda b: b[:10],
        lambda b: b[:500],
        lambda b: b[:-100],
        lambda b: b"LMGG" + b[4:],
        lambda b: _claiming(b, 8, 2**60),
        lambda b: _claiming(b, 16, 2**60),
    ],
)
def test_damaged_files_fail_by_name(tmp_path, edit):
    path = tmp_path / "tiny.gguf"
    _write(_llama(), path)
    path.write_bytes(edit(path.read_bytes()))
    source = find_source(str(tmp_path))
    for read in (source.header, source.open):
        with pytest.raises(CheckpointError, match=r"tiny\.gguf: "):
            read(source.refs()[0])


def test_without_the_package(tmp_path, monkeypatch):
    _write(_llama(), tmp_path / "tiny.gguf")
    source = find_source(str(tmp_path))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(CheckpointError, match=r"pip install 'llm-spectra\[gguf\]'"):
        source.header(source.refs()[0])


def test_pieces_of_a_split_model(tmp_path):
    (tmp_path / "m-00001-of-00003.gguf").write_bytes(b"GGUF")
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"one of 3 pieces.*--merge"):
        source.header(source.refs()[0])


def test_unknown_architecture(tmp_path):
    writer = GGUFWriter(tmp_path / "m.gguf", "nosuch")
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        step()
    writer.close()
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match="nosuch"):
        source.header(source.refs()[0])


def test_other_files(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"GGUF")
    assert GgufFormat().find(str(tmp_path)) is None
