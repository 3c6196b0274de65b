"""What Python asks of a scan is what the same words of the command line ask."""

from __future__ import annotations

import pytest

from spectra_cli.api.asked.options import resources_of, selection_of, series_of, settings_of, skips_errors
from spectra_cli.cli.groups.series import KnowledgeOptions, SelectionOptions
from spectra_cli.cli.groups.settings import SettingsOptions
from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PRESETS


@pytest.mark.parametrize(
    ("options", "of_commands"),
    [
        ({}, {}),
        ({"preset": "quick", "sequences": 64}, {"preset": "quick", "num_sequences": 64}),
        ({"measure": "weights,activations"}, {"measurements": "weights,activations"}),
        ({"measure": ["weights", "activations"]}, {"measurements": "activations,weights"}),
        ({"layers": [0, 3, range(6, 9)]}, {"layers": "0,3,6,7,8"}),
        ({"layers": "five"}, {"layers": "five"}),
        ({"matrices": ["attn.o", "lm_head"]}, {"matrices": "attn.o,lm_head"}),
        (
            {"gradient_sequences": 8, "sequence_length": 16, "vectors": 4, "seed": 3, "dtype": "float64"},
            {
                "num_gradient_sequences": 8,
                "sequence_length": 16,
                "num_vectors": 4,
                "seed": 3,
                "dtype": "float64",
            },
        ),
        ({"normalize": "none", "targets": "ignore_last"}, {"normalize": "none", "targets": "ignore_last"}),
    ],
)
def test_settings_are_those_of_the_command(options, of_commands):
    assert settings_of(options) == SettingsOptions(**of_commands).resolve({})


def test_a_run_file_and_what_is_set_by_name(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[scan]\nnum_blocks = 8\npool = 'mean'\n")
    found = settings_of({"config": path, "set": {"scan.pool": "last", "model.n_head": 12}})
    assert (found.num_blocks, found.pool) == (8, "last")
    assert found == SettingsOptions(config=path).resolve({"pool": "last"})


def test_nothing_asked_is_the_default_preset():
    assert settings_of({}) == PRESETS["default"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [("0:20000:1000", "0:20000:1000"), (500, "500"), ([0, 500], "0,500"), (range(0, 30, 10), "0,10,20")],
)
def test_steps_are_words_or_numbers(steps, words):
    assert selection_of({"steps": steps, "last": 3}) == SelectionOptions(steps=words, last=3).resolve()


def test_what_is_known_of_the_series():
    found = series_of({"set": {"model.n_head": 12}, "base": "b", "log": "l.csv"}, "a.b:c")
    said = KnowledgeOptions(said=["model.n_head=12"], base="b", log="l.csv", model="a.b:c")
    assert found == said.resolve(SelectionOptions().resolve())


def test_memory_is_words_or_bytes():
    assert resources_of({"memory": "1KiB", "batch_size": 4}) == {"memory_bytes": 1024, "batch_size": 4}
    assert resources_of({"memory": 1024}) == {"memory_bytes": 1024}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: settings_of({"set": {"layers": "0"}}), r"--set layers=0: expected model\.KEY"),
        (lambda: settings_of({"measure": "activation"}), "--measure activation: activation is not one of"),
        (lambda: skips_errors("ignore"), "--on-error ignore: expected fail or skip"),
        (lambda: selection_of({"every": 0}), "--every 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()
