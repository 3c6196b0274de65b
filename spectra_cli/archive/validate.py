"""Checking an archive against its format document (docs/reference/archive-format.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.archive.content.checkpoint_table import required_columns
from spectra_cli.archive.content.layout import SCALARS_GROUP, identity
from spectra_cli.archive.content.measurement_group import PER_SPECTRUM, VALUES_NAME
from spectra_cli.archive.content.vectors import COUNT, DIGEST, SIDES, sides_of
from spectra_cli.archive.file.file_access import has_seal, opened
from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.archive.rewritten import unlike_rewritten
from spectra_cli.archive.single_file import check_header
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.types import SpectrumKind
from spectra_cli.core.words.plurals import counted

# The profile is float32 and its mean a sum of a few non-negative terms: each is off by at most 2^-24
# of itself. 1e-5 leaves room for eigenvectors that were rounded before they met the block.
_PROFILE_RTOL = 1e-5
_PROFILE_ATOL_OF_LARGEST = 1e-6
# An entry of a unit vector is off by 2^-25 of itself at most, a product of two by 2^-24 by Cauchy-Schwarz.
_ORTHONORMAL_ATOL = 1e-6


class Severity(StrEnum):
    """Whether a finding breaks the format or only deserves a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing found: how grave, where in which file, and what."""

    severity: Severity
    where: str
    message: str


def _error(where: str, message: str) -> Fault:
    return Fault(severity=Severity.ERROR, where=where, message=message)


def _warning(where: str, message: str) -> Fault:
    return Fault(severity=Severity.WARNING, where=where, message=message)


def validate(path: AnyPath) -> tuple[Fault, ...]:
    """Everything wrong or worth knowing about an archive and its parts; empty if all is well.

    Every number is read and every digest computed again.
    """
    path = Path(path)
    try:
        archive = open_archive(path)
    except ArchiveError as error:
        return (_error(str(path), str(error)),)
    files = dict.fromkeys(entry.file for entry in archive.entries)
    return (
        *(finding for file in files for finding in _check_structure(file)),
        *_check_content(archive),
        *_check_series(archive),
        *(_error(str(part.path), part.reason) for part in archive.damaged),
        *_check_finished(archive),
        *([_warning(str(path), mixture)] if (mixture := archive.mixture) else ()),
        *(
            _warning(
                str(part), "finished but not merged yet; it is read with the archive. Scan again to merge it."
            )
            for part in archive.parts
        ),
    )


def _check_finished(archive: Archive) -> Iterator[Fault]:
    owed = archive.unfinished
    if owed is not None and owed.asked > owed.measured:
        yield _warning(str(archive.path), owed.words())


def _check_structure(path: Path) -> Iterator[Fault]:
    """Names, dimensions and numbers of one file, read without the reader."""
    try:
        with opened(path) as root:
            check_header(path, root)
            table: dict[str, tuple[str, ...]] = dict.fromkeys(required_columns(root), ("checkpoint",))
            yield from _check_variables(f"{path}:/", root, table)
            for name, group in root.items():
                where = f"{path}:/{name}"
                if name == SCALARS_GROUP:
                    for scalar in (s for names in group.values() for s in names.values()):
                        yield from _check_scalar(f"{path}:{scalar.name}", scalar)
                elif hasattr(group, "items"):
                    yield from _check_measurement(where, group)
            yield from _check_axes(path, root)
            vouched_for = has_seal(root)
        if not vouched_for:
            for place, difference in unlike_rewritten(path):
                yield _error(f"{path}:{place}", difference)
    except ArchiveError as error:
        yield _error(str(path), str(error))


def _check_variables(where: str, group: Any, expected: dict[str, tuple[str, ...]]) -> Iterator[Fault]:
    for name, dims in expected.items():
        missing = [dim for dim in dims if dim not in group or not group[dim].is_scale]
        if missing:
            yield _error(where, f"no dimension scale {', '.join(missing)}")
        elif name not in group:
            yield _error(where, f"no variable {name}")
        elif group[name].shape != (shape := tuple(len(group[dim]) for dim in dims)):
            yield _error(where, f"{name} has shape {group[name].shape}, expected {dims} = {shape}")
        else:
            attached = [[scale.name for scale in axis.values()] for axis in group[name].dims]
            if attached != [[group[dim].name] for dim in dims]:
                yield _error(where, f"{name} is not attached to the dimension scales {dims}")


def _check_axes(path: Path, root: Any) -> Iterator[Fault]:
    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if name.endswith("/checkpoint") and len(node) != len(root["checkpoint"]):
            found.append(name)

    root.visititems(visit)
    for name in found:
        yield _error(f"{path}:/{name}", "has another length than the dimension `checkpoint` of the root")


def _check_scalar(where: str, group: Any) -> Iterator[Fault]:
    two = ("checkpoint", "site")
    dims: dict[str, tuple[str, ...]] = {"step": two[:1], "site_name": two[1:], "value": two, "status": two}
    if "block" in group:
        dims |= dict.fromkeys(("block_sizes", "delete_one_block"), (*two, "block"))
    yield from _check_variables(where, group, dims)


def _check_measurement(where: str, group: Any) -> Iterator[Fault]:
    kind, two = group.attrs.get("kind"), ("checkpoint", "site")
    if kind not in VALUES_NAME or "unit" not in group.attrs:
        yield _error(
            where, f"attribute kind is {kind!r}, expected eig or sv, and an attribute unit beside it"
        )
        return
    values_name = VALUES_NAME[SpectrumKind(kind)]
    dims: dict[str, tuple[str, ...]] = {"step": two[:1], "site_name": two[1:], values_name: (*two, "rank")}
    dims |= dict.fromkeys(PER_SPECTRUM, two)
    if "block" in group:
        dims |= {"block_sizes": (*two, "block"), "block_profile": (*two, "block", "rank")}
    sides = sides_of(SpectrumKind(kind)) if "vector" in group else ()
    if sides:
        dims |= {COUNT: two, DIGEST: two} | {name: (*two, "vector", SIDES[name]) for name in sides}
    problems = list(_check_variables(where, group, dims))
    yield from problems
    if problems:
        return
    sites = group["site"].asstr()[()]
    for i in range(len(group["checkpoint"])):
        values, counts = group[values_name][i], group["num_values"][i]
        profile = group["block_profile"][i] if "block" in group else None
        for j, site in enumerate(sites):
            at = f"{where}[{i}, {site}]"
            yield from _check_values(at, values[j], int(counts[j]))
            if profile is not None and counts[j]:
                eigenvalues = values[j] if kind == SpectrumKind.EIGENVALUES else values[j] ** 2
                sizes = group["block_sizes"][i, j]
                yield from _check_profile(at, eigenvalues[: counts[j]], profile[j], sizes[sizes >= 0])
            for name in sides:
                of = "ambient_dim" if name == "right_vectors" else "num_samples"
                number, width = int(group[COUNT][i, j]), int(group[of][i, j])
                yield from _check_vectors(f"{at}: {name}", group[name][i, j], number, width, int(counts[j]))


def _check_values(where: str, row: NDArray[np.float64], num_values: int) -> Iterator[Fault]:
    values, padding = row[:num_values], row[num_values:]
    if num_values > row.size or not np.isnan(padding).all():
        yield _error(
            where, f"num_values is {num_values}, but {int((~np.isnan(row)).sum())} values are stored"
        )
    if not np.isfinite(values).all():
        yield _error(where, "values are not all finite")
    elif (values < 0).any():
        yield _error(where, "values are negative")
    elif (np.diff(values) > 0).any():
        yield _error(where, "values are not in descending order")


def _check_profile(
    where: str, eigenvalues: NDArray[np.float64], profile: NDArray[np.float32], sizes: NDArray[np.int64]
) -> Iterator[Fault]:
    if not sizes.sum():
        return
    mean = np.average(profile[: sizes.size, : eigenvalues.size].astype(np.float64), axis=0, weights=sizes)
    allowed = _PROFILE_RTOL * eigenvalues + _PROFILE_ATOL_OF_LARGEST * eigenvalues[0]
    wrong = ~(np.abs(mean - eigenvalues) <= allowed)
    if wrong.any():
        rank = int(np.argmax(wrong))
        yield _error(
            where,
            f"at rank {rank + 1} the block profile's mean is {mean[rank]:.6g}, "
            f"but the eigenvalue {eigenvalues[rank]:.6g}",
        )


def _check_vectors(
    where: str, padded: NDArray[np.float32], number: int, width: int, num_values: int
) -> Iterator[Fault]:
    vectors = padded[:number, : max(width, 0)].astype(np.float64)
    if number > num_values or number > padded.shape[0] or width > padded.shape[1]:
        yield _error(
            where,
            f"{counted(number, 'vector')} of {counted(width, 'entry', 'entries')} for "
            f"{counted(num_values, 'value')}",
        )
    elif np.isfinite(padded).sum() != vectors.size or not np.isfinite(vectors).all():
        yield _error(where, f"expected exactly {number} vectors of {width} finite entries")
    elif number and (off := np.abs(vectors @ vectors.T - np.eye(number)).max()) > _ORTHONORMAL_ATOL:
        yield _error(where, f"the vectors are not orthonormal: a product of two is off by {off:.2g}")


def _check_content(archive: Archive) -> Iterator[Fault]:
    for index, entry in enumerate(archive.entries):
        try:
            archive.checkpoint(index)
        except ArchiveError as error:
            yield _error(f"{entry.file}: {identity(entry.row.ref)}", str(error))


def _check_series(archive: Archive) -> Iterator[Fault]:
    path = str(archive.path)
    by_digest: dict[str, list[str]] = {}
    for entry in archive.entries:
        if entry.row.info.digest:
            by_digest.setdefault(entry.row.info.digest, []).append(identity(entry.row.ref))
    for names in by_digest.values():
        if len(names) > 1:
            yield _warning(
                path, f"{', '.join(names)} have identical tensors: was a checkpoint saved or copied twice?"
            )
    if archive.provenance.probe.synthetic:
        yield _warning(
            path, "the probe is synthetic: random tokens, good for smoke runs, and they mean nothing"
        )
