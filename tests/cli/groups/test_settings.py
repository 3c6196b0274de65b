"""A setting has one name and one meaning in a run file, behind `--set`, and in Python."""

from __future__ import annotations

from dataclasses import fields

import pytest

from spectra_cli.cli.groups.settings import ResourceOptions, SettingsOptions
from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PRESETS, ScanSettings, resolve_settings


def test_every_option_is_called_as_its_setting():
    options = {option.name for option in fields(SettingsOptions)} - {"config"}
    assert options <= {setting.name for setting in fields(ScanSettings)}


def test_no_options_are_the_default_preset():
    assert SettingsOptions().resolve({}) == PRESETS["default"]


@pytest.mark.parametrize(
    ("in_file", "said", "options"),
    [
        ("layers = 'five'\nnum_blocks = 8", {}, {}),
        ("", {"layers": "five", "num_blocks": 8}, {}),
        ("num_blocks = 8", {}, {"layers": "five"}),
        ("layers = 'all'\nnum_blocks = 4", {"layers": "0", "num_blocks": 8}, {"layers": "five"}),
    ],
    ids=["run file", "--set", "option", "the later wins"],
)
def test_the_same_words_everywhere(tmp_path, in_file, said, options):
    path = tmp_path / "run.toml"
    path.write_text(f"[scan]\n{in_file}\n")
    found = SettingsOptions(config=path, **options).resolve(said)
    assert found == resolve_settings("default", {"layers": "five", "num_blocks": 8})


@pytest.mark.parametrize(
    ("in_file", "said", "option", "expected"),
    [
        ("quick", None, None, "quick"),
        ("quick", "paper-compat", None, "paper-compat"),
        ("quick", "paper-compat", "default", "default"),
    ],
)
def test_the_preset_too(tmp_path, in_file, said, option, expected):
    path = tmp_path / "run.toml"
    path.write_text(f"[scan]\npreset = '{in_file}'\n")
    words = {} if said is None else {"preset": said}
    assert SettingsOptions(config=path, preset=option).resolve(words).preset == expected


@pytest.mark.parametrize("words", ["weights,activations", "weight, activation_covariance"])
def test_measurements_by_the_word_or_the_name(words):
    expected = ("activation_covariance", "weight")
    assert SettingsOptions(measurements=words).resolve({}).measurements == expected
    assert set(SettingsOptions().resolve({"measurements": words}).measurements) == set(expected)


def test_flags_win_over_the_run_file_and_the_run_file_over_the_preset(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('[scan]\npreset = "quick"\nsequence_length = 64\nseed = 3\nmatrices = ["attn.q"]\n')
    found = SettingsOptions(config=config, seed=5).resolve({})
    assert found.num_sequences == PRESETS["quick"].num_sequences
    assert (found.sequence_length, found.seed, found.matrices) == (64, 5, ("attn.q",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[scan", "not TOML"),
        ("[scan]\nlayer = '0'\n", "layer"),
        ("[other]\na = 1\n", "other"),
        ("scan = 3\n", "table"),
        ("[scan]\nsequence_length = 'long'\n", "sequence_length"),
        ("[scan]\nlayers = 3\n", "layers"),
        ("[scan]\nmatrices = 3\n", "matrices"),
        ("[scan]\nnum_sequences = true\n", "num_sequences"),
        ("[scan]\npreset = 'nope'\n", "nope"),
    ],
)
def test_a_run_file_that_is_wrong_is_refused_by_name(tmp_path, content, words):
    config = tmp_path / "run.toml"
    config.write_text(content)
    with pytest.raises(UsageError, match=words):
        SettingsOptions(config=config).resolve({})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[scan]\nnum_sequence = 3\n", r"unknown setting num_sequence \(did you mean num_sequences\?\)"),
        (
            '[scan]\ntargets = "next"\n',
            r"targets is 'next' \(did you mean next_token\?\); expected one of next_token, ignore_last",
        ),
        ('[scan]\npreset = "quik"\n', r"no preset 'quik' \(did you mean quick\?\)"),
        ("[scna]\nseed = 1\n", r"found scna \(did you mean scan\?\)"),
    ],
)
def test_a_misspelt_setting_is_refused_with_its_file_and_the_nearest(tmp_path, content, words):
    config = tmp_path / "mine.toml"
    config.write_text(content)
    with pytest.raises(UsageError, match=rf"--config .*mine\.toml: .*{words}"):
        SettingsOptions(config=config).resolve({})


def test_a_run_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        SettingsOptions(config=tmp_path / "nowhere.toml").resolve({})


@pytest.mark.parametrize("words", ["nonsense", "weights,", ""])
def test_unknown_measurements_are_refused_with_the_known_ones(words):
    with pytest.raises(UsageError, match="activations, gradients, weights"):
        SettingsOptions(measurements=words).resolve({})


def test_a_setting_that_set_says_wrongly_is_refused_by_that_name():
    with pytest.raises(
        UsageError, match=r"^--set: pool is 'lest' \(did you mean last\?\); expected one of token, last, mean"
    ):
        SettingsOptions().resolve({"pool": "lest"})


def test_nothing_said_is_no_budget():
    assert ResourceOptions().resolve() == {"device": "auto", "memory_bytes": None, "batch_size": None}
    assert ResourceOptions(memory="1KiB").resolve()["memory_bytes"] == 1024
