from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import Status
from spectra_cli.render.tidy import COLUMNS, as_csv, as_json, finite, tidy_rows

# Pinned: scripts read these names. A new column goes at the end, and is news in the changelog.
HEADER = (
    "run,checkpoint,step,tokens_seen,measurement,site,layer,component,statistic,value,stderr,unit,status,"
    "reason,window_lo,window_hi,r_squared"
)


def test_the_csv_header_is_pinned():
    assert ",".join(COLUMNS) == HEADER
    assert as_csv([]) == HEADER + "\n"


def test_csv_and_rows_hold_the_same(checkpoints):
    ref, info, statistics, _ = checkpoints[0]
    rows = list(tidy_rows(ref, info.tokens_seen, statistics))
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(read) == len(statistics)
    for row, cells in zip(rows, read, strict=True):
        for column in COLUMNS:
            expected = row[column]
            assert cells[column] == ("" if expected is None else str(expected))


def test_a_value_that_is_missing_is_empty_and_not_nan(checkpoints):
    ref, info, statistics, _ = checkpoints[0]
    text = as_csv(tidy_rows(ref, info.tokens_seen, statistics))
    assert "nan" not in text.lower().replace("unresolved", "")
    missing = [row for row in csv.DictReader(io.StringIO(text)) if row["status"] == Status.UNRESOLVED]
    assert missing
    assert all(row["value"] == "" and row["reason"] for row in missing)


def test_a_number_of_the_whole_model_has_no_site(checkpoints):
    ref, info, statistics, _ = checkpoints[0]
    row = next(r for r in tidy_rows(ref, info.tokens_seen, statistics) if r["statistic"] == "probe_loss")
    assert (row["site"], row["layer"], row["component"]) == ("", None, "")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_survive_csv_and_json_to_the_last_bit(number):
    kept = finite(number)
    if not math.isfinite(number):
        assert kept is None
        return
    assert kept is not None
    cell = as_csv([{"value": kept}], columns=("value",)).splitlines()[1]
    assert float(cell).hex() == number.hex()
    assert float(json.loads(as_json({"value": kept}))["value"]).hex() == number.hex()


def test_json_refuses_a_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"value": math.nan})
