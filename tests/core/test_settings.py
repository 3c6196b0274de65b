import dataclasses
import json

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.settings import PAPER_MATRICES, PRESETS, ByDefault, ScanSettings, resolve_settings
from spectra_cli.statistics.exponents import samples_for_tail


def test_presets_carry_their_own_name():
    assert all(settings.preset == name for name, settings in PRESETS.items())
    assert PRESETS["default"] == ScanSettings()


def test_every_preset_has_gradients_enough_for_their_tail_exponent():
    for settings in PRESETS.values():
        assert settings.num_gradient_sequences >= samples_for_tail()


def test_defaults_of_the_spec():
    default, paper = PRESETS["default"], PRESETS["paper-compat"]
    # as many of both: loss, activations and gradients have the same blocks (docs/explanation/comparing.md)
    assert (default.num_sequences, default.sequence_length, default.num_gradient_sequences) == (
        512,
        1024,
        512,
    )
    assert (default.normalize, default.pool, default.num_blocks) == ("rms", "token", 16)
    assert (default.order, default.targets, default.layers) == ("seeded", "next_token", "all")
    assert (paper.num_sequences, paper.num_gradient_sequences, paper.order) == (32_768, 512, "file")
    assert (paper.targets, paper.layers, paper.matrices) == ("ignore_last", "paper-d12", PAPER_MATRICES)


def test_given_values_replace_the_presets_and_none_keeps_it():
    found = resolve_settings("quick", {"matrices": ["attn.q"], "seed": 3, "layers": None})
    assert found == dataclasses.replace(PRESETS["quick"], matrices=("attn.q",), seed=3)


def test_unknown_names():
    with pytest.raises(UsageError, match="no preset 'fast'; presets: default, quick, paper-compat"):
        resolve_settings("fast", {})
    with pytest.raises(UsageError, match=r"no preset 'quik' \(did you mean quick\?\)"):
        resolve_settings("quik", {})
    with pytest.raises(UsageError, match=r"unknown setting target \(did you mean targets\?\); .*seed"):
        resolve_settings("quick", {"target": 3})
    with pytest.raises(UsageError, match=r"unknown setting batch; settings: .*num_blocks"):
        resolve_settings("quick", {"batch": 3})
    with pytest.raises(UsageError, match="unknown setting preset"):
        resolve_settings("quick", {"preset": "default"})


@pytest.mark.parametrize("name", ["normalize", "pool", "targets", "order", "dtype"])
def test_choices(name):
    with pytest.raises(UsageError, match=f"{name} is 'other'; expected one of"):
        ScanSettings(**{name: "other"})


@pytest.mark.parametrize("name", ["num_sequences", "num_gradient_sequences", "sequence_length", "num_blocks"])
def test_smallest_numbers(name):
    assert getattr(ScanSettings(**{name: 2}), name) == 2
    with pytest.raises(UsageError, match=f"{name} is 1; expected at least 2"):
        ScanSettings(**{name: 1})


def test_vectors_compare_weights_only_where_weights_are_measured():
    assert not ScanSettings().measures_drift
    assert ScanSettings(num_vectors=1).measures_drift
    assert not ScanSettings(num_vectors=1, measurements=("gradient",)).measures_drift
    with pytest.raises(UsageError, match="num_vectors is -1; expected at least 0"):
        ScanSettings(num_vectors=-1)


def test_no_measurement():
    with pytest.raises(UsageError, match="--measure"):
        ScanSettings(measurements=())


def test_json_values_make_the_same_settings_again():
    settings = PRESETS["paper-compat"]
    values = json.loads(json.dumps(settings.as_json()))
    preset = values.pop("preset")
    assert resolve_settings(preset, values) == settings


@pytest.mark.parametrize(
    ("measurements", "expected"),
    [
        (("activation_covariance",), 5),
        (("gradient",), 9),
        (("activation_covariance", "gradient", "weight"), 9),
        (("weight",), 5),
    ],
)
def test_the_probe_holds_what_the_measurements_need(measurements, expected):
    settings = ScanSettings(measurements=measurements, num_sequences=5, num_gradient_sequences=9)
    assert settings.probe_sequences == expected


def test_what_was_asked_for_is_told_from_defaults():
    settings = resolve_settings("quick", {"sequence_length": 64})
    assert not isinstance(settings.sequence_length, ByDefault)
    assert isinstance(settings.num_sequences, ByDefault)
    assert isinstance(ScanSettings().sequence_length, ByDefault)
    assert not isinstance(ScanSettings(sequence_length=1024).sequence_length, ByDefault)
    assert settings == PRESETS["quick"]
    assert {type(value) for value in settings.as_json().values()} == {str, list, int}


@pytest.mark.parametrize(
    ("asked", "least"),
    [
        ({}, 16),
        ({"num_sequences": 40}, 40),
        ({"num_sequences": 40, "num_gradient_sequences": 8}, 40),
        ({"num_sequences": 40, "measurements": ["gradient"]}, 16),
        ({"num_blocks": 4}, 4),
    ],
)
def test_the_least_sequences_are_those_asked_for_and_one_a_block(asked, least):
    assert resolve_settings("default", asked).least_sequences == least


@pytest.mark.parametrize("words", ["all", ["all"]])
def test_names_may_be_one_text_as_an_option_has_them(words):
    assert resolve_settings("default", {"matrices": words}).matrices == ("all",)
    assert resolve_settings("default", {"matrices": "attn.o, mlp.down"}).matrices == ("attn.o", "mlp.down")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("matrices", 3, "3"), ("matrices", [1, "a"], r'\[1, "a"\]'), ("seed", True, "true")],
)
def test_messages_show_values_as_files_have_them(name, value, shown):
    with pytest.raises(UsageError, match=f"^{name} is {shown}; expected ") as caught:
        resolve_settings("default", {name: value})
    assert "(" not in str(caught.value)
