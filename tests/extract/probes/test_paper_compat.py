"""The preset against a slow reading of a shard, as the specification says that each script reads it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spectra_cli.core.settings import PRESETS, resolve_settings
from spectra_cli.extract.models.nanogpt.variants import VARIANTS
from spectra_cli.extract.probes.load import NO_TARGET, load_probe
from spectra_cli.extract.probes.paper_compat import as_in_the_paper
from spectra_cli.extract.probes.source import ProbeRequest

# script -> T, N of the covariance, N of the gradients, stride beyond T, the last target: section 5.2
TABLE = {
    "3": (24, 32_768, 512, 0, "ignored"),
    **dict.fromkeys(("4", "5", "6", "7", "8"), (1024, 32_768, 512, 1, "true")),
    **dict.fromkeys(("9", "10", "11", "12", "13", "14", "15", "16adj", "17"), (65_536, 512, 512, 1, "true")),
    "18": (65_536, 500, 100, 1, "true"),
    **dict.fromkeys(("16", "19"), (65_536, 512, 512, 0, "wrap")),
}


def model(variant, *, layers=12):
    """What the preset looks at; 24 learned positions in variant 3."""
    name = VARIANTS[variant].name if variant in VARIANTS else variant
    return SimpleNamespace(
        architecture=name, blocks=(None,) * layers, max_length=24 if variant == "3" else None
    )


def read_slowly(ids, *, count, length, beyond, last):
    """Inputs and targets, token by token; a target that wraps around is none here."""
    inputs, targets = [], []
    for sequence in range(count):
        start = sequence * (length + beyond)
        inputs.append([ids[start + t] for t in range(length)])
        targets.append([ids[start + t + 1] for t in range(length)])
        if last != "true":
            targets[-1][-1] = NO_TARGET
    return inputs, targets


@pytest.mark.parametrize("variant", TABLE)
def test_the_preset_reads_what_the_script_reads(tmp_path, variant):
    length, num_covariance, num_gradient, beyond, last = TABLE[variant]
    settings, notices = as_in_the_paper(PRESETS["paper-compat"], model(variant))
    assert (settings.num_sequences, settings.num_gradient_sequences) == (num_covariance, num_gradient)
    assert (settings.sequence_length, settings.order, settings.layers) == (length, "file", "paper-d12")
    assert any(f"one every {length + beyond} ids" in n for n in notices)
    assert any("first token as its last target" in n for n in notices) == (last == "wrap")

    ids = np.random.default_rng(0).integers(0, 60, 200).astype(np.uint16)
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, 1, ids.size
    (tmp_path / "a.bin").write_bytes(header.tobytes() + ids.tobytes())
    probe = load_probe(
        ProbeRequest(
            source=str(tmp_path / "a.bin"),
            num_sequences=5,
            sequence_length=24,
            seed=settings.seed,
            order=settings.order,
            targets=settings.targets,
        ),
        vocab_size=60,
        checkpoint_folder=None,
    )
    inputs, targets = read_slowly(ids.tolist(), count=5, length=24, beyond=beyond, last=last)
    assert probe.tokens.tolist() == inputs
    assert probe.targets.tolist() == targets
    assert probe.info.targets == ("next_token" if beyond else "ignore_last")


def test_scale_models_have_scripts_of_their_own():
    settings, _ = as_in_the_paper(PRESETS["paper-compat"], model("16", layers=24))
    assert (settings.num_sequences, settings.num_gradient_sequences) == (2000, 100)
    assert (settings.targets, settings.layers) == ("ignore_last", "five")
    settings, _ = as_in_the_paper(PRESETS["paper-compat"], model("13", layers=48))
    assert (settings.num_sequences, settings.targets, settings.layers) == (512, "next_token", "five")


def test_what_was_asked_for_stays():
    asked = {"targets": "ignore_last", "sequence_length": 256, "num_sequences": 40, "layers": "all"}
    settings, _ = as_in_the_paper(resolve_settings("paper-compat", asked), model("14", layers=4))
    assert {name: getattr(settings, name) for name in asked} == asked
    assert settings.num_gradient_sequences == 512
    for preset in ("default", "quick"):
        assert as_in_the_paper(PRESETS[preset], model("14")) == (PRESETS[preset], ())


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "nanoGPT", "toy unet"])
def test_models_without_a_script_keep_the_preset(name):
    assert as_in_the_paper(PRESETS["paper-compat"], model(name)) == (PRESETS["paper-compat"], ())


@pytest.mark.parametrize(("depth", "layers"), [(1, "0"), (4, "0,3"), (10, "0,3,6,9"), (11, "0,3,6,9")])
def test_shallow_models_are_measured_at_those_layers_that_exist(depth, layers):
    settings, notices = as_in_the_paper(PRESETS["paper-compat"], model("LlamaForCausalLM", layers=depth))
    assert settings.layers == layers
    assert notices == (
        f"layers {layers}: of the paper's 0, 3, 6, 9 and 11 those that a model of {depth} layers has",
    )
    assert settings.as_json()["layers"] == layers
    assert type(settings.as_json()["targets"]) is str
