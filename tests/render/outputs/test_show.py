from __future__ import annotations

import csv
import io
import json

from spectra_cli.core.types import Status
from spectra_cli.render.forms.csv import as_csv
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.outputs.show import SCHEMA, document, rows
from spectra_cli.render.tidy import COLUMNS, tidy_rows

# Pinned: scripts read these names. A new column goes at the end, and is news in the changelog.
HEADER = (
    "run,checkpoint,step,tokens_seen,measurement,site,layer,component,statistic,value,stderr,unit,status,"
    "reason,window_lo,window_hi,r_squared"
)


def test_the_csv_header_is_pinned():
    assert ",".join(COLUMNS) == HEADER
    assert as_csv([], COLUMNS) == HEADER + "\n"


def test_csv_and_rows_hold_the_same(checkpoints):
    found = list(tidy_rows(checkpoints[0]))
    read = list(csv.DictReader(io.StringIO(as_csv(found, COLUMNS))))
    assert len(read) == len(checkpoints[0].statistics)
    for row, cells in zip(found, read, strict=True):
        for column in COLUMNS:
            expected = row[column]
            assert cells[column] == ("" if expected is None else str(expected))


def test_a_value_that_is_missing_is_empty_and_not_nan(checkpoints):
    text = as_csv(tidy_rows(checkpoints[0]), COLUMNS)
    assert "nan" not in text.lower().replace("unresolved", "")
    missing = [row for row in csv.DictReader(io.StringIO(text)) if row["status"] == Status.UNRESOLVED]
    assert missing
    assert all(row["value"] == "" and row["reason"] for row in missing)


def test_a_number_of_the_whole_model_has_no_site(checkpoints):
    row = next(r for r in tidy_rows(checkpoints[0]) if r["statistic"] == "probe_loss")
    assert (row["site"], row["layer"], row["component"]) == ("", None, "")


def test_the_document_holds_every_value_and_is_json(summary):
    found = document(summary)
    assert json.loads(as_json(found)) == found
    assert found["schema"] == SCHEMA
    assert [c["step"] for c in found["checkpoints"]] == [50, 100]
    for one, shown in zip(summary.series, found["checkpoints"], strict=True):
        assert [row["statistic"] for row in shown["statistics"]] == [v.name for v in one.statistics]
        assert len(shown["skipped"]) == len(one.skipped)
        assert (shown["train_loss"], shown["eval_loss"]) == (one.info.train_loss, one.info.eval_loss)
        assert shown["notices"] == list(one.info.notices)


def test_the_rows_are_the_statistics_of_the_document(summary):
    assert list(rows(summary)) == [row for c in document(summary)["checkpoints"] for row in c["statistics"]]
