from __future__ import annotations

import io

import pytest

from spectra_cli.api.asked.progress import reporting
from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.workflows.scan import ScanProgress

NOW = ScanProgress(
    ref=CheckpointRef(run="a", step=10, uri="/a/10", format="hf"),
    number=2,
    count=4,
    activity="pass 1",
    done=1,
    total=4,
)


def test_a_function_hears_everything():
    heard = []
    with reporting(heard.append, quiet=False) as report:
        report(NOW)
    assert heard == [NOW]


def test_a_bar_stands_where_the_scan_is():
    tqdm = pytest.importorskip("tqdm")
    text = io.StringIO()
    bar = tqdm.tqdm(file=text, ascii=True)
    with bar, reporting(bar, quiet=False) as report:
        report(NOW)
        # one checkpoint done, a quarter of the second: 125 of 400 hundredths
        assert (bar.n, bar.total) == (125, 400)
    assert "step10 (2/4): pass 1" in text.getvalue()


def test_what_is_neither_is_refused():
    with (
        pytest.raises(UsageError, match="expected a function of one ScanProgress"),
        reporting(3, quiet=False),
    ):
        pass


def test_quiet_says_nothing(capsys):
    with reporting(None, quiet=True) as report:
        report(NOW)
    assert capsys.readouterr() == ("", "")
