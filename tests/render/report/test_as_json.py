"""What the page's script reads."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.render.report.as_json import NOT_MEASURED, document, log_codes
from spectra_cli.render.report.contents import contents_of


def unpacked(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=np.dtype(kind).newbyteorder("<"))


@pytest.mark.parametrize(("kind", "most", "within"), [(np.uint16, 65534, 2.2e-4), (np.uint8, 254, 0.06)])
def test_codes_keep_twelve_decades_to_their_precision(kind, most, within):
    values = np.stack([np.geomspace(1e6, 1e-6, 400), np.geomspace(3.0, 1.0, 400)])
    values[1, 7] = np.nan
    values[0, 3] = 0.0
    found = log_codes(values, kind)
    codes = unpacked(found["codes"], kind).reshape(values.shape).astype(float)
    ends = unpacked(found["ends"], np.float32).reshape(2, 2)
    back = np.exp(ends[:, :1] + codes / most * (ends[:, 1:] - ends[:, :1]))
    known = np.isfinite(values) & (values > 0)
    np.testing.assert_allclose(back[known], values[known], rtol=within)
    assert (codes[~known] == most + 1).all()


def test_rows_without_any_number_and_rows_of_one_have_codes():
    found = log_codes(np.array([[np.nan, np.nan], [2.0, 2.0]]), np.uint16)
    assert unpacked(found["codes"], np.uint16).tolist() == [65535, 65535, 0, 0]
    np.testing.assert_allclose(unpacked(found["ends"], np.float32), [0, 0, np.log(2), np.log(2)], rtol=1e-6)


def test_grids_hold_the_statistics_to_the_last_bit(full):
    contents = contents_of(PlotRequest(runs=full[:1]))
    page = document(contents)
    json.dumps(page, allow_nan=False)
    for kind, written in zip(contents.runs[0].measured, page["runs"][0]["measured"], strict=True):
        shape = 3, len(kind.sites)
        for statistic in written["statistics"]:
            values = unpacked(statistic["values"], np.float64).reshape(shape)
            reasons = unpacked(statistic["reasons"], np.uint32).reshape(shape)
            for place in range(3):
                for column, site in enumerate(kind.sites):
                    one = kind.statistics[statistic["name"]].get((place, site.address))
                    number = np.nan if one is None else one.value
                    np.testing.assert_array_equal(values[place, column], number)
                    reason = NOT_MEASURED if one is None else one.reason
                    assert written["reasons"][reasons[place, column]] == reason


def test_figures_keep_their_numbers_and_lose_what_is_not_there(full):
    contents = contents_of(PlotRequest(runs=full))
    written = document(contents)["sections"][0]
    assert written["name"] == "compare"
    figure = contents.sections[0].figure
    assert [one["title"] for one in written["figure"]["panels"]] == [one.title for one in figure.panels]
    matrix, cells = written["figure"]["panels"][0]["cells"], figure.panels[0].cells
    back = np.array(matrix["values"], dtype=float)
    np.testing.assert_allclose(back, cells.values, rtol=1e-6)
    assert len(written["rows"]) == len(contents.sections[0].rows)
    assert "series" not in written["figure"]["panels"][0]
