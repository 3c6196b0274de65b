"""How far the measurement of one checkpoint is: one share over passes and spectra, for whoever waits.

The parts are weighed by their operations, those of slow kinds several times; it need not be exact, but it
moves with every batch and every spectrum, and is whole only when all is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.measurements.algebra.cores import Heard
from spectra_cli.extract.planning.cost import EIGEN, scan_cost, works_of
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import Model

Progress = Callable[[str, int, int], None]
"""Hears (what is under way, done, total); done stays below total while there is work."""

PASSES = "passes"
_TOTAL = 10_000
_WITHIN_PASSES = ("gradients", "covariance")
# Of one operation, against one of a pass: sums in float64, factorisations besides far from peak rate.
_FLOAT64, _FACTORISED = 2.0, 10.0
_DEAR = {
    **dict.fromkeys(("covariance", "profiles", "gram", "gram_of_factors"), _FLOAT64),
    "eigen_cubes": _FACTORISED * EIGEN,
    **dict.fromkeys(("weight_products", "weight_cubes", "vector_cubes"), _FACTORISED),
}


class Course:
    """The parts of one checkpoint's work, and how much of each is done."""

    def __init__(self, weights: Mapping[str, float], heard: Progress) -> None:
        """The weight of each part, in any common unit, and who hears."""
        self._weights = weights
        self._done = dict.fromkeys(weights, 0.0)
        self._heard = heard

    def of(self, part: str, words: str, *, first: float = 0.0, last: float = 1.0) -> Heard:
        """What hears of a part, or of the stretch of it from `first` to `last`; it is told at once.

        Args:
            part: one of the weights; words: what is under way.
            first, last: shares of the part.
        """

        def heard(done: int, total: int) -> None:
            counted = f"{words}: {done} of {total}" if total else words
            self._done[part] = first + (last - first) * done / max(total, 1)
            self._heard(counted, min(int(_TOTAL * self._share()), _TOTAL - 1), _TOTAL)

        heard(0, 0)
        return heard

    def _share(self) -> float:
        whole = sum(self._weights.values()) or 1.0
        return sum(weight * self._done[part] for part, weight in self._weights.items()) / whole


def weights_of(model: Model, settings: ScanSettings, plan: ScanPlan) -> dict[str, float]:
    """Part -> operations, in those of a pass: `passes`, and the spectra of each measurement by its name."""
    passes = sum(scan_cost(model, settings, plan).passes.values())
    found = {PASSES: passes}
    for name, works in works_of(model, settings, plan).items():
        found[name] = 0.0
        for work in works:
            found[PASSES if work.kind in _WITHIN_PASSES else name] += _DEAR.get(work.kind, 1.0) * work.amount
    return found
