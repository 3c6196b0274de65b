"""Spectra of per-sequence gradients, through the Gram matrix K = G G^T.

Row i of G is d(mean token loss of sequence i)/dW. Two spectra and the gradient noise scale's two
sums come out of one K: `gradient_covariance` (centred, eigenvalues of H K H / (n - 1)) and
`gradient_matrix` (singular values of G as it is, the public protocol).

See docs/explanation/estimators.md; McCandlish et al., arXiv 1812.06162, appendix A (noise scale).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Self

import numpy as np
import torch
from torch import Tensor

from spectra_cli.core.measurements import GRADIENT as NAME
from spectra_cli.core.measurements import GRADIENT_MATRIX as UNCENTRED
from spectra_cli.core.measurements import GRADIENTS as CENTRED
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import FloatArray, Scalar, Site, Skipped, Spectrum, SpectrumKind, Status
from spectra_cli.extract.measurements.algebra.cores import Heard, each_on_a_core, nobody, num_workers
from spectra_cli.extract.measurements.algebra.gram import gram_operations
from spectra_cli.extract.measurements.algebra.singular import eigenvalue_zero_threshold, symmetric_eigen
from spectra_cli.extract.measurements.gradient_store import (
    GRAM_CHUNK_BYTES,
    DenseGradients,
    FactoredGradients,
    GradientStore,
    dense_bytes,
    factor_bytes,
    tile_bytes,
)
from spectra_cli.extract.measurements.measurement import (
    MAX_DROPPED_SHARE,
    Batch,
    Blocks,
    Counts,
    GradientMeasurement,
    Measured,
    Subject,
)
from spectra_cli.extract.measurements.scope import GradientMember, Memory, Planned, Scope, Views, Work
from spectra_cli.extract.protocols import MatrixView

_scalar = partial(Scalar, measurement=CENTRED)


class GradientGram:
    """Collects the per-sequence gradients of chosen matrices and reduces each to its Gram."""

    def __init__(self, *, stores: Mapping[MatrixView, GradientStore], blocks: Blocks) -> None:
        """Measure the matrices of `stores` over the first `blocks.num_sequences` of the probe."""
        self.views = tuple(stores)
        self._stores = dict(stores)
        self._blocks = blocks

    def observe(
        self, view: MatrixView, inputs: Tensor, delta: Tensor, batch: Batch, counts: Counts = None
    ) -> None:
        """Hand one call to the matrix's store; see `GradientObserver`."""
        self._stores[view].add(batch.start, inputs, delta, counts)

    def merge(self, other: Self) -> Self:
        """See `Observer.merge`; a sequence is one observer's, whole."""
        for view, store in self._stores.items():
            store.merge(other._stores[view])
        return self

    def finish(self, heard: Heard = nobody) -> Measured:
        """Spectra and noise sums of every matrix; a Gram that takes all cores counts as one of them too."""
        together: dict[MatrixView, Tensor] = {}
        on_all_cores = [view for view, store in self._stores.items() if not store.on_one_core]
        total = len(on_all_cores) + len(self.views)
        for view in on_all_cores:
            together[view] = self._stores[view].gram().cpu()
            heard(len(together), total)

        def spectra(view: MatrixView) -> Measured:
            kernel = together[view] if view in together else self._stores[view].gram()
            return spectra_of_kernel(view.site, kernel, view.shape, self._blocks)

        parts = each_on_a_core(
            spectra,
            self.views,
            size=self._blocks.num_sequences,
            cost=lambda view: math.prod(view.shape),
            heard=lambda done, _: heard(len(together) + done, total),
        )
        self._stores.clear()
        return sum(parts, Measured())


def _start(subject: Subject) -> GradientGram:
    dtype = torch.float64 if subject.settings.dtype == "float64" else torch.float32
    half = subject.settings.dtype == "bfloat16"
    number = subject.num_gradient_sequences
    stores: dict[MatrixView, GradientStore] = {}
    for view in subject.views:
        if view in subject.factored:
            stores[view] = FactoredGradients(
                number,
                subject.length,
                view.shape,
                dtype=torch.bfloat16 if half else dtype,
                arena=subject.arena,
            )
        else:
            stores[view] = DenseGradients(
                number, view.shape, dtype=dtype, arena=subject.arena, half_products=half
            )
    blocks = Blocks(num_sequences=number, num_blocks=subject.settings.num_blocks)
    return GradientGram(stores=stores, blocks=blocks)


def _views(scope: Scope) -> Views:
    return scope.matrices(NAME, tapped=True)


def _widths(settings: ScanSettings) -> tuple[int, int]:
    """Bytes of a dense gradient's value, and of a factor's."""
    width = 8 if settings.dtype == "float64" else 4
    return width, 2 if settings.dtype == "bfloat16" else width


def _waits(scope: Scope, view: MatrixView) -> GradientMember:
    settings = scope.settings
    width, factor_width = _widths(settings)
    number, length = settings.num_gradient_sequences, settings.sequence_length
    dense = dense_bytes(number, view.shape, width=width)
    factors = factor_bytes(number, length, view.shape, width=factor_width)
    # Tied and embedding matrices are written by more than one call, which only the dense form adds up.
    factored = factors < dense and view.kind == "linear" and not view.aliases
    return GradientMember(
        address=view.site.address, factored=factored, memory_bytes=factors if factored else dense
    )


def _memory(scope: Scope) -> Memory:
    """Grams of a pass, those that are factorised at once, and what is widened or formed for one."""
    number, (_, factor_width) = scope.settings.num_gradient_sequences, _widths(scope.settings)
    members = {view: _waits(scope, view) for view in _views(scope)[0]}
    largest = max((member.memory_bytes for member in members.values()), default=0)
    tiles = (
        tile_bytes(number, view.shape, width=factor_width)
        for view, member in members.items()
        if member.factored
    )
    grams = (len(members) + 6 * num_workers(number)) * number**2 * 8
    return Memory(forming=grams + min(2 * GRAM_CHUNK_BYTES, 4 * largest) + max(tiles, default=0))


def _work(scope: Scope, planned: Planned) -> tuple[Work, ...]:
    """Gradients beside the pass; then the Gram of each matrix, and the eigenvalues of both its spectra."""
    number, length = scope.settings.num_gradient_sequences, scope.settings.sequence_length
    views = {view.site.address: view for view in scope.model.matrices}
    area = {member.address: float(math.prod(views[member.address].shape)) for member in planned.members}
    dense = sum(area[member.address] for member in planned.members if not member.factored)
    factored = sum(area[member.address] for member in planned.members if member.factored)
    linear = (views[address] for address in area if views[address].kind == "linear")
    # experts by the share of tokens that they get
    reached = float(sum(view.share * math.prod(view.shape) for view in linear))
    own, count = num_workers(number), 2 * len(area)
    return (
        Work(kind="gradients", amount=number * length * 2.0 * reached),
        # written once and read once, in float32
        Work(
            kind="gram",
            amount=gram_operations(number, dense),
            at_once=own,
            bytes_moved=2 * 4.0 * number * (dense + factored),
        ),
        Work(kind="gram_of_factors", amount=gram_operations(number, factored)),
        Work(kind="eigen_cubes", amount=float(count * number**3), at_once=own),
        Work(kind="eigen_squares", amount=float(count * number**2), at_once=own),
    )


GRADIENT = GradientMeasurement(
    name=NAME,
    summary="per-sequence gradients of each matrix: centred eigenvalues, singular values, noise scale",
    views=_views,
    waits=_waits,
    memory=_memory,
    work=_work,
    settings=("num_gradient_sequences",),
    start=_start,
)


def spectra_of_kernel(site: Site, kernel: Tensor, shape: tuple[int, int], blocks: Blocks) -> Measured:
    """Both gradient spectra and the noise sums of one matrix, from its kernel.

    Args:
        site: of the matrix.
        kernel: (n, n) float64, K_ij = <g_i, g_j>; a sequence with NaN or infinity spoils its own row
            and column only, and is dropped.
        shape: (O, I) of the matrix.
        blocks: how the n sequences were dealt.
    """
    finite = torch.isfinite(kernel.diagonal()).numpy()
    block_of = np.repeat(np.arange(len(blocks.sizes)), blocks.sizes)[finite]
    members = (np.arange(len(blocks.sizes))[:, None] == block_of).astype(float)
    sizes = tuple(int(count) for count in members.sum(1))
    dropped = int((~finite).sum())
    counts = (_scalar(name="dropped_sequences", site=site, value=float(dropped), unit="sequences"),)
    if dropped > MAX_DROPPED_SHARE * finite.size:
        reason = f"{dropped} of {finite.size} sequences have a NaN or infinite gradient; 1 % may be dropped"
        return Measured(skipped=_skip(site, Status.NONFINITE, reason), scalars=counts)
    kernel = kernel[torch.from_numpy(finite)][:, torch.from_numpy(finite)]
    n = kernel.shape[0]
    if n < 2:
        return Measured(
            skipped=_skip(site, Status.UNRESOLVED, "one gradient has no spectrum"), scalars=counts
        )
    centred = kernel - kernel.mean(0, keepdim=True) - kernel.mean(1, keepdim=True) + kernel.mean()
    if float(centred.diagonal().max()) <= n * np.finfo(np.float64).eps * float(kernel.diagonal().max()):
        centred = torch.zeros_like(kernel)
    num_parameters = shape[0] * shape[1]
    spectra = tuple(
        _spectrum(site, matrix, num_parameters, members, sizes, centered=centered)
        for matrix, centered in ((centred / (n - 1), True), (kernel, False))
    )
    return Measured(spectra=spectra, scalars=counts + _noise_sums(site, kernel.numpy(), members, sizes))


def _spectrum(
    site: Site,
    matrix: Tensor,
    num_parameters: int,
    members: FloatArray,
    sizes: tuple[int, ...],
    *,
    centered: bool,
) -> Spectrum:
    raw, vectors = symmetric_eigen(matrix, vectors=True)
    rank = min(len(raw), num_parameters)
    values = np.clip(raw[:rank], 0.0, None)
    n = len(raw)
    # Share of each eigenvector on each block's sequences, scaled so that the mean weighted by block
    # sizes is the eigenvalue itself (docs/explanation/estimators.md).
    shares = members @ vectors[:, :rank].square().numpy()
    occupied = np.array(sizes, dtype=float)
    weights = np.divide(n, occupied, out=np.zeros_like(occupied), where=occupied > 0)
    threshold = eigenvalue_zero_threshold(values[0], n, num_parameters)
    return Spectrum(
        site=site,
        measurement=CENTRED if centered else UNCENTRED,
        kind=SpectrumKind.EIGENVALUES if centered else SpectrumKind.SINGULAR_VALUES,
        values=values if centered else np.sqrt(values),
        num_samples=n,
        ambient_dim=num_parameters,
        centered=centered,
        unit="(nats/param)^2" if centered else "nats/param",
        zero_threshold=threshold if centered else float(np.sqrt(threshold)),
        block_profile=(shares * weights[:, None] * values).astype(np.float32),
        block_sizes=sizes,
    )


def _noise_sums(
    site: Site,
    kernel: FloatArray,
    members: FloatArray,
    sizes: tuple[int, ...],
) -> tuple[Scalar, Scalar]:
    """|G|^2 (unbiased) and tr Sigma of one matrix, with their delete-one-block values.

    `members` is (num_blocks, n): 1 where a sequence is of a block.
    """
    between = members @ kernel @ members.T
    traces = members @ kernel.diagonal()
    counts = members.sum(1)

    def signal_and_noise(keep: FloatArray) -> tuple[float, float]:
        n, total, trace = float(keep @ counts), float(keep @ between @ keep), float(keep @ traces)
        if n < 2:
            return float("nan"), float("nan")
        return (total - trace) / (n * (n - 1)), (trace - total / n) / (n - 1)

    signal, noise = signal_and_noise(np.ones(len(sizes)))
    without = np.array([signal_and_noise(1 - row) for row in np.eye(len(sizes))])
    of_site = partial(_scalar, site=site, unit="(nats/param)^2", block_sizes=sizes)
    return (
        of_site(name="gradient_signal", value=signal, delete_one_block=without[:, 0]),
        of_site(name="gradient_noise", value=noise, delete_one_block=without[:, 1]),
    )


def _skip(site: Site, status: Status, reason: str) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(measurement=name, site=site, status=status, reason=reason) for name in (CENTRED, UNCENTRED)
    )
