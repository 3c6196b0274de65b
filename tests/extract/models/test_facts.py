"""What an inspection says of the paper's models is what a scan measures with and archives."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.models.facts import require_known
from spectra_cli.extract.models.nanogpt.arguments import SETTINGS as NANOGPT
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan
from tests.extract.writers import ladder

SETTINGS = ScanSettings(
    measurements=("activation_covariance",), num_sequences=4, sequence_length=40, num_blocks=2
)
TOY = {
    "task": "mod_arith_lm",
    "variant": "baseline+rope+untie_embed+value_mix+unet+fixed_window",
    "window_size": 3,
    "attention_scale": None,
    "lm_head_softcap": 30.0,
    "n_heads": 4,
    "num_layers": 12,
    "d_model": ladder.C,
}


def toy_names(state):
    pairs = (("transformer.h.", "blocks."), ("transformer.wte.", "tok_embed."))
    for old, new in pairs:
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    return state


def write_toy(folder, **config):
    """A toy run as its runner leaves it: in a folder whose name says a window of 8."""
    run = folder / "track-a__var-baseline+unet+fixed_window__win-8"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run_config.json").write_text(json.dumps(TOY | config))
    state = toy_names(ladder.state_of("toy fixed_window"))
    torch.save({"step": 50, "model_state_dict": state}, run / "checkpoints" / "model_step_000050.pt")
    return run


def write_late(folder, *, mix):
    """A run of variant 14 whose attn.mix[1] is `mix` of the layer."""
    run = folder / "late"
    run.mkdir()
    arguments = {"wandb_run_name": "14_truncated_rope_gpt2", "n_head": ladder.H, "eot": ladder.EOT}
    (run / "args.json").write_text(json.dumps({**arguments, "block_size": 8, "window_warmup_steps": 100}))
    state = ladder.state_of("14")
    for name, tensor in state.items():
        if name.endswith(".mix"):
            tensor[1] = mix(int(name.split(".")[2]))
    content = {"step": 50, "val_loss": None, "model": state, "optimizers": [], "rng": {}, "extra": {}}
    torch.save(content, run / "ckpt_step_0000050.pt")
    return run


def both(run, tmp_path, monkeypatch, **model):
    """Facts, their sources and notices: of the inspection, and of the archive."""
    monkeypatch.chdir(tmp_path)
    np.save("probe.npy", np.random.default_rng(0).integers(0, ladder.V, 400).astype(np.int32))
    series = SeriesOptions(model=model)
    found = inspect(ScanRequest(checkpoints=str(run), settings=SETTINGS, series=series))
    (outline,) = found.checkpoints
    request = ScanRequest(
        checkpoints=str(run), settings=SETTINGS, series=series, probe="probe.npy", output=tmp_path / "a.h5"
    )
    scan(request, lambda _: None)
    (info,) = open_archive(tmp_path / "a.h5").infos
    assert dict(outline.facts) == dict(info.facts)
    assert dict(outline.sources) == dict(info.sources)
    known_before = {
        n for n in info.notices if kind_of(n) is not NoticeKind.ABOVE_UNIFORM
    }  # a loss is measured
    assert {*found.notices, *outline.notices} == known_before
    return info


def test_a_toy_run_is_measured_as_its_run_config_says(tmp_path, monkeypatch):
    info = both(write_toy(tmp_path), tmp_path, monkeypatch)
    assert info.architecture == "toy fixed window"
    facts = {name.removeprefix("model."): value for name, value in info.facts.items()}
    assert facts["n_head"] == "4"
    assert (facts["mask"], facts["window_tokens"], facts["softcap"]) == ("token", "3", "tanh 30")
    assert facts["attn_scale"] == f"{(ladder.C / 4) ** -0.5:.6g}"
    assert info.sources["model.n_head"] == "n_heads in ../run_config.json"
    assert info.sources["model.window_tokens"] == "window_size in ../run_config.json"
    assert info.sources["model.variant"] == "../run_config.json"
    assert not any("path" in notice for notice in info.notices)


def test_the_numbers_are_those_of_the_stated_model(tmp_path, monkeypatch):
    """Another window, other heads and another scale give other numbers: each of them is used."""
    spectra = []
    for number, model in enumerate(({}, {"window_tokens": 8}, {"n_head": 2}, {"attn_scale": 0.01})):
        folder = tmp_path / str(number)
        folder.mkdir()
        both(write_toy(folder), folder, monkeypatch, **model)
        spectra.append(open_archive(folder / "a.h5").checkpoint(0).spectra[-1].values)
    assert all(not np.allclose(spectra[0], other, rtol=1e-3) for other in spectra[1:])
    # what the file says and what the user says of the same model are the same numbers
    folder = tmp_path / "stated"
    folder.mkdir()
    run = write_toy(folder, n_heads=2, window_size=8, attention_scale=0.5)
    both(run, folder, monkeypatch, n_head=4, window_tokens=3, attn_scale="default")
    np.testing.assert_array_equal(open_archive(folder / "a.h5").checkpoint(0).spectra[-1].values, spectra[0])
    (info,) = open_archive(folder / "a.h5").infos
    for lost in ("n_heads 2", "window_size 8", "attention_scale 0.5"):
        assert any(f"and {lost} by ../run_config.json: the former" in n for n in info.notices), lost


@pytest.mark.parametrize(
    ("mix", "reach", "word"),
    [
        (lambda layer: 0.1 + 0.01 * layer, "3", "not 0.5 in layers 3, 4, 5, 6, 8 too"),
        (lambda layer: 0.6 if layer < 4 or layer >= 8 else 0.5, "4", "has moved from 0.5 there and nowhere"),
        (lambda layer: 0.5, "3", "the paper's code at 12 layers"),
    ],
)
def test_the_reach_of_value_embeddings_is_the_same_before_and_after(tmp_path, monkeypatch, mix, reach, word):
    info = both(write_late(tmp_path, mix=mix), tmp_path, monkeypatch)
    assert info.facts["model.value_reach"] == reach
    assert any(word in n and "--set model.value_reach" in n for n in info.notices)


def test_a_tie_that_only_values_show_is_the_same_before_and_after(tmp_path, monkeypatch):
    run = tmp_path / "tied"
    run.mkdir()
    state = {n: t for n, t in ladder.state_of("7").items() if not n.endswith(("lambdas", "lamb"))}
    for step, head in ((0, state["transformer.wte.weight"].clone()), (1, state["lm_head.weight"])):
        torch.save({"step": step, "model": {**state, "lm_head.weight": head}}, run / f"ckpt_step_{step}.pt")
    (run / "args.json").write_text(json.dumps({"n_head": ladder.H}))
    found = inspect(
        ScanRequest(checkpoints=str(run), settings=dataclasses.replace(SETTINGS, measurements=("weight",)))
    )
    names = [c.architecture for c in found.checkpoints]
    assert names == ["variant 4s or 5 (rope, tied)", "variant 6 (untied embedding)"]
    assert [c.facts["model.embed_norm"] for c in found.checkpoints] == ["false", "true"]


def refuse(header_of, name, config, *, kind, where="--set"):
    header = header_of(config, {}, format=kind)
    require_known({name: where}, header, frozenset(config), checkpoints="run")


@pytest.mark.parametrize(
    ("kind", "config", "misspelt", "meant"),
    [
        ("nanogpt", {"n_head": 4}, "n_haed", "n_head"),
        ("nanogpt", {}, "atn_scale", "attn_scale"),
        ("nanogpt", {"learning_rate": 1}, "learning_rate", None),  # in the file, and read by no model
        ("nanochat", {"n_head": 4}, "rotary_bas", "rotary_base"),
        ("huggingface", {"model_type": "llama"}, "rms_norm_ep", "rms_norm_eps"),
        ("huggingface", {"model_type": "gpt2"}, "num_attention_head", "num_attention_heads"),
        ("llmc", {"n_head": 4}, "n_heat", "n_head"),
    ],
)
def test_a_misspelt_fact_is_refused_with_the_nearest_and_the_list(header_of, kind, config, misspelt, meant):
    with pytest.raises(UsageError, match=rf"^--set: model\.{misspelt} is nothing .* of run") as caught:
        refuse(header_of, misspelt, config, kind=kind)
    assert (f"did you mean {meant}?" in str(caught.value)) == (meant is not None)
    if kind == "nanogpt":
        assert all(name in str(caught.value) for name in NANOGPT)
    if meant is not None:
        refuse(header_of, meant, config, kind=kind)


def test_the_file_that_states_it_is_named(header_of):
    with pytest.raises(UsageError, match=r"^/runs/run\.toml: model\.n_haed"):
        refuse(header_of, "n_haed", {}, kind="nanogpt", where="/runs/run.toml")


def test_what_only_the_model_s_own_code_knows_is_let_through(header_of):
    refuse(header_of, "anything", {"model_type": "of_their_own"}, kind="huggingface")
    # a name that the file has, though the class does not
    refuse(header_of, "rope_fancy", {"model_type": "llama", "rope_fancy": 1}, kind="huggingface")
