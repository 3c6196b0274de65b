"""What became of a weight since the reference checkpoint: its change, seen from the reference's principals.

`D = W - W_0`, with the leading singular directions U_k, V_k of W_0. Everything here needs both weights
entry by entry; rotation of subspaces does not, and is read from the archive later (`spectra drift`).
Shape suffixes: O fan_out, I fan_in. See docs/how-to/measure-drift.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectra_cli.core.measurements import WEIGHT_DRIFT as NAME
from spectra_cli.core.types import FloatArray, Scalar, Skipped, Spectrum, Status
from spectra_cli.extract.measurements.algebra.singular import (
    NonFiniteWeightError,
    SpectraWork,
    leading_vectors,
    singular_values,
    spectrum_of,
)
from spectra_cli.extract.measurements.measurement import EachMatrix, Measured, ParameterMeasurement, Subject
from spectra_cli.extract.measurements.reference import Principal, Reference
from spectra_cli.extract.measurements.scope import Memory, Planned, Scope, Views, Work
from spectra_cli.extract.measurements.weights import weight_views
from spectra_cli.extract.protocols import MatrixView

REFERENCE = "weight_reference"
# An entry while it is compared: both weights, change, principal part and sizes in float64, masks.
_COMPARED_BYTES = 52
# Products with k leading vectors, a QR factorisation and projections, in units of one product.
_VECTOR_PRODUCTS = 6.0
# Two different bfloat16 numbers differ by more than 2^-8 of the larger: with this, equality of bits.
VISIBLE = 1e-3
MASK_SHARE = 0.5
MASK_RANK = 64

Mask = NDArray[np.bool_]


def weight_drift(view: MatrixView, *, reference: Reference, num_vectors: int) -> Measured:
    """The spectrum of the change of one weight, and where it lies; why not, where it cannot be told."""
    before, after = reference.weights.get(view.site.address), view.weight().detach().to("cpu")
    if before is None or before.shape != after.shape:
        found = "no such matrix" if before is None else f"one of shape {tuple(before.shape)}"
        reason = f"it has shape {tuple(after.shape)} here, and the reference checkpoint has {found}"
        return _skipped(view, Status.NOT_APPLICABLE, reference.problem or reason)
    change = after.double() - before.double()
    try:
        values = singular_values(change)
        principal = reference.principal(view.site.address, num_vectors)
    except NonFiniteWeightError as error:
        return _skipped(view, Status.NONFINITE, f"of the weight or of its reference, {error}")
    scalars = (
        *_size_scalars(before, after, change),
        *_energy_scalars(change, principal, num_vectors),
        *_mask_scalars(before, after, principal),
    )
    return Measured(
        spectra=(spectrum_of(view, values, measurement=NAME),),
        scalars=tuple(
            Scalar(name=name, site=view.site, measurement=NAME, value=value, unit="1", status=status)
            for name, value, status in scalars
        ),
    )


Named = tuple[str, float, Status]


def _named(name: str, value: float) -> Named:
    """A number, or NaN because what it is a share of is zero."""
    return (name, float(value), Status.OK) if np.isfinite(value) else (name, float("nan"), Status.ZERO)


def _size_scalars(before: Tensor, after: Tensor, change: Tensor) -> Iterator[Named]:
    base = float(torch.linalg.vector_norm(before.double()))
    moved = float(torch.linalg.vector_norm(change))
    yield _named("relative_change", moved / base if base > 0 else np.nan)
    yield _named("visible_share", float(visible(before, after).mean()))
    yield _named("visible_share_float32", float(_differs(before.float(), after.float()).mean()))


def visible(before: Tensor, after: Tensor) -> Mask:
    """Entries that differ once both weights are rounded to bfloat16 (docs/how-to/measure-drift.md)."""
    return _differs(before.bfloat16().float(), after.bfloat16().float())


def _differs(before: Tensor, after: Tensor) -> Mask:
    larger = torch.maximum(before.abs(), after.abs())
    return ((after - before).abs() > VISIBLE * larger).numpy()


def ladder(num_vectors: int) -> tuple[int, ...]:
    """Ranks at which energy is kept: powers of two, and the number of vectors itself.

    >>> ladder(48)
    (1, 2, 4, 8, 16, 32, 48)
    """
    powers = [1 << power for power in range(num_vectors.bit_length())]
    return tuple(dict.fromkeys([*(k for k in powers if k <= num_vectors), num_vectors]))


def _energy_scalars(change: Tensor, principal: Principal, num_vectors: int) -> Iterator[Named]:
    """`|U_k U_k^T D V_k V_k^T|_F^2 / |D|_F^2` along the ladder of ranks (docs/how-to/measure-drift.md)."""
    squares = (principal.left.T @ change.numpy() @ principal.right) ** 2
    total = float((change**2).sum())
    for k in ladder(num_vectors):
        # a matrix of lower rank has no more directions than that
        inside = float(squares[:k, :k].sum()) / total if total > 0 else np.nan
        yield _named(f"energy_on_principal_{k}", inside)


def _mask_scalars(before: Tensor, after: Tensor, principal: Principal) -> Iterator[Named]:
    """Lifts of the visible entries on the large entries of the principal part, and on small weights."""
    moved = visible(before, after)
    rank = min(MASK_RANK, principal.left.shape[1])
    top = principal.left[:, :rank] * principal.values[:rank]
    part = np.abs(top @ principal.right[:, :rank].T)
    size = before.abs().double().numpy()
    large = part > np.quantile(part, 1 - MASK_SHARE)
    small = size <= np.quantile(size, MASK_SHARE)
    for name, mask in (("principal", large), ("small", small), ("principal_not_small", large & ~small)):
        lift, spread = mask_lift(mask, moved)
        yield _named(f"mask_lift_{name}", lift)
        yield _named(f"mask_lift_{name}_null_sd", spread)


def mask_lift(mask: Mask, moved: Mask) -> tuple[float, float]:
    """How much oftener than by chance `moved` falls on `mask`, and the spread of that lift by chance.

    `lift = |mask & moved| mn / (|mask| |moved|)`. Chance is `moved` with its rows and its columns
    shuffled, which keeps how it clusters in rows and columns. Over all such shuffles the lift has mean 1
    and, with both masks taken apart into row effects a, r, column effects b, s and interactions c, t,

        Var |mask & moved| = n^2 |a|^2 |r|^2 / (m - 1) + m^2 |b|^2 |s|^2 / (n - 1)
                             + |c|^2 |t|^2 / ((m - 1)(n - 1))

    (what sampled shuffles would estimate).

    Args:
        mask, moved: (m, n).

    Returns:
        NaN twice where either is empty; the spread is 0 where either is full.
    """
    m, n = mask.shape
    expected = float(mask.sum()) * float(moved.sum()) / (m * n)
    if expected == 0:
        return float("nan"), float("nan")
    (rows, columns, rest), (moved_rows, moved_columns, moved_rest) = _effects(mask), _effects(moved)
    variance = n**2 * rows * moved_rows / max(m - 1, 1) + m**2 * columns * moved_columns / max(n - 1, 1)
    variance += rest * moved_rest / max((m - 1) * (n - 1), 1)
    return float((mask & moved).sum()) / expected, float(np.sqrt(variance)) / expected


def _effects(mask: Mask) -> tuple[float, float, float]:
    """Sums of squares of row effects (one a row), column effects, and of what neither explains."""
    m, n = mask.shape
    mean = mask.mean()
    rows: FloatArray = mask.mean(1) - mean
    columns: FloatArray = mask.mean(0) - mean
    row_squares, column_squares = float(rows @ rows), float(columns @ columns)
    total = m * n * float(mean * (1 - mean))
    return row_squares, column_squares, max(total - n * row_squares - m * column_squares, 0.0)


def _skipped(view: MatrixView, status: Status, reason: str) -> Measured:
    return Measured(skipped=(Skipped(measurement=NAME, site=view.site, status=status, reason=reason),))


def _views(scope: Scope) -> Views:
    """Those of the weights; what layers lack is told once, of the weights."""
    return weight_views(scope)[0], ()


def _memory(scope: Scope) -> Memory:
    """Weights that are compared with, their leading vectors, and what one comparison needs in float64.

    They are held on the CPU, whatever the model is on.
    """
    if scope.device.type != "cpu":
        return Memory()
    shapes, at_once = [view.shape for view in _views(scope)[0]], SpectraWork.of(_views(scope)[0]).at_once
    held = sum(4 * m * n + 24 * scope.settings.num_vectors * (m + n) for m, n in shapes)
    largest = max((m * n for m, n in shapes), default=0)
    return Memory(throughout={"reference": held + _COMPARED_BYTES * largest * at_once})


def _work(scope: Scope, _planned: Planned) -> tuple[Work, ...]:
    """The spectrum of the change, products with the leading vectors, and the masks."""
    work = SpectraWork.of(_views(scope)[0])
    products = work.products + _VECTOR_PRODUCTS * scope.settings.num_vectors * work.entries
    return (
        Work(kind="weight_products", amount=products, at_once=work.at_once),
        Work(kind="weight_cubes", amount=work.cubes, at_once=work.at_once),
        Work(kind="weight_squares", amount=work.squares, at_once=work.at_once),
        Work(kind="drift_values", amount=work.entries, at_once=work.at_once),
    )


def _start(subject: Subject) -> EachMatrix:
    """The change of every matrix; of none where there is nothing to compare it with."""
    reference, number = subject.reference, subject.settings.num_vectors
    if reference is None:
        return EachMatrix(views=(), measure=lambda _: Measured())
    measure = partial(weight_drift, reference=reference, num_vectors=number)
    if not reference.archived:
        return EachMatrix(views=subject.views, measure=measure)
    own = partial(_of_reference, reference=reference, num_vectors=number)
    return EachMatrix(views=subject.views, measure=measure, beside=own)


def _of_reference(views: tuple[MatrixView, ...], *, reference: Reference, num_vectors: int) -> Measured:
    """The reference's own spectra, of the weights that were compared."""
    spectra: list[Spectrum] = []
    for view in views:
        address = view.site.address
        if (weight := reference.weights.get(address)) is None or tuple(weight.shape) != view.shape:
            continue
        with suppress(NonFiniteWeightError):  # the comparison was skipped for it, by name
            found = reference.principal(address, num_vectors)
            vectors = leading_vectors(found.left, found.right) if found.left.size else None
            spectra.append(spectrum_of(view, found.values, measurement=REFERENCE, vectors=vectors))
    return Measured(spectra=tuple(spectra))


WEIGHT_DRIFT = ParameterMeasurement(
    name=NAME,
    summary="change of each weight matrix from the reference checkpoint; comes with --vectors",
    views=_views,
    memory=_memory,
    work=_work,
    comes_with=lambda settings: settings.measures_drift,
    settings=("num_vectors",),
    start=_start,
)
