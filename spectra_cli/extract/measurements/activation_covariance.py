"""Spectrum of the centred covariance of the residual stream after each block.

See docs/explanation/estimators.md; Liu, Paquette & Sous, arXiv 2605.05683 (site and normalisation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectra_cli.core.measurements import ACTIVATIONS as NAME
from spectra_cli.core.types import (
    FloatArray,
    Scalar,
    Site,
    Skipped,
    Spectrum,
    SpectrumKind,
    Status,
    Vectors,
)
from spectra_cli.extract.device import wait_for
from spectra_cli.extract.measurements.algebra.cores import Heard, each_on_a_core, nobody, num_workers
from spectra_cli.extract.measurements.algebra.gram import gram_operations, packed_quadratic_forms
from spectra_cli.extract.measurements.algebra.singular import eigenvalue_zero_threshold, symmetric_eigen
from spectra_cli.extract.measurements.measurement import (
    MAX_DROPPED_SHARE,
    Batch,
    BlockMeasurement,
    Blocks,
    Measured,
    Subject,
)
from spectra_cli.extract.measurements.scope import Memory, Planned, Scope, Work
from spectra_cli.extract.measurements.site_sums import BlockSums, SiteSums, packed_bytes, sums_bytes

RMS_EPS = 1e-6
# Rows in float64 that are summed at once on the CPU.
_PIECE_BYTES = 4 * 2**20

Rows = Callable[[Tensor], Tensor]


def normalise_rms(hidden: Tensor) -> Tensor:
    """`h / sqrt(mean(h^2) + 1e-6)` for each row, in float32 or wider, without a learned gain."""
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_EPS)


class ActivationCovariance:
    """Streams the residual stream of chosen layers into covariance sums, block by block."""

    def __init__(
        self,
        *,
        sites: Mapping[int, Site],
        blocks: Blocks,
        normalize: str,
        pool: str,
        final_norm: Callable[[Tensor], Tensor] | None,
        num_vectors: int = 0,
        width: int,
        device: torch.device,
    ) -> None:
        """Measure `sites` (layer -> site) of `width` over the first `blocks.num_sequences` of the probe.

        x x^T is formed in float64 whatever the pass is in: float32 products miss eigenvalues below about
        1e-5 of the largest by more than 1e-5 (docs/explanation/estimators.md), and make some negative.
        """
        self.layers = tuple(sites)
        self._sites = sites
        self._blocks = blocks
        self._pool = pool
        self._num_vectors = num_vectors
        self._unit = "hidden_unit^2" if normalize == "none" else "normalised_hidden_unit^2"
        self._rows: Rows = {"rms": normalise_rms, "none": lambda h: h, "final": final_norm}[normalize] or (
            lambda h: h
        )
        self._sums = {layer: SiteSums(width, len(blocks.sizes), device) for layer in sites}
        self._rows_each = 1  # of a sequence, once one was seen

    def observe(self, layer: int, hidden_BTD: Tensor, batch: Batch) -> None:
        """Add the part of this batch that belongs to the covariance probe, split at block edges."""
        edges = self._blocks.edges
        stop = min(batch.stop, edges[-1])
        hidden_BTD = hidden_BTD.detach()
        start = batch.start
        for block, edge in enumerate(edges[1:]):
            if start >= edge or start >= stop:
                continue
            last = min(edge, stop)
            of_block = hidden_BTD[start - batch.start : last - batch.start]
            for piece in of_block.split(_sequences_at_once(hidden_BTD)):
                self._add(layer, self._pooled(self._rows(piece).double()), block)
            start = last
            if start == edge:
                self._sums[layer].finish_block(block)

    def _add(self, layer: int, rows_BTD: Tensor, block: int) -> None:
        """Add sequences of one block; one with NaN or infinity (and so in its sum) does not count."""
        self._rows_each = rows_BTD.shape[1]
        keep_B = torch.isfinite(rows_BTD.sum((1, 2)))
        self._sums[layer].add(rows_BTD, keep_B, block=block)

    def _pooled(self, rows_BTD: Tensor) -> Tensor:
        if self._pool == "last":
            return rows_BTD[:, -1:]
        return rows_BTD.mean(1, keepdim=True) if self._pool == "mean" else rows_BTD

    def merge(self, other: Self) -> Self:
        """See `Observer.merge`; a block of sequences is one observer's, whole."""
        for layer, sums in self._sums.items():
            sums.merge(other._sums[layer])
        self._rows_each = max(self._rows_each, other._rows_each)
        return self

    def finish(self, heard: Heard = nobody) -> Measured:
        """Eigenvalues, block profiles and scalars of every site; frees the sums as it goes."""
        for sums in self._sums.values():
            wait_for(sums.total.count.device)  # blocks may still be on their way to the host
        width = max((len(sums.total.mean) for sums in self._sums.values()), default=0)
        parts = each_on_a_core(
            lambda place: self._finish_site(place[1], self._sums.pop(place[0])),
            list(self._sites.items()),
            size=width,
            heard=heard,
        )
        return sum(parts, Measured())

    def _finish_site(self, site: Site, sums: SiteSums) -> Measured:
        total = sums.total
        if not all(sums.blocks.finished):
            raise AssertionError(f"{site.address}: {sum(sums.blocks.finished)} blocks are whole")
        kept = round(float(total.count))
        dropped = self._blocks.num_sequences - kept // self._rows_each
        reason = _why_not(kept, dropped, self._blocks.num_sequences)
        if reason is not None:
            status = Status.UNRESOLVED if dropped == 0 else Status.NONFINITE
            return Measured(
                skipped=(Skipped(measurement=NAME, site=site, status=status, reason=reason),),
                scalars=(_dropped(site, dropped),),
            )
        values, vectors = symmetric_eigen(total.moment() / (kept - 1), vectors=True)
        threshold = eigenvalue_zero_threshold(values[0], kept, values.size)
        spectrum = Spectrum(
            site=site,
            measurement=NAME,
            kind=SpectrumKind.EIGENVALUES,
            values=np.clip(values, 0.0, None),
            num_samples=kept,
            ambient_dim=values.size,
            centered=True,
            unit=self._unit,
            zero_threshold=threshold,
            block_profile=_block_profile(sums.blocks, kept, total.mean.cpu().numpy(), vectors.numpy()),
            block_sizes=tuple(round(count) for count in sums.blocks.count.tolist()),
            vectors=Vectors(right=vectors[:, : self._num_vectors].T.numpy()) if self._num_vectors else None,
        )
        return Measured(spectra=(spectrum,), scalars=self._scalars(site, sums.blocks, dropped))

    def _scalars(self, site: Site, blocks: BlockSums, dropped: int) -> tuple[Scalar, ...]:
        counts, means, traces, first_sums, first_squares = (
            sums.cpu().numpy()
            for sums in (blocks.count, blocks.mean, blocks.trace, blocks.first_sum, blocks.first_square)
        )
        squares = traces + counts * (means**2).sum(1)
        firsts = counts / self._rows_each

        def shares(keep: FloatArray) -> tuple[float, float]:
            """mean_share and first_token_trace_share of the blocks with weight 1 in `keep`."""
            count = keep @ counts
            mean = (keep * counts) @ means / count
            norm2 = float(mean @ mean)
            scatter = float(keep @ squares) - count * norm2
            variance = scatter / (count - 1)
            first = keep @ first_squares - 2 * mean @ (keep @ first_sums) + (keep @ firsts) * norm2
            whole = norm2 + variance
            return (norm2 / whole if whole > 0 else 0.0), (float(first) / scatter if scatter > 0 else 0.0)

        everything = np.ones(counts.size)
        mean_share, first_share = shares(everything)
        without = np.array([shares(everything - row) for row in np.eye(counts.size)])
        sizes = tuple(round(c) for c in counts)
        of_site = partial(Scalar, measurement=NAME, site=site, unit="1", block_sizes=sizes)
        found = {"mean_share": (mean_share, without[:, 0])}
        if self._pool == "token":
            found["first_token_trace_share"] = (first_share, without[:, 1])
        shown = (of_site(name=n, value=float(v), delete_one_block=rest) for n, (v, rest) in found.items())
        return (_dropped(site, dropped), *shown)


def _dropped(site: Site, number: int) -> Scalar:
    return Scalar(
        name="dropped_sequences", site=site, measurement=NAME, value=float(number), unit="sequences"
    )


def _start(subject: Subject) -> ActivationCovariance:
    settings = subject.settings
    return ActivationCovariance(
        sites={layer: Site(layer=layer, component="resid_post") for layer in subject.layers},
        blocks=Blocks(num_sequences=settings.num_sequences, num_blocks=settings.num_blocks),
        normalize=settings.normalize,
        pool=settings.pool,
        final_norm=subject.model.final_norm,
        num_vectors=settings.num_vectors,
        width=subject.model.width,
        device=subject.device,
    )


def _memory(scope: Scope) -> Memory:
    """Sums of every site, on the CPU with those of finished blocks; and eigendecompositions."""
    width, sites = scope.model.width, len(scope.layers)
    square = width**2 * 8
    sums = sites * sums_bytes(width, scope.settings.num_blocks)
    if scope.device.type != "cpu":
        return Memory(throughout={"covariance": sums + 2 * square})
    held = sums + sites * packed_bytes(width, scope.settings.num_blocks) + 8 * square * num_workers(width)
    return Memory(throughout={"covariance": held})


def _work(scope: Scope, planned: Planned) -> tuple[Work, ...]:
    """Sums in float64 beside the pass; then eigendecompositions and blocks on eigenvectors, on the CPU."""
    settings, width, sites = scope.settings, scope.model.width, len(scope.layers)
    rows = settings.num_sequences * (settings.sequence_length if settings.pool == "token" else 1)
    batches = -(-settings.num_sequences // planned.batch_size)
    moved = 2 * 8.0 * sites * width**2 * (batches + settings.num_blocks)
    own = num_workers(width)
    profiles = sites * settings.num_blocks * gram_operations(width, width)
    return (
        Work(kind="covariance", amount=sites * gram_operations(width, rows), bytes_moved=moved),
        Work(kind="profiles", amount=profiles, at_once=own),
        Work(kind="eigen_cubes", amount=float(sites * width**3), at_once=own),
        Work(kind="eigen_squares", amount=float(sites * width**2), at_once=own),
    )


ACTIVATION_COVARIANCE = BlockMeasurement(
    name=NAME,
    summary="eigenvalues of the centred covariance of the residual stream after each block",
    memory=_memory,
    work=_work,
    settings=("normalize", "pool", "num_sequences", "num_vectors"),
    start=_start,
)


def _why_not(kept: int, dropped: int, num_sequences: int) -> str | None:
    if dropped > MAX_DROPPED_SHARE * num_sequences:
        return f"{dropped} of {num_sequences} sequences hold NaN or infinity here; at most 1 % may be dropped"
    if kept < 2:
        return f"a covariance needs at least 2 rows; {kept} are left"
    return None


def _sequences_at_once(hidden_BTD: Tensor) -> int:
    """Sequences that go into the sums at once: on the CPU what stays in cache, elsewhere all of them."""
    if hidden_BTD.device.type != "cpu":
        return max(1, hidden_BTD.shape[0])
    return max(1, _PIECE_BYTES // (8 * max(1, hidden_BTD[0].numel())))


def _block_profile(blocks: BlockSums, count: int, mean: FloatArray, axes: FloatArray) -> NDArray[np.float32]:
    """(num_blocks, D): variance that each block puts on each eigenvector, about the common mean.

    `profile[b, j] = v_j^T M_b v_j / n_b * n / (n - 1)`, so that the mean weighted by n_b is lambda_j.
    """
    counts, means = blocks.count.tolist(), blocks.mean.cpu().numpy()
    profile = np.zeros((len(counts), axes.shape[1]), dtype=np.float32)
    for row, own, its_mean, packed in zip(profile, counts, means, blocks.packed.numpy(), strict=True):
        if own == 0:
            continue
        on_axes = packed_quadratic_forms(packed, axes)
        offset = axes.T @ (its_mean - mean)
        row[:] = np.clip((on_axes + own * offset**2) * (count / (count - 1) / own), 0.0, None)
    return profile
