"""What a comparison found: layers next to each other that moved alike, and how all numbers came out.

Layers next to each other that moved with the same sign are one finding.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from spectra_cli.analysis.compare.decisions import exceeds_floor, survives_correction
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.quantities import is_distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one number says about some layers next to each other, at one aligned point.

    Attributes:
        measurement, component: where; `layers`: in A, empty outside the blocks.
        statistic: which number.
        target: of the point.
        delta: mean over the layers of B - A, or of a distance.
        stderr: mean of the layers' standard errors, which bounds that of the mean.
        strength: the largest |z| among the layers.
    """

    measurement: str
    component: str
    layers: tuple[int, ...]
    statistic: str
    target: float
    delta: float
    stderr: float
    strength: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How the numbers that can be decided came out.

    Attributes:
        different, equal, inconclusive: by their verdicts.
        exact: those without a noise floor; missing: those without a number.
        floor_alone: not different, though at least the noise floor: chance may explain as many.
        correction_alone: not different, though no chance on this probe: below the noise floor.
    """

    different: int
    equal: int
    inconclusive: int
    exact: int
    missing: int
    floor_alone: int
    correction_alone: int

    @property
    def judged(self) -> int:
        """Numbers with a noise floor."""
        return self.different + self.equal + self.inconclusive


def counts(differences: Iterable[SiteDifference]) -> Counts:
    """The verdicts, counted."""
    found = {"different": 0, "equal": 0, "inconclusive": 0, "exact": 0, "missing": 0}
    floor_alone = correction_alone = 0
    for one in differences:
        found[one.standing] += 1
        if one.standing in ("equal", "inconclusive") and math.isfinite(one.found.p_value):
            floor_alone += exceeds_floor(one.found)
            correction_alone += survives_correction(one.found)
    return Counts(**found, floor_alone=floor_alone, correction_alone=correction_alone)


def strongest_first(differences: Iterable[SiteDifference]) -> list[SiteDifference]:
    """What is different, by how little chance explains it; then the rest likewise."""

    def order(one: SiteDifference) -> tuple[bool, float, float]:
        p_value = one.found.p_value
        return (
            not one.is_different,
            p_value if math.isfinite(p_value) else 2.0,
            -abs(one.z) if math.isfinite(one.z) else 0.0,
        )

    return sorted(differences, key=order)


def findings(differences: Sequence[SiteDifference]) -> list[list[Finding]]:
    """What is different, layers next to each other together; one list for the same layers.

    A component is told at the aligned point at which most of its numbers differ, of several the last one.
    The strongest come first, distances last.
    """
    told: dict[tuple[str, str, tuple[int, ...]], list[Finding]] = {}
    for group in _grouped(differences, lambda d: (d.measurement, d.site.component)):
        moved = [one for one in group if one.is_different]
        if not moved:
            continue
        tally = Counter(one.target for one in moved)
        target = max(reversed(list(dict.fromkeys(d.target for d in group))), key=lambda t: tally[t])
        for same in _grouped(group, lambda d: (d.statistic,)):
            here = [one for one in same if one.is_different and one.target == target]
            for run in _neighbours(here, _layers(same)):
                one = finding_of(run)
                told.setdefault((one.measurement, one.component, one.layers), []).append(one)
    lists = [sorted(found, key=_strongest) for found in told.values()]
    return sorted(lists, key=lambda found: _strongest(found[0]))


def _strongest(one: Finding) -> tuple[bool, float]:
    return is_distance(one.statistic), -one.strength


def _grouped(
    differences: Sequence[SiteDifference], key: Callable[[SiteDifference], tuple[str, ...]]
) -> Iterable[list[SiteDifference]]:
    groups: dict[tuple[str, ...], list[SiteDifference]] = {}
    for one in differences:
        groups.setdefault(key(one), []).append(one)
    return groups.values()


def _layers(group: Sequence[SiteDifference]) -> list[int]:
    return sorted({one.site.layer for one in group if one.site.layer is not None})


def _neighbours(moved: Sequence[SiteDifference], measured: Sequence[int]) -> list[list[SiteDifference]]:
    """Runs of measured layers without a gap, of one sign."""
    ordered = sorted(moved, key=lambda one: -1 if one.site.layer is None else one.site.layer)
    places = [-1 if one.site.layer is None else measured.index(one.site.layer) for one in ordered]
    keyed = zip(enumerate(places), ordered, strict=True)
    runs = groupby(keyed, key=lambda pair: (pair[0][1] - pair[0][0], pair[1].found.delta > 0))
    return [[one for _, one in run] for _, run in runs]


def finding_of(run: Sequence[SiteDifference]) -> Finding:
    """Differences in one number, at one point, of layers next to each other."""
    first = run[0]
    layers = {one.site.layer for one in run}
    return Finding(
        measurement=first.measurement,
        component=first.site.component,
        layers=tuple(sorted(layer for layer in layers if layer is not None)),
        statistic=first.statistic,
        target=first.target,
        delta=float(np.mean([one.found.delta for one in run])),
        stderr=float(np.mean([one.found.stderr for one in run])),
        strength=max(abs(one.z) for one in run),
    )
