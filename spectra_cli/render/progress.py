"""Progress of a scan on stderr: a live bar on a terminal, one line a checkpoint elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spectra_cli.render.console import messages, say
from spectra_cli.render.neutral import for_terminal

# Of a checkpoint; what is left are the eigenproblems after its last sequence.
_SHARE_OF_PASSES = 0.9

Report = Callable[[str, int, int, str, int, int], None]


@contextmanager
def scan_progress(*, quiet: bool) -> Iterator[Report]:
    """A callback taking (checkpoint, number, count, activity, done, total); before the first checkpoint, with
    a count of 0, only the activity counts.
    """
    console = messages()
    if quiet:
        yield lambda *_: None
        return
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.fields[checkpoint]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[activity]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, checkpoint="", activity="")

        def report(checkpoint: str, number: int, count: int, activity: str, done: int, total: int) -> None:
            bar.update(
                task,
                checkpoint=f"{for_terminal(checkpoint)} ({number}/{count})" if count else "",
                activity=for_terminal(activity),
                total=count or None,
                completed=max(number - 1, 0) + _SHARE_OF_PASSES * done / max(total, 1),
            )

        yield report


def _lines() -> Report:
    started = time.monotonic()
    seen = ""

    def report(checkpoint: str, number: int, count: int, activity: str, done: int, total: int) -> None:
        nonlocal seen, started
        if checkpoint == seen:
            return
        seen = checkpoint
        if number == 1:
            started = time.monotonic()
        elapsed = time.monotonic() - started
        left = f", about {elapsed / (number - 1) * (count - number + 1):.0f} s left" if number > 1 else ""
        say(f"{checkpoint} ({number}/{count}){left}")

    return report
