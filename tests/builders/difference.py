"""The difference of one number between two runs, where a test has no others to work out with it."""

from __future__ import annotations

from spectra_cli.analysis.compare.decisions import Case, Difference, differences
from spectra_cli.analysis.estimates import Estimated


def difference(first: Estimated, second: Estimated, *, paired: bool, margin: float) -> Difference:
    """B minus A, not decided."""
    (found,) = differences([Case(first=first, second=second, paired=paired, margin=margin)])
    return found
