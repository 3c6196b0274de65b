"""What two runs can be compared in, and whether it was measured in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spectra_cli.analysis.compare.comparability import are_paired, check_allowed, mismatches
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import DataError
from spectra_cli.core.measurements import EXACT, MEASUREMENTS
from spectra_cli.core.notices import signs_of_wrong_tokens

BY_DEFAULT = tuple(name for name, kind in MEASUREMENTS.items() if kind.compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparable:
    """What can be compared between the baseline and a run.

    Attributes:
        choice: of the user, with the measurements that both runs have.
        paired: measured on the same probe, so that its noise is common to both.
        notes: what the reader must know.
        at_every_point: whether weights are compared there too, for the user named measurements or there is
            nothing else.
    """

    choice: Choice
    paired: bool
    notes: tuple[str, ...]
    at_every_point: bool

    def choice_at(self, *, last: bool) -> Choice:
        """What is compared at a point: weights, which have no noise to judge by, at the last one only."""
        if last or self.at_every_point:
            return self.choice
        judged = tuple(name for name in self.choice.measurements or () if name not in EXACT)
        return replace(self.choice, measurements=judged)


def comparable(first: Run, second: Run, choice: Choice, allowed: Sequence[str]) -> Comparable:
    """The measurements that both runs have, and whether they were made in the same way.

    Args:
        first, second: the runs.
        choice: what the user wants compared; allowed: aspects of the measurement that may differ.

    Raises:
        DataError: they have none in common, or something differs that is not allowed.
        UsageError: an allowed aspect is none.
    """
    wanted = choice.measurements or BY_DEFAULT
    ours, theirs = (run.series.measurements for run in (first, second))
    measurements = tuple(name for name in wanted if name in ours and name in theirs)
    if not measurements:
        raise DataError(
            f"{first.name} and {second.name} have no measurement in common to compare: the first holds "
            f"{', '.join(ours)}, the second {', '.join(theirs)}; asked for: {', '.join(wanted)}"
        )
    found = mismatches(first.series.provenance, second.series.provenance, measurements)
    notes = check_allowed(found, allowed, first=first.name, second=second.name)
    only = [
        f"{name}: measured in {first.name if name in ours else second.name} only, and not compared"
        for name in wanted
        if (name in ours) != (name in theirs)
    ]
    return Comparable(
        choice=replace(choice, measurements=measurements),
        paired=are_paired(found),
        notes=(*notes, *only, *_wrong_tokens(first), *_wrong_tokens(second)),
        at_every_point=choice.measurements is not None or set(measurements) <= set(EXACT),
    )


def _wrong_tokens(run: Run) -> tuple[str, ...]:
    notices = [info.notices for info in run.infos]
    found = signs_of_wrong_tokens(run.series.provenance.probe.notices, notices)
    return tuple(f"{run.name}: {notice}" for notice in found)
