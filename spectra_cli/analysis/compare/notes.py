"""What a reader must know about a comparison of two runs: what was left out, and on what its errors rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from spectra_cli.analysis.compare.aligned.points import Point
from spectra_cli.analysis.compare.differences import Choice, SiteLeftOut
from spectra_cli.analysis.compare.sites import unknown_depth
from spectra_cli.core.measurements import EXACT
from spectra_cli.core.words.names import listed

MOST_SITES = 6


def last_point_only(choice: Choice, num_points: int, *, at_every_point: bool) -> list[str]:
    """That weights are compared at the last of several points alone."""
    exact = [name for name in choice.measurements or () if name in EXACT]
    if not exact or at_every_point or num_points < 2:
        return []
    why = "there is no noise to judge them by; --measure names what is compared at every point"
    return [f"{' and '.join(exact)}: compared at the last point alone ({why})"]


def point_notes(first: Point, second: Point, choice: Choice, names: tuple[str, str]) -> list[str]:
    """What does not depend on the place: unknown depths, losses with blocks of their own."""
    notes = [unknown_depth(first.before, second.before)]
    for point, name in zip((first, second), names, strict=True):
        apart = [
            f"{measurement} of {point.before.provenance.setting_facts.samples_of(measurement)} sequences"
            for measurement in choice.measurements or ()
            if measurement not in EXACT and point.moves and not point.has_blocks_of(measurement)
        ]
        if apart:
            sizes = f"the loss is of {sum(point.loss_sizes)} sequences, {' and '.join(apart)}"
            notes.append(f"{name}: {sizes}: the errors of both are added as if they were independent")
    return [note for note in notes if note]


def left_out_notes(found: Iterable[SiteLeftOut], names: tuple[str, str]) -> list[str]:
    """One note for the places of a measurement that were left out for the same reason."""
    sites: dict[tuple[bool, str, str], dict[str, None]] = defaultdict(dict)
    for one in found:
        sites[one.of_second, one.measurement, one.reason][one.site.address] = None
    return [
        f"not compared: {measurement} of {names[of_second]} at "
        f"{listed(map(_short, addresses), MOST_SITES, of=' places')}: {reason}"
        for (of_second, measurement, reason), addresses in sites.items()
    ]


def _short(address: str) -> str:
    return address.removeprefix("blocks.")
