"""The weights that every checkpoint of a series is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spectra_cli.core.types import FloatArray
from spectra_cli.extract.measurements.algebra.singular import leading_singular
from spectra_cli.extract.protocols import MatrixView


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Principal:
    """Leading singular directions of a reference weight.

    Attributes:
        values: (min(O, I),) all singular values.
        left: (O, k); right: (I, k), float64, k at most the numerical rank.
    """

    values: FloatArray
    left: FloatArray
    right: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """Weights of the reference checkpoint, by address, on the CPU.

    Attributes:
        weights: address -> (O, I).
        digest: of the checkpoint's tensors.
        archived: whether its spectra are archived with each checkpoint, since no series holds them.
        problem: why there are none; empty where there are.
    """

    weights: Mapping[str, Tensor] = field(default_factory=dict)
    digest: str = ""
    archived: bool = False
    problem: str = ""
    _principal: dict[str, Principal] = field(default_factory=dict, repr=False)

    def principal(self, address: str, num_vectors: int) -> Principal:
        """Its leading directions, computed once for the series.

        Raises:
            NonFiniteWeightError: the reference has none.
        """
        known = self._principal.get(address)
        if known is None:
            weight = self.weights[address]
            values, left, right = leading_singular(weight, num_vectors)
            threshold = max(weight.shape) * torch.finfo(torch.float64).eps * values[0]
            rank = min(num_vectors, int((values > threshold).sum()))
            known = Principal(values=values, left=left[:, :rank], right=right[:, :rank])
            self._principal[address] = known
        return known


def reference_of(views: Sequence[MatrixView], digest: str, *, archived: bool = False) -> Reference:
    """A copy of the views' weights, so that the model can go."""
    weights = {view.site.address: view.weight().detach().to("cpu", copy=True).contiguous() for view in views}
    return Reference(weights=weights, digest=digest, archived=archived)
