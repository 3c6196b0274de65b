import os

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.llm_c import LlmcFormat, read_losses
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.llmc import write

VOCAB, POSITIONS, WIDTH, LAYERS, HEADS = 61, 12, 16, 2, 2
TOKENS = torch.arange(12).reshape(2, 6) * 5


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def _built(path):
    source = find_source(str(path))
    (ref,) = source.refs()
    header, state = source.header(ref), source.open(ref)
    assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
        n: (tuple(t.shape), t.dtype) for n, t in state.items()
    }
    return header, find_family(header).build(header, state, device=torch.device("cpu"))


@pytest.mark.parametrize(("version", "dtype"), [(3, torch.float32), (5, torch.bfloat16)])
def test_logits_are_the_writers(tmp_path, gpt2, version, dtype):
    write(gpt2, tmp_path / "gpt2_tiny.bin", version=version, dtype=dtype)
    header, model = _built(tmp_path / "gpt2_tiny.bin")
    rounded = GPT2LMHeadModel(gpt2.config).eval()
    rounded.load_state_dict({n: t.to(dtype).float() for n, t in gpt2.state_dict().items()})
    with torch.inference_mode():
        torch.testing.assert_close(model.head(model.trunk(TOKENS)), rounded(TOKENS).logits, rtol=0, atol=1e-5)
    assert (model.family, model.vocab_size, model.max_length) == ("gpt2", VOCAB, POSITIONS)
    assert header.ref.step is None
    assert any("3 rows of the embedding pad its vocabulary" in notice for notice in header.notices)


def test_gradients_of_q_k_v_against_the_writers(tmp_path, gpt2):
    write(gpt2, tmp_path / "model_00000001.bin")
    _, model = _built(tmp_path)
    (view,) = (v for v in model.matrices if v.site.address == "blocks.1.attn.k")
    weight = view.module.weight.requires_grad_()
    logits = model.head(model.trunk(TOKENS))
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS.flatten()).backward()
    own = gpt2.transformer.h[1].attn.c_attn.weight
    found = torch.autograd.grad(
        torch.nn.functional.cross_entropy(gpt2(TOKENS).logits.flatten(0, 1), TOKENS.flatten()), own
    )[0]
    torch.testing.assert_close(weight.grad.T[view.rows], found[:, WIDTH : 2 * WIDTH].T, rtol=1e-5, atol=1e-6)


def test_series_with_losses_of_the_log(tmp_path, gpt2):
    for step in (1000, 250, 20):
        write(gpt2, tmp_path / f"model_{step:08}.bin")
    (tmp_path / "state_00000250_00000.bin").write_bytes(np.array([20240527], "<i4").tobytes() * 256)
    (tmp_path / "main.log").write_text("s:20 trl:5.5 lr:0.1 norm:2\ns:250 tel:4.5\ns:250 trl:4.25 lr:0.1\n")
    source = find_source(str(tmp_path))
    assert [ref.step for ref in source.refs()] == [20, 250, 1000]
    headers = [source.header(ref) for ref in source.refs()]
    assert [(h.train_loss, h.eval_loss) for h in headers] == [(5.5, None), (4.25, 4.5), (None, None)]
    assert headers[1].sources["eval_loss"] == "main.log"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda b: b[:-4], "bytes, its header claims .* half-written"),
        (lambda b: b[:100], "less than llm.c's header .*copy or save it again"),
        (lambda b: bytes(4) + b[4:], "magic 0, .* its start is damaged"),
        (lambda b: b[:4] + (1).to_bytes(4, "little") + b[8:], "version 1; expected"),
        (lambda b: b[:16] + (10**6).to_bytes(4, "little") + b[20:], "its header claims"),
        (lambda b: b[:20] + (3).to_bytes(4, "little") + b[24:], "makes no GPT-2"),
    ],
)
def test_damaged_files_fail_by_name(tmp_path, gpt2, edit, message):
    path = tmp_path / "model_00000001.bin"
    write(gpt2, path)
    path.write_bytes(edit(path.read_bytes()))
    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    for read in (source.header, source.open):
        with pytest.raises(CheckpointError, match=rf"model_00000001\.bin: .*{message}"):
            read(ref)


def test_other_bin_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.bin")  # not waited for
    (tmp_path / "tokens.bin").write_bytes(np.array([20240520, 1], "<i4").tobytes())
    (tmp_path / "short.bin").write_bytes(b"x")
    assert LlmcFormat().find(str(tmp_path)) is None
    assert LlmcFormat().find(str(tmp_path / "tokens.bin")) is None


def test_the_last_line_of_a_step_counts(tmp_path):
    (tmp_path / "main.log").write_text("s:3 tel:4.0\ns:3 trl:5.0 lr:1\ns:3 tel:3.5\ns:4 eval:0.25\n")
    assert read_losses(tmp_path, 3) == {"train_loss": 5.0, "eval_loss": 3.5}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "s:3 tel:nan\ns:3 trl:-\n",
        "s:30 tel:1.0\n",
        f"s:{'3' * 5000} tel:1.0\n",
        "s:3 tel:3.4\ns:3 tel:2.",
    ],
)
def test_no_loss(tmp_path, content):
    (tmp_path / "main.log").write_text(content)
    assert read_losses(tmp_path, 3) == {}


def test_no_step_or_no_log(tmp_path):
    assert read_losses(tmp_path, 3) == {}
    (tmp_path / "main.log").write_text("s:3 tel:1.0\n")
    assert read_losses(tmp_path, None) == {}
