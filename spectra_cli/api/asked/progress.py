"""Where a scan is, told as the caller wants to hear it: by a function, by a bar like tqdm's, or on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from spectra_cli.core.errors import UsageError
from spectra_cli.workflows.scan import ScanProgress


class ProgressBar(Protocol):
    """A bar such as `tqdm.auto.tqdm()`: it is told how far the scan is, in hundredths of a checkpoint."""

    total: float | None
    n: float

    def set_description_str(self, desc: str) -> object:
        """What stands beside the bar."""

    def refresh(self) -> object:
        """Draw it anew."""


Listener = Callable[[ScanProgress], None] | ProgressBar
_PARTS = 100


@contextmanager
def reporting(progress: Listener | None, *, quiet: bool) -> Iterator[Callable[[ScanProgress], None]]:
    """What a scan tells of itself, to whoever listens.

    Args:
        progress: a function of `ScanProgress`, or a bar; None for the command line's own, on stderr.
        quiet: no progress on stderr.

    Raises:
        UsageError: neither a function nor a bar.
    """
    if progress is None:
        from spectra_cli.render.console import scan_progress

        with scan_progress(quiet=quiet) as report:
            yield lambda now: report(now.ref.key, now.number, now.count, now.activity, now.done, now.total)
    elif callable(progress):
        yield progress
    elif hasattr(progress, "total") and hasattr(progress, "refresh"):
        yield lambda now: _advance(progress, now)
    else:
        raise UsageError(
            f"progress is {type(progress).__name__}: expected a function of one ScanProgress, or a bar "
            "such as tqdm's"
        )


def _advance(bar: ProgressBar, now: ScanProgress) -> None:
    bar.total = _PARTS * now.count
    bar.n = round(_PARTS * (now.number - 1 + min(now.done / max(now.total, 1), 1.0)))
    bar.set_description_str(f"{now.ref.key} ({now.number}/{now.count}): {now.activity}")
    bar.refresh()
