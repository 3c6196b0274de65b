"""How far a leading subspace has turned, what chance would do, and where a spectrum lets one be cut off.

Two subspaces are comparable only in one basis: the same run, or runs with a common ancestor.
Subspaces are given by orthonormal vectors, one a row, in the order of their values: (k, d).
See docs/explanation/comparing.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.types import FloatArray, Status

# A cut with a smaller relative gap behind it is arbitrary: rounding or noise may exchange directions.
SMALLEST_GAP = 0.05
SEARCHED = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """How far one k-dimensional subspace is from another of the same space.

    Attributes:
        angles: (k,) principal angles in radians, ascending.
        dimension: d of the space.
    """

    angles: FloatArray
    dimension: int

    @property
    def rank(self) -> int:
        """Number of directions, k."""
        return int(self.angles.size)

    @property
    def overlap(self) -> float:
        """`O_k = |Q Q'^T|_F^2 / k`, the mean squared cosine: 1 for the same subspace, k/d by chance."""
        return 1.0 - self.turned

    @property
    def turned(self) -> float:
        """`1 - O_k`, the mean squared sine, exact also where it is far below rounding of O_k."""
        return float((np.sin(self.angles) ** 2).mean())

    @property
    def chance(self) -> float:
        """Overlap of two random subspaces, k/d."""
        return self.rank / self.dimension

    @property
    def mean_degrees(self) -> float:
        """Mean principal angle."""
        return float(np.degrees(self.angles.mean()))

    @property
    def max_degrees(self) -> float:
        """Largest principal angle."""
        return float(np.degrees(self.angles.max()))


def orthonormal(vectors: NDArray[np.floating]) -> FloatArray:
    """The rows in float64, orthonormal to its rounding; the span of the first k stays, for every k."""
    return np.ascontiguousarray(np.linalg.qr(np.asarray(vectors, np.float64).T)[0].T)


def rotation(first: FloatArray, second: FloatArray, rank: int) -> Rotation:
    """Principal angles between the spans of the first `rank` rows of two orthonormal sets.

    Cosines come from `Q Q'^T`, sines from what is left of Q' outside the first span: each is used where
    it is exact, so that angles down to 1e-15 are seen.

    Args:
        first, second: (>= rank, d), from `orthonormal`.
        rank: k.
    """
    one, other = first[:rank], second[:rank]
    product = one @ other.T
    outside = other - product.T @ one
    cosines = np.clip(np.linalg.svd(product, compute_uv=False), 0.0, 1.0)
    sines = np.clip(np.linalg.svd(outside, compute_uv=False), 0.0, 1.0)[::-1][-rank:]
    sines = np.pad(sines, (rank - sines.size, 0))
    angles = np.where(cosines**2 >= 0.5, np.arcsin(sines), np.arccos(cosines))
    return Rotation(angles=angles, dimension=first.shape[1])


def subspace_overlap(
    first: NDArray[np.floating], second: NDArray[np.floating], rank: int | None = None
) -> Rotation:
    """How far the leading subspaces of two sets of archived vectors are apart.

    Args:
        first, second: (k, d) leading vectors, by row, of the same space in the same basis.
        rank: of the subspaces; by default as many as both have.

    Raises:
        ValueError: other dimensions, or fewer vectors than `rank`.
    """
    most = min(first.shape[0], second.shape[0])
    rank = most if rank is None else rank
    if first.shape[1] != second.shape[1] or not 0 < rank <= most:
        raise ValueError(f"subspaces of rank {rank} from vectors of shapes {first.shape} and {second.shape}")
    return rotation(orthonormal(first[:rank]), orthonormal(second[:rank]), rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a subspace is cut off.

    Attributes:
        asked, rank: number of directions asked for, and taken.
        gap: relative gap behind the last one, `(x_k - x_{k+1}) / x_k`.
        reason: why `rank` is not `asked`, or why the cut is arbitrary all the same; empty for neither.
        well_defined: whether the gap is wide enough.
    """

    asked: int
    rank: int
    gap: float
    well_defined: bool
    reason: str = ""

    @property
    def status(self) -> Status:
        """Partial where the cut is arbitrary."""
        return Status.OK if self.well_defined else Status.PARTIAL


def relative_gap(values: FloatArray, rank: int) -> float:
    """`(x_k - x_{k+1}) / x_k`; 1 behind the last value."""
    following = float(values[rank]) if rank < values.size else 0.0
    return 1.0 - following / float(values[rank - 1])


def cut_at(values: FloatArray, asked: int, *, num_kept: int, threshold: float) -> Cut | None:
    """The subspace nearest to the first `asked` directions that is well defined.

    At most the directions that were kept and whose value is not numerically zero; where the gap behind
    them is below 5 %, the rank with the largest gap within 30 %.

    Args:
        values: (rank,) of the spectrum, descending.
        asked: number of directions.
        num_kept: vectors there are; threshold: values at or below it are numerically zero.

    Returns:
        None where there is no direction at all.
    """
    most = min(num_kept, int((values > threshold).sum()))
    if most == 0:
        return None
    rank, reason = asked, ""
    if asked > most:
        why = "directions have a value that is not zero" if most < num_kept else "vectors were kept"
        rank, reason = most, f"only {most} {why}"
    gap = relative_gap(values, rank)
    if gap < SMALLEST_GAP:
        around = range(max(1, math.ceil(rank * (1 - SEARCHED))), min(most, int(rank * (1 + SEARCHED))) + 1)
        best = max(around, key=lambda k: relative_gap(values, k))
        if relative_gap(values, best) >= SMALLEST_GAP:
            rank, reason = best, f"the gap at {rank} is {100 * gap:.1f} %, at {best} it is wide enough"
        else:
            reason = f"no gap of 5 % within 30 % of {rank}: the subspace is ill-defined"
        gap = relative_gap(values, rank)
    return Cut(asked=asked, rank=rank, gap=gap, well_defined=gap >= SMALLEST_GAP, reason=reason)
