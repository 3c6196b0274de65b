"""What goes to stderr is told as it is."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console

from spectra_cli.render import console as progress
from spectra_cli.render.console import Bar, Lines, Standing, say, scan_progress
from spectra_cli.render.text.wrapping import width


@pytest.mark.parametrize("markup", ["[bold]x[/bold]", "[/]", ":smile:", "[link=http://a]b[/link]"])
def test_markup_in_a_message_is_text(capsys, markup):
    say(markup)
    assert capsys.readouterr() == ("", f"{markup}\n")


def test_messages_go_to_stderr_and_are_not_wrapped(capsys):
    say("word " * 60)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\x1b" not in err


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def on_a_terminal(monkeypatch, cells: int = 100, **changes) -> io.StringIO:
    screen = io.StringIO()
    settings = {"force_terminal": True, "width": cells, "color_system": "standard"} | changes
    console = Console(file=screen, **settings)
    monkeypatch.setattr(progress, "messages", lambda: console)
    return screen


# ----------------------------------------------------------------------------- off a terminal


def test_quiet_writes_nothing(capsys):
    with scan_progress(quiet=True) as report:
        report("step0", 1, 2, "reading", 0, 1)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_each_checkpoint_is_one_line_on_stderr(capsys):
    with scan_progress(quiet=False) as report:
        report("", 0, 0, "opening the series", 0, 0)
        for number, key in enumerate(("step0", "step100"), start=1):
            for done in range(5):
                report(key, number, 2, "pass 1", done, 5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "\r" not in err
    first, second = err.splitlines()
    assert first == "step0 (1/2)"
    assert re.fullmatch(r"step100 \(2/2\), about \d+ s left", second)


def test_a_stage_that_lasts_is_told_and_told_again(clock, capsys):
    lines = Lines(Standing(clock), clock)

    def said(seconds: float) -> list[str]:
        clock.now += seconds
        lines.tick()
        return capsys.readouterr().err.splitlines()

    assert said(60.0) == []
    lines.report("", 0, 0, "opening the series", 0, 0)
    assert said(1.9) == []
    lines.report("", 0, 0, "reading the probe", 0, 0)
    assert said(1.9) == []
    assert [line.partition(", ")[0] for line in said(0.2)] == ["reading the probe"]
    assert said(29.0) == []
    assert [line.partition(", ")[0] for line in said(1.1)] == ["reading the probe"]
    lines.report("step0", 1, 2, "reading", 0, 1)
    assert capsys.readouterr().err == "step0 (1/2)\n"
    assert said(29.0) == []
    lines.report("step0", 1, 2, "weight spectra: 3 of 60", 5, 10)
    # half of the first of two in 30 seconds
    assert said(1.0) == ["step0 (1/2): weight spectra: 3 of 60, about 90 s left"]


def test_what_lasts_is_told_while_nothing_reports(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_STAGE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_TICK_SECONDS", 0.01)
    with scan_progress(quiet=False) as report:
        report("", 0, 0, "reading the probe", 0, 0)
        until = time.monotonic() + 10
        said = ""
        while "reading the probe" not in said and time.monotonic() < until:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert "reading the probe" in said
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


# ----------------------------------------------------------------------------- how long it takes


def test_the_rest_takes_as_long_as_the_pace_says(clock):
    now = Standing(clock)
    now.move("step0", 1, 4, "reading", 0, 1)
    assert (now.share, now.left) == (0.0, "")
    clock.now += 20
    now.move("step0", 1, 4, "spectra", 1, 2)
    assert (now.share, now.left) == (0.125, "about 2 min left")
    clock.now += 20  # nothing moves, and the rest takes longer than it seemed
    assert now.left == "about 5 min left"


def test_what_was_kept_from_before_is_not_part_of_the_pace(clock):
    now = Standing(clock)
    now.move("step90", 10, 11, "reading", 0, 1)
    clock.now += 30
    now.move("step100", 11, 11, "reading", 0, 1)
    assert now.left == "about 30 s left"


def test_there_is_a_rest_as_long_as_there_is_work(clock):
    now = Standing(clock)
    now.move("step0", 1, 1, "reading", 0, 1)
    clock.now += 0.1
    now.move("step0", 1, 1, "spectra", 9999, 10000)
    assert now.left == "about 1 s left"


def test_other_work_has_its_own_pace(clock):
    now = Standing(clock)
    now.move("training", 1, 2, "step 5", 5, 10)
    clock.now += 1000
    now.move("step0", 1, 6, "reading", 0, 1)
    clock.now += 6
    now.move("step10", 2, 6, "reading", 0, 1)
    assert now.left == "about 30 s left"


# ----------------------------------------------------------------------------- on a terminal


def test_a_terminal_shows_checkpoint_activity_and_leaves_nothing_behind(monkeypatch):
    screen = on_a_terminal(monkeypatch)
    with scan_progress(quiet=False) as report:
        report("step100", 2, 3, "pass 1 of 2", 1, 4)
    text = screen.getvalue()
    assert "step100 (2/3)" in text
    assert "pass 1 of 2" in text
    # transient: the last thing written clears the line and shows the cursor again
    assert re.search(r"\x1b\[2K\s*$", text)
    assert "\x1b[?25h" in text


def test_the_terminal_is_restored_when_the_scan_fails(monkeypatch):
    screen = on_a_terminal(monkeypatch)

    def fail() -> None:
        with scan_progress(quiet=False) as report:
            report("step100", 1, 3, "reading", 0, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    text = screen.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_stage_has_a_name_and_no_empty_bar(monkeypatch):
    screen = on_a_terminal(monkeypatch)
    with scan_progress(quiet=False) as report:
        report("", 0, 0, "opening the series", 0, 0)
    assert "opening the series" in screen.getvalue()
    assert "/0)" not in screen.getvalue()
    assert "░" not in screen.getvalue()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = on_a_terminal(monkeypatch)
    with scan_progress(quiet=False) as report:
        report("step0", 1, 1, "reading", 0, 1)
    assert screen.getvalue() == "step0 (1/1)\n"


@pytest.mark.parametrize("room", [20, 59, 79, 99, 159])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(clock, room):
    now = Standing(clock)
    name = "a-long-name-模型-of-a-checkpoint-step1000000-target_reached"
    now.move(name, 3, 12, "reading", 0, 1)
    clock.now += 45
    now.move(name, 3, 12, "pass 1 of 2, activation covariance spectra: 11 of 48", 1, 2)
    lines = Bar(now).lines(room)
    assert max(map(width, lines)) <= room
    squeezed = "".join("".join(lines).split())
    for part in (f"{name}(3/12)", "spectra:11of48", "45s", "about14minleft", "█" * 5 + "░" * 19):
        assert part in squeezed


def test_the_bar_is_full_only_when_all_is_done(clock):
    now = Standing(clock)
    now.move("step0", 1, 1, "spectra", 10_000, 10_000)
    (line,) = Bar(now).lines(100, signs=("#", "."))
    assert "#" * 23 + "." in line


def test_names_do_not_act_on_the_terminal(monkeypatch):
    screen = on_a_terminal(monkeypatch, color_system=None)
    with scan_progress(quiet=False) as report:
        report("a\x1b[31m\x9b2J\u202e[bold]x[/bold]\n", 1, 2, "b\x1b]0;t\x07[red]", 1, 2)
        time.sleep(0.3)
    shown = re.sub(r"\x1b\[(\?25[lh]|2K|1A)|\r", "", screen.getvalue())
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert r"a\x1b[31m\x9b2J\u202e[bold]x[/bold]\x0a (1/2)" in shown
    assert r"b\x1b]0;t\x07[red]" in shown
