"""Opening a series: which checkpoints, and what the user says of them."""

from __future__ import annotations

import json

import pytest

from spectra_cli.core.errors import ModelError, UsageError
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.extract.series.opened import family_of, open_series


@pytest.fixture
def run(write, tmp_path):
    module = write("llama").module
    for step in (1, 2, 3):
        module.save_pretrained(tmp_path / f"checkpoint-{step}")
    return tmp_path


def test_the_first_chosen_checkpoint_gives_the_skeleton(run):
    (run / "checkpoint-1" / "model.safetensors").write_bytes(b"short")
    series = open_series(str(run), SeriesOptions(selection=SeriesSelection(steps="2:", last=1)))
    assert [ref.step for ref in series.refs] == [3]
    assert series.first.ref.step == 3
    assert series.selection == "--steps 2: --last 1"
    assert series.notices == ("1 of 3 checkpoints is chosen by --steps 2: --last 1",)


def test_what_lies_beside_the_checkpoints_is_named(run):
    (run / "older").mkdir()
    (run / "older" / "ckpt.pt").write_bytes(b"")
    (notice,) = open_series(str(run)).notices
    assert "not read: older/" in notice


def test_what_the_numbers_depend_on_is_kept(run):
    assert open_series(str(run)).model_settings == {}
    options = SeriesOptions(model={"rms_norm_eps": 1e-5}, log="", trust_remote_code=True)
    series = open_series(str(run), options)
    assert series.model_settings == {"facts": {"rms_norm_eps": 1e-5}, "trust_remote_code": True}
    assert series.first.config["rms_norm_eps"] == 1e-5
    assert series.skeleton.module.config.rms_norm_eps == 1e-5
    assert series.runs_own_code


def test_facts_of_the_runs_folder_reach_the_model(run):
    (run / "run.toml").write_text("[model]\nrms_norm_eps = 1e-3")
    series = open_series(str(run))
    assert series.skeleton.module.config.rms_norm_eps == 1e-3
    assert series.model_settings == {"facts": {"rms_norm_eps": 1e-3}}


BUILDER = """
from transformers import LlamaConfig, LlamaForCausalLM

def build(state, metadata):
    model = LlamaForCausalLM(LlamaConfig(**metadata["config"]))
    model.load_state_dict(state, assign=True)
    return model
"""


def test_a_builder_of_the_users_builds_the_skeleton(run, monkeypatch):
    monkeypatch.chdir(run)
    (run / "my_llama.py").write_text(BUILDER)
    series = open_series(str(run), SeriesOptions(builder="my_llama:build"))
    assert series.skeleton.family == family_of(series.first, "my_llama:build").name
    assert series.model_settings == {"builder": "my_llama:build"}
    assert series.runs_own_code
    with pytest.raises(UsageError, match="no_such"):
        open_series(str(run), SeriesOptions(builder="no_such:build"))


def test_a_first_checkpoint_that_no_model_fits_does_not_hide_the_others(run):
    config = run / "checkpoint-1" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"unheard_of"'))
    series = open_series(str(run))
    assert ([ref.step for ref in series.refs], series.first.ref.step) == ([1, 2, 3], 2)
    for step in (2, 3):
        (run / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"none of 3 .* scanned; the first: .*unheard_of"):
        open_series(str(run))
    with pytest.raises(ModelError, match="unheard_of"):
        open_series(str(run / "checkpoint-1"))


def test_a_run_folder_given_as_reference_is_its_own_model(run):
    with pytest.raises(UsageError, match="holds 3 checkpoints"):
        open_series(str(run), SeriesOptions(reference=str(run)))
    for file in (run / "checkpoint-3").iterdir():
        (run / file.name).write_bytes(file.read_bytes())
    series = open_series(str(run), SeriesOptions(reference=str(run)))
    assert series.reference.uri == str(run)


def test_a_base_for_what_is_no_adapter_is_refused(run):
    with pytest.raises(UsageError, match="base"):
        open_series(str(run), SeriesOptions(base="elsewhere"))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_model_that_takes_no_tokens_is_refused(run):
    from safetensors.torch import load_file, save_file

    for folder in run.iterdir():
        weights = {
            name: tensor[:0].contiguous() if "embed_tokens" in name or "lm_head" in name else tensor
            for name, tensor in load_file(folder / "model.safetensors").items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 0}))
    with pytest.raises(ModelError, match="a vocabulary of 0, width 32 and 2 blocks are no model"):
        open_series(str(run / "checkpoint-1"))
