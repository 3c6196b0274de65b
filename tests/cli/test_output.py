"""Where an output goes: itself to stdout, and what its form has no place for to stderr."""

from __future__ import annotations

import pytest

from spectra_cli.cli.output import emit
from spectra_cli.render.forms.registry import FORMS
from spectra_cli.render.output import Output
from spectra_cli.render.table import line

OUTPUT = Output(
    tables=lambda: [line("few rows")],
    document=lambda: {"notices": ["few rows"]},
    columns=("a",),
    rows=lambda: [{"a": 1}],
    notices=["few rows"],
)


@pytest.mark.parametrize("form", FORMS)
def test_every_notice_is_told_once(capsys, form):
    emit(OUTPUT, form)
    out, err = capsys.readouterr()
    assert (out + err).count("few rows") == 1
    assert err == ("" if FORMS[form].holds_notices else "few rows\n")


def test_what_no_form_asks_for_is_not_made(capsys):
    def never() -> dict[str, str]:
        raise AssertionError

    emit(Output(tables=never, document=never, columns=("a",), rows=lambda: [{"a": 1}]), "csv")
    assert capsys.readouterr().out == "a\n1\n"
