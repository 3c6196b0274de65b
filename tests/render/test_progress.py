from __future__ import annotations

import io
import re

from rich.console import Console

from spectra_cli.render import progress
from spectra_cli.render.progress import scan_progress


def test_quiet_writes_nothing(capsys):
    with scan_progress(quiet=True) as report:
        report("step0", 1, 2, "reading", 0, 1)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_each_checkpoint_is_one_line_on_stderr(capsys):
    with scan_progress(quiet=False) as report:
        for number, key in enumerate(("step0", "step100"), start=1):
            for done in range(5):
                report(key, number, 2, "pass 1", done, 5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "\r" not in err
    first, second = err.splitlines()
    assert "step0 " in first
    assert "1/2" in first
    assert "step100 " in second
    assert "2/2" in second


def test_the_time_left_is_named_once_it_can_be_known(capsys):
    with scan_progress(quiet=False) as report:
        report("step0", 1, 2, "reading", 0, 1)
        report("step100", 2, 2, "reading", 0, 1)
    first, second = capsys.readouterr().err.splitlines()
    assert "left" not in first
    assert re.search(r"\d+ s left", second)


def test_a_terminal_shows_checkpoint_activity_and_leaves_nothing_behind(monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system="standard")
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    with scan_progress(quiet=False) as report:
        report("step100", 2, 3, "pass 1 of 2", 1, 4)
    text = screen.getvalue()
    assert "step100 (2/3)" in text
    assert "pass 1 of 2" in text
    # transient: the last thing written clears the line and shows the cursor again
    assert re.search(r"\x1b\[2K\s*$", text)
    assert "\x1b[?25h" in text


def test_the_terminal_is_restored_when_the_scan_fails(monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    try:
        with scan_progress(quiet=False) as report:
            report("step100", 1, 3, "reading", 0, 1)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert "\x1b[?25h" in screen.getvalue()


def test_a_terminal_names_what_is_under_way_before_and_after_the_sequences(
    monkeypatch,
):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, color_system="standard")
    monkeypatch.setattr(progress, "messages", lambda: terminal)
    with scan_progress(quiet=False) as report:
        report("", 0, 0, "opening the series", 0, 0)
    assert "opening the series" in screen.getvalue()
    assert "/0)" not in screen.getvalue()
    with scan_progress(quiet=False) as report:
        report("step100", 1, 1, "activation_covariance: spectra", 8, 8)
    assert "activation_covariance: spectra" in screen.getvalue()
    assert "left 0:00:00" not in screen.getvalue()  # the eigenproblems are still ahead
