import struct
import sys

import numpy as np
import pytest
import torch
from gguf import GGUFWriter, gguf_reader
from transformers import GPT2Config, GPT2LMHeadModel

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.gguf.rope import llama3_factors
from spectra_cli.extract.checkpoints.gguf.source import GgufFormat
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.gguf import F16, F32, Q8_0, make_llama, write_gpt2, write_llama

TOKENS = torch.arange(12).reshape(2, 6)


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
    llama = make_llama(tie_word_embeddings=tied, rope_theta=5000.0)
    meant = write_llama(llama, tmp_path / "tiny.gguf", kind)
    llama.load_state_dict(meant, strict=not tied)
    header, model = _built(tmp_path / "tiny.gguf")
    _assert_logits(model, llama)
    assert (model.family, header.ref.format, header.ref.step) == ("llama", "gguf", None)
    notices = " ".join(header.notices)
    assert (f"{kind.name} (" in notices) == (kind is not F32)
    assert ("the tails of spectra carry quantisation noise" in notices) == (kind is Q8_0)


@pytest.mark.parametrize(("kind", "bits"), [(F32, 32), (F16, 16), (Q8_0, 8.5)])
def test_the_size_is_what_the_file_stores(tmp_path, kind, bits):
    llama = make_llama()
    write_llama(llama, tmp_path / "tiny.gguf", kind)
    (ref,) = (source := find_source(str(tmp_path / "tiny.gguf"))).refs()
    header = source.header(ref)
    state = llama.state_dict().values()
    # llama.cpp's converter leaves vectors in float32
    stored = sum(t.numel() * (bits / 8 if t.ndim > 1 else 4) for t in state)
    assert header.num_bytes == stored < (tmp_path / "tiny.gguf").stat().st_size
    assert header.loaded_bytes == sum(4 * t.numel() for t in state)


def test_a_header_and_a_checkpoint_are_parsed_once_each_and_without_the_vocabulary(tmp_path, monkeypatch):
    def describe(writer):
        writer.add_token_list([f"t{i}" for i in range(64)])
        writer.add_token_scores([0.5] * 64)

    write_llama(make_llama(), tmp_path / "tiny.gguf", describe=describe)
    (ref,) = (source := find_source(str(tmp_path))).refs()
    parsed, fields = [], gguf_reader.GGUFReader._push_field
    monkeypatch.setattr(
        gguf_reader.GGUFReader, "_push_field", lambda *a, **k: parsed.append(a[1].name) or fields(*a, **k)
    )
    for read in (source.header, source.open):
        parsed.clear()
        read(ref)
        assert parsed.count("general.architecture") == 1
        assert not [name for name in parsed if name.startswith("tokenizer.")]


def test_gpt2(tmp_path):
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2)).eval()
    write_gpt2(gpt2, tmp_path / "gpt2.gguf")
    _, model = _built(tmp_path)
    _assert_logits(model, gpt2)
    assert model.family == "gpt2"


def test_folder_is_a_series(tmp_path):
    for name in ("m-step200-F32.gguf", "m-step30-F32.gguf"):
        write_llama(make_llama(), tmp_path / name)
    source = find_source(str(tmp_path))
    assert [ref.step for ref in source.refs()] == [30, 200]


def test_llama3_frequencies_are_kept(tmp_path):
    scaled = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0}
    scaled |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    llama = make_llama(rope_parameters=scaled, hidden_size=64, num_attention_heads=2, num_key_value_heads=1)
    factors = llama3_factors(500_000.0, 8.0, 16).astype(np.float32)
    write_llama(llama, tmp_path / "tiny.gguf", extra=[("rope_freqs.weight", factors)])
    header, model = _built(tmp_path)
    assert header.config["rope_parameters"] == scaled
    _assert_logits(model, llama)


@pytest.mark.parametrize(
    "scaled", [{"scaling": "yarn"}, {"extra": [("rope_freqs.weight", np.arange(4, dtype=np.float32) + 1)]}]
)
def test_other_frequencies_are_refused(tmp_path, scaled):
    write_llama(make_llama(), tmp_path / "tiny.gguf", **scaled)
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match="rotary frequencies are scaled"):
        source.header(source.refs()[0])


def test_a_tensor_that_transformers_passes_over(tmp_path):
    extra = [("blk.0.attn_q_norm.weight", np.ones(8, dtype=np.float32))]
    write_llama(make_llama(), tmp_path / "tiny.gguf", extra=extra)
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
    write_llama(make_llama(), path)
    path.write_bytes(edit(path.read_bytes()))
    source = find_source(str(tmp_path))
    for read in (source.header, source.open):
        with pytest.raises(CheckpointError, match=r"tiny\.gguf: "):
            read(source.refs()[0])


def test_without_the_package(tmp_path, monkeypatch):
    write_llama(make_llama(), tmp_path / "tiny.gguf")
    source = find_source(str(tmp_path))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(CheckpointError, match=r"pip install 'llm-spectra\[gguf\]'") as caught:
        source.header(source.refs()[0])
    assert caught.value.code == "missing-extra"


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
