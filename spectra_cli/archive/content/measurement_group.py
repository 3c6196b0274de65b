"""One group a measurement: its spectra along checkpoint, site, block and rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.archive.content.canonical import vectors_digest
from spectra_cli.archive.content.layout import SCALARS_GROUP
from spectra_cli.archive.content.netcdf import (
    create_checkpoint_axis,
    create_dimension,
    create_rows,
    create_variable,
    text_attribute,
)
from spectra_cli.archive.content.site_axis import read_sites, site_axis, write_site_axis
from spectra_cli.archive.content.vectors import create_vectors, read_vectors, write_vectors
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import CheckpointSpectra, Site, Spectrum, SpectrumKind

VALUES_NAME = {SpectrumKind.EIGENVALUES: "eigenvalues", SpectrumKind.SINGULAR_VALUES: "singular_values"}

# name -> (type, fill, long_name): what stands beside each spectrum, along checkpoint and site
PER_SPECTRUM: dict[str, tuple[type, float | None, str]] = {
    "position": (np.int32, -1, "place of the spectrum among all of its checkpoint"),
    "num_values": (np.int32, None, "values stored; 0: not measured"),
    "num_samples": (np.int64, -1, "rows that the spectrum is made of"),
    "ambient_dim": (np.int64, -1, "dimension of the space the rows live in"),
    "centered": (np.int8, -1, "1: the mean row was subtracted first"),
    "zero_threshold": (np.float64, np.nan, "values at or below it are numerically zero"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumHeader:
    """A spectrum without its arrays, and its position among all spectra of its checkpoint."""

    position: int
    site: Site
    measurement: str
    kind: SpectrumKind
    unit: str
    num_values: int
    num_samples: int
    ambient_dim: int
    centered: bool
    zero_threshold: float
    block_sizes: tuple[int, ...]
    vectors_digest: str
    right_shape: tuple[int, int]
    left_shape: tuple[int, int]


def spectrum_headers(checkpoint: CheckpointSpectra) -> list[SpectrumHeader]:
    """The headers of one checkpoint.

    Raises:
        ArchiveError: a measurement has two spectra at one site, or a name that no group can have.
    """
    seen: set[tuple[str, str]] = set()
    for spectrum in checkpoint.spectra:
        name, address = spectrum.measurement, spectrum.site.address
        if not name or "/" in name or name in (".", SCALARS_GROUP):
            raise ArchiveError(
                f"cannot archive measurement {name!r}: expected a name that an HDF5 group can have"
            )
        if (name, address) in seen:
            raise ArchiveError(f"cannot archive {checkpoint.ref.uri}: {name} has two spectra at {address}")
        seen.add((name, address))
    return [
        SpectrumHeader(
            position=position,
            site=s.site,
            measurement=s.measurement,
            kind=s.kind,
            unit=s.unit,
            num_values=s.values.size,
            num_samples=s.num_samples,
            ambient_dim=s.ambient_dim,
            centered=s.centered,
            zero_threshold=s.zero_threshold,
            block_sizes=s.block_sizes,
            vectors_digest=vectors_digest(s.vectors),
            right_shape=_shape(None if s.vectors is None else s.vectors.right),
            left_shape=_shape(None if s.vectors is None else s.vectors.left),
        )
        for position, s in enumerate(checkpoint.spectra)
    ]


def _shape(side: NDArray[np.float32] | None) -> tuple[int, int]:
    return (0, 0) if side is None else (int(side.shape[0]), int(side.shape[1]))


def create_measurement(
    root: Any, name: str, by_checkpoint: Sequence[Sequence[SpectrumHeader]], steps: Sequence[int | None]
) -> None:
    """Create the group of one measurement, complete but for the rows of its large arrays.

    Raises:
        ArchiveError: its kind or unit changes inside the series.
    """
    headers = [h for one in by_checkpoint for h in one]
    kinds = {(h.kind, h.unit) for h in headers}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{k.value} in {u!r}" for k, u in kinds))
        raise ArchiveError(
            f"cannot archive {name}: its spectra are of several kinds or units ({found}), expected one"
        )
    kind, unit = kinds.pop()
    group = root.create_group(name, track_times=False)
    for key, text in (("kind", kind.value), ("unit", unit), ("coordinates", "step site_name")):
        text_attribute(group, key, text)

    axis = site_axis([[h.site for h in one] for one in by_checkpoint])
    create_checkpoint_axis(group, steps)
    write_site_axis(group, axis)
    num_ranks = max(h.num_values for h in headers)
    create_dimension(
        group, "rank", np.arange(1, num_ranks + 1), long_name="place in descending order, from 1"
    )
    shape = (len(by_checkpoint), len(axis.addresses))
    place = {address: i for i, address in enumerate(axis.addresses)}
    for field, (dtype, fill, long_name) in PER_SPECTRUM.items():
        table: NDArray[Any] = np.full(shape, 0 if fill is None else fill, dtype=dtype)
        for i, one in enumerate(by_checkpoint):
            for h in one:
                table[i, place[h.site.address]] = getattr(h, field)
        create_variable(group, field, table, ["checkpoint", "site"], long_name=long_name, fill=fill)
    dims = ["checkpoint", "site", "rank"]
    create_rows(
        group,
        VALUES_NAME[kind],
        (*shape, num_ranks),
        np.float64,
        dims,
        long_name=f"{name} spectrum",
        units=unit,
    )

    create_vectors(
        group,
        kind,
        shape,
        (
            (i, place[h.site.address], h.vectors_digest, h.right_shape, h.left_shape)
            for i, one in enumerate(by_checkpoint)
            for h in one
            if h.vectors_digest
        ),
    )
    num_blocks = max(len(h.block_sizes) for h in headers)
    if num_blocks:
        cells = (
            (i, place[h.site.address], h.block_sizes) for i, one in enumerate(by_checkpoint) for h in one
        )
        write_block_sizes(group, (*shape, num_blocks), cells)
        create_rows(
            group,
            "block_profile",
            (*shape, num_blocks, num_ranks),
            np.float32,
            ["checkpoint", "site", "block", "rank"],
            long_name="variance that one block puts on each principal direction, on the eigenvalue scale",
            units=unit if kind is SpectrumKind.EIGENVALUES else f"({unit})^2",
        )


def write_block_sizes(
    group: Any, shape: tuple[int, int, int], cells: Iterable[tuple[int, int, tuple[int, ...]]]
) -> None:
    """Write the dimension `block` and the samples in each block of each (checkpoint, site) cell."""
    create_dimension(group, "block", np.arange(shape[2]), long_name="block of the probe, from 0")
    sizes = np.full(shape, -1, dtype=np.int64)
    for i, j, block_sizes in cells:
        sizes[i, j, : len(block_sizes)] = block_sizes
    create_variable(
        group,
        "block_sizes",
        sizes,
        ["checkpoint", "site", "block"],
        long_name="samples in each block",
        fill=-1,
    )


def read_block_sizes(group: Any, checkpoint: int) -> list[tuple[int, ...]]:
    """For each site, the sizes of its blocks; all empty where the group has no blocks."""
    if "block_sizes" not in group:
        return [()] * len(group["site"])
    return [tuple(row[row >= 0].tolist()) for row in group["block_sizes"][checkpoint]]


def write_spectra(group: Any, checkpoint: int, spectra: Sequence[Spectrum]) -> None:
    """Fill one checkpoint's row of the large arrays."""
    if not spectra:
        return
    values_name = VALUES_NAME[spectra[0].kind]
    place = {address: i for i, address in enumerate(group["site"].asstr()[()])}
    values = np.full(group[values_name].shape[1:], np.nan)
    profile = (
        np.full(group["block_profile"].shape[1:], np.nan, np.float32) if "block_profile" in group else None
    )
    for s in spectra:
        site = place[s.site.address]
        values[site, : s.values.size] = s.values
        if profile is not None and s.block_profile is not None:
            profile[site, : len(s.block_sizes), : s.values.size] = s.block_profile
    group[values_name][checkpoint] = values
    if profile is not None:
        group["block_profile"][checkpoint] = profile
    write_vectors(group, checkpoint, place, spectra)


def read_spectra(group: Any, name: str, checkpoint: int, *, vectors: bool) -> Iterator[tuple[int, Spectrum]]:
    """The spectra of one checkpoint with their positions, and their vectors if asked for: the inverse
    of writing.
    """
    fields = {field: group[field][checkpoint] for field in PER_SPECTRUM}
    if not fields["num_values"].any():
        return
    kind, unit = SpectrumKind(group.attrs["kind"]), str(group.attrs["unit"])
    values = group[VALUES_NAME[kind]][checkpoint]
    profile = group["block_profile"][checkpoint] if "block_profile" in group else None
    block_sizes = read_block_sizes(group, checkpoint)
    for i, site in enumerate(read_sites(group, checkpoint)):
        size, sizes = int(fields["num_values"][i]), block_sizes[i]
        if not size or site is None:
            continue
        yield (
            int(fields["position"][i]),
            Spectrum(
                site=site,
                measurement=name,
                kind=kind,
                values=values[i, :size],
                num_samples=int(fields["num_samples"][i]),
                ambient_dim=int(fields["ambient_dim"][i]),
                centered=bool(fields["centered"][i]),
                unit=unit,
                zero_threshold=float(fields["zero_threshold"][i]),
                block_profile=None if profile is None or not sizes else profile[i, : len(sizes), :size],
                block_sizes=sizes,
                vectors=read_vectors(group, kind, checkpoint, i) if vectors else None,
            ),
        )
