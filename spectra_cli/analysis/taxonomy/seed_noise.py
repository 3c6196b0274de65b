"""How far two runs of one recipe lie apart: the replicate floor, from runs that differ in their seed alone.

Without it a difference is one between checkpoints. With it, a difference counts if it exceeds

    t_{0.975, k-1} sqrt(2) SD

of k seeds, and equality asks that the interval, with the seeds' noise in it, lies inside the margin.

See docs/explanation/comparing.md, for why it is not 2 SD: that forgets that both runs have a seed, and how
uncertain the SD of three seeds is: where sites move together, it lets three in ten seeds pass as a change
(`tests/analysis/taxonomy/test_seed_noise.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from spectra_cli.analysis.compare.decisions import EQUIVALENCE_LEVEL, Verdict
from spectra_cli.analysis.compare.differences import SiteDifference
from spectra_cli.analysis.compare.quantities import is_distance
from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import FloatArray

FEWEST_SEEDS = 3
_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedNoise:
    """What another seed changes.

    Attributes:
        num_seeds: the baseline included.
        apart: (measurement, statistic) -> standard deviation of the difference of two runs of the
            recipe, root mean square over sites.
    """

    num_seeds: int
    apart: Mapping[tuple[str, str], float]

    def floor(self, measurement: str, statistic: str) -> float:
        """A difference that another seed exceeds once in twenty; NaN where no replicate has the number.

        Sites move together from seed to seed: pooling them adds no degrees of freedom.
        """
        reach = float(stdtrit(self.num_seeds - 1, 0.5 + _LEVEL / 2))
        return reach * self.apart.get((measurement, statistic), math.nan)

    def verdict(self, item: SiteDifference) -> Verdict:
        """The verdict on a decided difference, as one between recipes."""
        found, size = item.found, abs(item.found.delta)
        if found.verdict is Verdict.DIFFERENT and size >= self.floor(item.measurement, item.statistic):
            return Verdict.DIFFERENT
        apart = self.apart.get((item.measurement, item.statistic), math.nan)
        reach = float(stdtrit(self.num_seeds - 1, 0.5 + EQUIVALENCE_LEVEL / 2))
        within = size + found.interpolated + reach * math.hypot(found.stderr, apart) < found.margin
        return Verdict.EQUAL if within else Verdict.INCONCLUSIVE


def seed_noise(replicates: Sequence[Sequence[SiteDifference]]) -> SeedNoise:
    """The replicate floor from comparisons of the baseline with its other seeds, at one aligned point.

    Args:
        replicates: for each other seed, its differences from the baseline (as `first`).

    Raises:
        UsageError: fewer than three seeds.
    """
    if len(replicates) + 1 < FEWEST_SEEDS:
        raise UsageError(
            f"{len(replicates) + 1} seeds of the baseline's recipe, the baseline included; a replicate floor "
            f"needs at least {FEWEST_SEEDS}: add runs of other seeds, or leave them out"
        )
    deltas: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for differences in replicates:
        for item in differences:
            deltas[item.measurement, item.statistic][item.site.address].append(item.found.delta)
    apart = {}
    for (measurement, statistic), by_site in deltas.items():
        squares = [
            _mean_square(np.array(found), distance=is_distance(statistic))
            for found in by_site.values()
            if len(found) == len(replicates) and np.isfinite(found).all()
        ]
        if squares:
            apart[measurement, statistic] = math.sqrt(float(np.mean(squares)))
    return SeedNoise(num_seeds=len(replicates) + 1, apart=apart)


def _mean_square(from_baseline: FloatArray, *, distance: bool) -> float:
    """Of the difference of two seeds, from how far each other seed is from the baseline."""
    if distance:
        return float((from_baseline**2).mean())
    return 2.0 * float(np.var([0.0, *from_baseline], ddof=1))
