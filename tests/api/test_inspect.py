from __future__ import annotations

import json

import pytest

from spectra_cli.api.inspect import inspect
from spectra_cli.api.shown import document


@pytest.mark.usefixtures("place")
def test_a_plan_has_the_model_and_the_time():
    before = inspect("run", probe="probe.npy", sequences=8, gradient_sequences=8, sequence_length=8)
    assert before.inspection.num_layers == 2
    assert [one.ref.step for one in before.inspection.checkpoints] == [0, 10, 20]
    assert before.time is not None
    assert before.time.seconds > 0
    assert before.inspection.refusal(skip_errors=False) is None
    assert json.loads(json.dumps(document(before)))["schema"] == "spectra.inspect/1"


@pytest.mark.usefixtures("place")
def test_what_speaks_against_a_scan_is_part_of_the_result():
    before = inspect("run", memory=10**6)
    assert before.time is None
    assert "budget" in str(before.inspection.refusal(skip_errors=False))
