from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.cli.options import integers, memory_bytes, settings_from
from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PRESETS


@given(st.integers(10**6, 2**40))
def test_a_plain_number_is_bytes(number):
    assert memory_bytes(str(number)) == number
    assert memory_bytes(f"{number}B") == number


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("1KB", 1000),
        ("1KiB", 1024),
        ("2 MiB", 2 * 2**20),
        ("3gib", 3 * 2**30),
        ("1TB", 10**12),
        ("0.5K", 500),
    ],
)
def test_units_of_memory(words, expected):
    assert memory_bytes(words) == expected


@pytest.mark.parametrize("words", ["", "much", "-1GB", "8 GiB free", "1XB", "GiB", "8", "8B", "24", "999999"])
def test_a_size_that_is_none_is_refused_with_an_example(words):
    with pytest.raises(UsageError, match="8GiB"):
        memory_bytes(words)


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_a_list_of_integers_is_itself(numbers):
    assert integers(",".join(map(str, numbers)), "--step") == tuple(numbers)


@given(st.integers(0, 1000), st.integers(0, 50))
def test_a_range_holds_both_ends(first, length):
    assert integers(f"{first}-{first + length}", "--step") == tuple(range(first, first + length + 1))


@pytest.mark.parametrize("words", ["", "a", "1,,2", "1-x", "1.5"])
def test_a_list_that_is_none_names_its_flag(words):
    with pytest.raises(UsageError, match="--layer"):
        integers(words, "--layer")


@pytest.mark.parametrize("words", ["6-3", "0,9-8"])
def test_a_range_that_runs_backwards_is_refused(words):
    with pytest.raises(UsageError, match=r"--layer .* runs backwards"):
        integers(words, "--layer")


def test_nothing_given_is_nothing_asked():
    assert memory_bytes(None) is None
    assert integers(None, "--step") is None
    assert settings_from("default", None, {"layers": None}) == PRESETS["default"]


def test_flags_win_over_the_run_file_and_the_run_file_over_the_preset(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('[scan]\npreset = "quick"\nsequence_length = 64\nseed = 3\nmatrices = ["attn.q"]\n')
    found = settings_from(None, config, {"seed": 5, "matrices": None})
    assert found.num_sequences == PRESETS["quick"].num_sequences
    assert (found.sequence_length, found.seed, found.matrices) == (64, 5, ("attn.q",))
    assert settings_from("paper-compat", config, {}).preset == "paper-compat"
    assert settings_from("default", config, {}).preset == "default"


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
        settings_from(None, config, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[scan]\nnum_sequence = 3\n", r"unknown setting num_sequence \(did you mean num_sequences\?\)"),
        ('[scan]\ntargets = "next"\n', "targets is 'next'; expected one of next_token, ignore_last"),
        ('[scan]\npreset = "quik"\n', r"no preset 'quik' \(did you mean quick\?\)"),
        ("[scna]\nseed = 1\n", r"found scna \(did you mean scan\?\)"),
    ],
)
def test_a_misspelt_setting_is_refused_with_its_file_and_the_nearest(tmp_path, content, words):
    config = tmp_path / "mine.toml"
    config.write_text(content)
    with pytest.raises(UsageError, match=rf"--config .*mine\.toml: .*{words}"):
        settings_from(None, config, {})


def test_a_run_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        settings_from("default", tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize("words", ["nonsense", "weights,", ""])
def test_unknown_measurements_are_refused_with_the_known_ones(words):
    with pytest.raises(UsageError, match="activations, gradients, weights"):
        settings_from("default", None, {"measurements": words})
