from __future__ import annotations

import json
from pathlib import Path

import pytest

from spectra_cli.cli.groups.series import KnowledgeOptions, SelectionOptions
from spectra_cli.core.errors import UsageError
from spectra_cli.core.scan_request import SeriesOptions


def test_no_words_are_no_options():
    assert KnowledgeOptions().resolve(SelectionOptions().resolve()) == SeriesOptions()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("model.n=12", 12),
        ("model.n=1e-5", 1e-5),
        ("model.n=true", True),
        ("model.n=muon", "muon"),
        ('model.n="12"', "12"),
        ("model.n=[1, 2]", [1, 2]),
        ("model.n=a=b", "a=b"),
        ("model.n=2024-01-01", "2024-01-01"),  # no JSON value: text
        ("model.n=", ""),
    ],
)
def test_facts_are_values(words, expected):
    assert KnowledgeOptions(said=[words]).about("model") == {"n": expected}


def test_settings_are_kept_apart_from_facts_about_the_model():
    knowledge = KnowledgeOptions(said=["scan.pool=last", "model.n=1", "scan.num_blocks=8"])
    assert knowledge.about("scan") == {"pool": "last", "num_blocks": 8}
    assert knowledge.resolve(SelectionOptions().resolve()).model == {"n": 1}


@pytest.mark.parametrize("words", ["n=1", "model.=1", "model.n", "modle.n=1", "model.a.b=1", "scan.a.b=1"])
def test_what_is_no_fact(words):
    with pytest.raises(UsageError, match=r"model\.KEY=VALUE"):
        KnowledgeOptions(said=[words]).about("model")


def test_what_to_do_with_errors_is_one_of_two_words():
    with pytest.raises(UsageError, match="--on-error maybe: expected fail or skip"):
        _ = SelectionOptions(on_error="maybe").skips_errors


@pytest.mark.parametrize("command", ["scan", "inspect"])
def test_a_misspelt_fact_is_refused_and_names_where_it_stands(spectra, place, command):
    probe = ("--probe", "probe.npy", "-q") if command == "scan" else ()
    result = spectra(command, "run", *probe, "--set", "model.rms_norm_epz=1")
    assert result.code == 2
    error = " ".join(result.err.split())
    assert "--set: model.rms_norm_epz is nothing" in error
    assert "did you mean rms_norm_eps?" in error
    Path("run/run.toml").write_text("[model]\nrms_norm_epz = 1\n")
    error = " ".join(spectra(command, "run", *probe).err.split())
    assert "run/run.toml: model.rms_norm_epz is nothing" in error
    Path("run/run.toml").write_text("datasett = 1\n")
    assert "did you mean dataset?" in " ".join(spectra(command, "run", *probe).err.split())


def test_an_inspection_shows_metadata_sources_and_oddities(spectra, place):
    Path("run/run.toml").write_text('dataset = "FineWeb"\nbatch_size_tokens = 64\n')
    text = " ".join(spectra("inspect", "run", "-T", "8", "--last", "1").out.split())
    assert "dataset: FineWeb" in text
    assert "1 of 2 checkpoints is chosen by --last 1" in text
    assert "step2" not in text
    document = json.loads(spectra("inspect", "run", "-T", "8", "--json").out)
    row = document["checkpoints"][0]
    assert row["batch_size_tokens"] == 64
    assert row["sources"]["batch_size_tokens"].endswith("run.toml")
    assert row["sources"]["train_loss"] == "trainer_state.json"
    assert row["learning_rate"] > 0
    assert row["facts"] == {"dataset": "FineWeb"}
    assert document["series_notices"] == []
