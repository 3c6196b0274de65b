"""What an archive states of a scan, read by name."""

from dataclasses import asdict, fields

import pytest

from spectra_cli.core.measurements import ACTIVATIONS, GRADIENTS, WEIGHTS
from spectra_cli.core.scan_facts import UNKNOWN, ExecutionFacts, ReferenceFacts, SettingFacts
from spectra_cli.core.settings import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_facts_are_those_that_a_scan_states(preset):
    settings = PRESETS[preset]
    facts = SettingFacts.of({**settings.as_json(), "reference": "step0", "of_a_later_version": 1})
    for name in {field.name for field in fields(facts)} - {"reference"}:
        assert getattr(facts, name) == getattr(settings, name)
    assert facts.reference == "step0"


def test_what_nothing_states_is_unknown():
    facts = SettingFacts.of({})
    assert {facts.preset, facts.layers, facts.normalize, facts.pool, facts.dtype} == {UNKNOWN}
    assert (facts.num_sequences, facts.num_vectors, facts.measurements, facts.reference) == (0, 0, (), None)
    assert asdict(ExecutionFacts.of({})) == {"num_layers": None, "reference": None}


def test_each_measurement_has_its_own_samples():
    facts = SettingFacts.of({"num_sequences": 64, "num_gradient_sequences": 16})
    assert [facts.samples_of(name) for name in (ACTIVATIONS, GRADIENTS, WEIGHTS)] == [64, 16, 0]


def test_the_reference_of_a_change():
    stated = {"num_layers": 12, "reference": {"checkpoint": "step0", "digest": "d"}}
    assert ExecutionFacts.of(stated) == ExecutionFacts(
        num_layers=12, reference=ReferenceFacts(checkpoint="step0", digest="d")
    )
