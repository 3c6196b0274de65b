"""The group `scalars/<measurement>/<name>`: one number for each checkpoint and site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from spectra_cli.archive.content.layout import SCALARS_GROUP
from spectra_cli.archive.content.measurement_group import read_block_sizes, write_block_sizes
from spectra_cli.archive.content.netcdf import (
    create_checkpoint_axis,
    create_variable,
    read_text,
    text_attribute,
)
from spectra_cli.archive.content.site_axis import (
    WHOLE_MODEL,
    address_of,
    read_sites,
    site_axis,
    write_site_axis,
)
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import CheckpointSpectra, FloatArray, Scalar, Status

Placed = tuple[int, Scalar]


def scalar_groups(checkpoint: CheckpointSpectra) -> dict[str, list[Placed]]:
    """The scalars of one checkpoint by group, each with its position in the checkpoint.

    Raises:
        ArchiveError: two of one name at one site, or a name that no group can have.
    """
    groups: dict[str, list[Placed]] = {}
    seen: set[tuple[str, str]] = set()
    for position, scalar in enumerate(checkpoint.scalars):
        for part in (scalar.measurement, scalar.name):
            if not part or "/" in part or part == ".":
                raise ArchiveError(
                    f"cannot archive scalar {part!r}: expected a name that an HDF5 group can have"
                )
        path = f"{SCALARS_GROUP}/{scalar.measurement}/{scalar.name}"
        address = address_of(scalar.site)
        if (path, address) in seen:
            raise ArchiveError(
                f"cannot archive {checkpoint.ref.uri}: two scalars {path} at {address or 'the model'}"
            )
        seen.add((path, address))
        groups.setdefault(path, []).append((position, scalar))
    return groups


def write_scalars(
    root: Any, path: str, by_checkpoint: Sequence[Sequence[Placed]], steps: Sequence[int | None]
) -> None:
    """Write the group of one scalar, for all checkpoints.

    Raises:
        ArchiveError: its unit changes inside the series.
    """
    scalars = [scalar for one in by_checkpoint for _, scalar in one]
    units = sorted({scalar.unit for scalar in scalars})
    if len(units) > 1:
        raise ArchiveError(f"cannot archive {path}: it has several units ({', '.join(units)}), expected one")
    group = root.create_group(path, track_times=False)
    text_attribute(group, "unit", units[0])
    text_attribute(group, "coordinates", "step site_name")
    axis = site_axis([[scalar.site for _, scalar in one] for one in by_checkpoint])
    create_checkpoint_axis(group, steps)
    write_site_axis(group, axis)

    place = {address: i for i, address in enumerate(axis.addresses)}
    cells = [
        (i, place[address_of(scalar.site)], position, scalar)
        for i, one in enumerate(by_checkpoint)
        for position, scalar in one
    ]
    shape = (len(by_checkpoint), len(axis.addresses))
    num_blocks = max(len(scalar.block_sizes) for scalar in scalars)
    positions, values = np.full(shape, -1, np.int32), np.full(shape, np.nan)
    statuses = np.full(shape, b"", dtype=object)
    replicates = np.full((*shape, num_blocks), np.nan)
    for i, j, position, scalar in cells:
        positions[i, j], values[i, j] = position, scalar.value
        statuses[i, j] = scalar.status.value.encode()
        replicates[i, j, : len(scalar.block_sizes)] = scalar.delete_one_block
    dims = ["checkpoint", "site"]
    create_variable(
        group, "position", positions, dims, long_name="place among all scalars of the checkpoint", fill=-1
    )
    name = scalars[0].name
    create_variable(group, "value", values, dims, long_name=name, units=units[0], fill=np.nan)
    create_variable(
        group, "status", statuses, dims, long_name="why the value is there or not; empty: not measured"
    )
    if num_blocks:
        sizes = ((i, j, scalar.block_sizes) for i, j, _, scalar in cells)
        write_block_sizes(group, (*shape, num_blocks), sizes)
        create_variable(
            group,
            "delete_one_block",
            replicates,
            [*dims, "block"],
            long_name=f"{name} from all blocks but one",
            units=units[0],
            fill=np.nan,
        )


def read_scalars(root: Any, checkpoint: int) -> Iterator[Placed]:
    """The scalars of one checkpoint with their positions."""
    if SCALARS_GROUP not in root:
        return
    for measurement, names in root[SCALARS_GROUP].items():
        for name, group in names.items():
            yield from _read_scalar(group, measurement, name, checkpoint)


def model_scalar(root: Any, name: str) -> tuple[FloatArray, FloatArray]:
    """A number of the whole model along the checkpoints of a file, and the same without each block.

    Returns:
        (checkpoints,) and (checkpoints, blocks), NaN where there is none.
    """
    groups = root[SCALARS_GROUP].values() if SCALARS_GROUP in root else ()
    for group in (names[name] for names in groups if name in names):
        sites = list(read_text(group, "site"))
        if WHOLE_MODEL in sites:
            site = sites.index(WHOLE_MODEL)
            values = group["value"][:, site]
            blocks = "delete_one_block" in group
            return values, group["delete_one_block"][:, site] if blocks else np.empty((values.size, 0))
    count = len(root["checkpoint"])
    return np.full(count, np.nan), np.empty((count, 0))


def _read_scalar(group: Any, measurement: str, name: str, checkpoint: int) -> Iterator[Placed]:
    positions = group["position"][checkpoint]
    values, statuses = group["value"][checkpoint], read_text(group, "status", checkpoint)
    block_sizes = read_block_sizes(group, checkpoint)
    replicates = group["delete_one_block"][checkpoint] if "delete_one_block" in group else None
    for j, site in enumerate(read_sites(group, checkpoint)):
        if not statuses[j]:
            continue
        sizes = block_sizes[j]
        yield (
            int(positions[j]),
            Scalar(
                name=name,
                site=site,
                measurement=measurement,
                value=float(values[j]),
                unit=str(group.attrs["unit"]),
                status=Status(statuses[j]),
                delete_one_block=np.empty(0) if replicates is None else replicates[j, : len(sizes)],
                block_sizes=sizes,
            ),
        )
