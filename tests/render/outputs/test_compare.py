"""The JSON document and the rows of the CSV: the same numbers, none of them NaN."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter

import pytest

from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.render.forms.csv import as_csv
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.outputs.compare import COLUMNS, SCHEMA, document, rows
from spectra_cli.workflows.compare import compare


@pytest.fixture(scope="module")
def comparison(write_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    names = [
        str(
            write_run(
                folder / f"{name}.spectra.h5",
                steps=(0, 10, 20),
                losses=(8.0, 5.0, 4.0),
                exponents=exponent,
                noise=noise,
                seed=seed,
            )
        )
        for name, exponent, noise, seed in (("a", 1.0, 0.02, 0), ("b", 1.2, 0.02, 1))
    ]
    return compare(CompareRequest(runs=tuple(names), number=2))


def test_the_document_is_json_without_nan(comparison):
    found = json.loads(as_json(document(comparison)))
    assert found["schema"] == SCHEMA == "spectra.compare/1"
    assert [run["name"] for run in found["runs"]] == ["a", "b"]
    (pair,) = found["pairs"]
    counts = pair["counts"]
    verdicts = [one["verdict"] for one in pair["differences"]]
    assert {verdict: counts[verdict] for verdict in set(verdicts)} == Counter(verdicts)
    above = [one for one in pair["differences"] if one["delta"] and abs(one["delta"]) >= one["floor"]]
    assert counts["floor_alone"] == len(above) - counts["different"]
    assert pair["verdict"]
    assert len(found["alignment"]["points"]) == 2


def test_rows_and_document_hold_the_same_numbers(comparison):
    found = list(rows(comparison))
    assert all(tuple(row) == COLUMNS for row in found)
    (pair,) = document(comparison)["pairs"]
    assert [{k: v for k, v in row.items() if not k.endswith("_run")} for row in found] == pair["differences"]
    cells = list(csv.DictReader(io.StringIO(as_csv(found, COLUMNS))))
    assert cells[0]["delta"] == str(found[0]["delta"])
    assert (cells[0]["first_run"], cells[0]["second_run"]) == ("a", "b")
