"""A live scan of a model is, bit for bit, the scan of its saved checkpoint, and the model does not notice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure as Page

from spectra_cli.api.compare import compare
from spectra_cli.api.scan import scan
from spectra_cli.api.values.run import open as open_run
from spectra_cli.core.errors import ArchiveError, ModelError, ProbeError, UsageError
from tests.extract.writers.decoder import random_state
from tests.extract.writers.huggingface import CONFIGS, VOCAB, random_model

TOKENS = np.random.default_rng(0).integers(0, VOCAB, 2048).astype(np.int32)
SMALL = {
    "sequences": 8,
    "gradient_sequences": 8,
    "sequence_length": 8,
    "set": {"scan.num_blocks": 4},
    "quiet": True,
}


def model_of(name: str, **changes: object) -> torch.nn.Module:
    return random_model({"model_type": name, **CONFIGS[name], **changes}).train()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("probe.npy", TOKENS)
    return tmp_path


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.usefixtures("here")
def test_it_is_the_scan_of_the_saved_checkpoint(name, numbers_of):
    model = model_of(name)
    live = scan(model=model, tokens=TOKENS, step=10, **SMALL)
    model.save_pretrained("run/checkpoint-10")
    saved = open_run(scan("run", probe="probe.npy", **SMALL).archive)
    mine, other = (numbers_of(one.series.checkpoint(0)) for one in (live, saved))
    assert mine["spectra"] == other["spectra"]
    assert mine["scalars"] == other["scalars"]
    assert mine["info"].digest == other["info"].digest
    assert live.series.provenance.settings == saved.series.provenance.settings
    assert live.series.provenance.probe.digest == saved.series.provenance.probe.digest
    assert live.table(statistics="rankme_cov")["value"] == saved.table(statistics="rankme_cov")["value"]
    for figure in ("spectrum", "layers", "gradients", "weights"):
        mine, other = (Page().subplots() for _ in range(2))
        getattr(live.plot, figure)(ax=mine)
        getattr(saved.plot, figure)(ax=other)
        assert _drawn(mine) == _drawn(other)
    with pytest.raises(UsageError, match="in memory alone"):
        compare(live, "run")


def _drawn(ax):
    """What stands in axes: titles, and the numbers of lines and meshes."""
    lines = [np.asarray(line.get_xydata()).tobytes() for line in ax.lines]
    meshes = [mesh.get_array().tobytes() for mesh in ax.collections if mesh.get_array() is not None]
    assert lines or meshes
    return ax.get_title(loc="left"), lines, meshes


@dataclass
class GPTConfig:
    block_size: int = 16
    vocab_size: int = VOCAB
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 32
    dropout: float = 0.1
    bias: bool = False


def nanogpt() -> torch.nn.Module:
    """A module whose state and configuration are those of nanoGPT's `GPT`."""
    module = torch.nn.Module()
    module.config = GPTConfig()
    for name, tensor in random_state("n").items():
        *folders, last = name.split(".")
        inner = module
        for folder in folders:
            if not hasattr(inner, folder):
                inner.add_module(folder, torch.nn.Module())
            inner = getattr(inner, folder)
        inner.register_parameter(last, torch.nn.Parameter(tensor))
    return module


@pytest.mark.usefixtures("here")
def test_a_nanogpt_is_the_scan_of_its_file(numbers_of):
    model = nanogpt()
    live = scan(model=model, tokens=TOKENS, step=10, **SMALL)
    Path("run").mkdir()
    torch.save(
        {"model": model.state_dict(), "model_args": asdict(model.config), "iter_num": 10}, "run/ckpt_10.pt"
    )
    saved = open_run(scan("run", probe="probe.npy", **SMALL).archive)
    mine, other = (numbers_of(one.series.checkpoint(0)) for one in (live, saved))
    assert mine["spectra"] == other["spectra"]
    assert mine["scalars"] == other["scalars"]
    assert mine["info"].digest == other["info"].digest


@pytest.mark.usefixtures("here")
def test_the_model_does_not_notice():
    model = model_of("gpt2")
    model.transformer.h[0].requires_grad_(requires_grad=False)
    seen: list[str] = []
    model.register_forward_hook(lambda *_: seen.append("forward"))
    model(torch.ones(1, 4, dtype=torch.long), labels=torch.ones(1, 4, dtype=torch.long)).loss.backward()
    seen.clear()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    before = {
        name: (one.clone(), one.requires_grad, None if one.grad is None else one.grad.clone())
        for name, one in model.named_parameters()
    }
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scan(model=model, tokens=TOKENS, **SMALL)
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.rand(4), expected)
    assert not seen
    assert model.training
    for name, parameter in model.named_parameters():
        value, asks, gradient = before[name]
        assert torch.equal(parameter, value)
        assert parameter.requires_grad is asks
        assert (parameter.grad is None) if gradient is None else torch.equal(parameter.grad, gradient)


@pytest.mark.usefixtures("here")
def test_steps_of_a_run_go_into_its_archive():
    model = model_of("gpt2")
    first = scan("runs/a", model=model, tokens=TOKENS, step=10, measure="weights", **SMALL)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight.mul_(2)
    second = scan("runs/a", model=model, tokens=TOKENS, step=20, measure="weights", **SMALL)
    assert first.series.path == second.series.path == Path("a.spectra.h5").absolute()
    assert second.checkpoints["step"] == [10, 20]
    assert open_run("a.spectra.h5").checkpoints["step"] == [10, 20]
    again = scan("runs/a", model=model, tokens=TOKENS, step=20, measure="weights", **SMALL)
    assert again.series.checkpoint(1).provenance == second.series.checkpoint(1).provenance  # kept
    with pytest.raises(ArchiveError, match=r"is of .*runs/a .*, not of .*other/a"):
        scan("other/a", model=model, tokens=TOKENS, step=30, measure="weights", **SMALL)
    with pytest.raises(ArchiveError, match="is of another scan"):
        scan("runs/a", model=model, tokens=TOKENS, step=30, measure="weights", layers=[0], **SMALL)
    with pytest.raises(ArchiveError, match="step10 has other weights there than when it was measured"):
        scan("runs/a", model=model, tokens=TOKENS, step=10, measure="weights", **SMALL)
    replaced = scan(
        "other/a", model=model, tokens=TOKENS, step=30, measure="weights", overwrite=True, **SMALL
    )
    assert replaced.checkpoints["step"] == [30]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"tokens": TOKENS, "output": "a.spectra.h5"}, UsageError, "an archive is of a run"),
        ({"tokens": TOKENS, "probe": "probe.npy"}, UsageError, "expected one of them"),
        ({"tokens": TOKENS, "steps": 5}, UsageError, "steps: of a series of checkpoints"),
        ({"tokens": TOKENS.astype(float)}, ProbeError, "tokens are float64 of shape"),
        ({"tokens": TOKENS + VOCAB}, ProbeError, "vocab"),
        ({}, UsageError, "no tokens: tokens= takes ids"),
        (
            {"tokens": TOKENS, "model": torch.nn.Linear(2, 2)},
            ModelError,
            "is no model that a live scan knows",
        ),
        ({"tokens": TOKENS, "set": {"model.n_head": 2}}, UsageError, "a live model says itself what it is"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_is_refused(options, error, told):
    with pytest.raises(error, match=told):
        scan(**{"model": model_of("gpt2"), **SMALL, **options})


@pytest.mark.parametrize("tokens", [torch.from_numpy(TOKENS), TOKENS[:400].tolist(), TOKENS.reshape(-1, 16)])
@pytest.mark.usefixtures("here")
def test_tokens_are_taken_in_any_form(tokens):
    found = scan(model=model_of("gpt2"), tokens=tokens, measure="activations", **SMALL)
    assert found.series.provenance.probe.source == "memory"
    assert found.checkpoints["probe_loss"][0] > 0


def test_checkpoints_have_no_tokens_of_their_own():
    with pytest.raises(UsageError, match="nothing to scan"):
        scan()
    with pytest.raises(UsageError, match="tokens and step are of a live model"):
        scan("runs/a", step=3)
