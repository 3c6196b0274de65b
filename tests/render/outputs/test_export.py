"""What is said of an export."""

from __future__ import annotations

from collections import Counter

import pytest

from spectra_cli.render.outputs.export import Exported

SAID = [
    ({"num": 1, "num_runs": 1, "num_checkpoints": 1}, "a.csv: 1 row of 1 run, 1 checkpoint"),
    (
        {"num": 9, "num_runs": 2, "num_checkpoints": 3, "withheld": Counter(zero=2, partial=1)},
        "a.csv: 9 rows of 2 runs, 3 checkpoints; 3 without a value (1 partial, 2 zero), each with its reason",
    ),
    (
        {"num": 5, "noun": "spectrum", "num_runs": 1, "num_checkpoints": 2},
        "a.csv: 5 spectra of 1 run, 2 checkpoints",
    ),
    (
        {"num": 0, "noun": "spectrum", "num_runs": 1, "num_checkpoints": 2, "withheld": Counter(zero=4)},
        "a.csv: 0 spectra of 1 run, 2 checkpoints; 4 without a value (4 zero), each with its reason",
    ),
]


@pytest.mark.parametrize(("counted", "sentence"), SAID)
def test_the_sentence_says_what_was_counted(counted, sentence):
    assert Exported(**counted).sentence("a.csv") == sentence
