"""A file without a seal against the same file written anew from what its digests vouch for.

The digests cover numbers and facts. Coordinates, attributes and padding they do not; these follow from
the rest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spectra_cli.archive.content.notice_kinds import KINDS
from spectra_cli.archive.file.file_access import opened
from spectra_cli.archive.single_file import Entry, read_checkpoints, read_entries
from spectra_cli.archive.writer import write_series
from spectra_cli.core.types import CheckpointSpectra, Provenance

# What is compared elsewhere: the version, its digest, references to places in the file. Kinds of notices are
# covered by the digest, and older files have none.
_OTHERWISE = frozenset(
    {"format_version", "table_digest", "DIMENSION_LIST", "REFERENCE_LIST", f"probe_{KINDS}"}
)


@dataclass(frozen=True, slots=True)
class _Verified:
    """The checkpoints of a file, read one by one as often as asked for."""

    entries: Sequence[Entry]
    shared: Provenance

    def __iter__(self) -> Iterator[CheckpointSpectra]:
        return read_checkpoints(self.entries, self.shared)


def unlike_rewritten(path: Path) -> Iterator[tuple[str, str]]:
    """Where a file differs from what its own content would be written as.

    Yields:
        (place in the file, what differs).

    Raises:
        ArchiveError: it cannot be read, or a digest does not match.
    """
    shared, entries, statement = read_entries(path)
    with tempfile.TemporaryDirectory() as folder:
        anew = Path(folder) / "anew.spectra.h5"
        write_series(anew, _Verified(entries, shared), statement)
        with opened(path) as found, opened(anew) as expected:
            yield from _unlike(found, expected)


def _unlike(found: Any, expected: Any) -> Iterator[tuple[str, str]]:
    yield from _unlike_attributes(found, expected)
    if isinstance(found, h5py.Dataset) != isinstance(expected, h5py.Dataset):
        yield found.name, "is a group, expected a variable, or the other way round"
    elif isinstance(found, h5py.Dataset):
        # a newer version knows more values that may be unknown; the table's digest covers those of this one
        if found.name != "/unknown":
            yield from _unlike_values(found, expected)
    else:
        for name in found:
            # what is not described may be there
            if name in expected:
                yield from _unlike(found[name], expected[name])


def _unlike_attributes(found: Any, expected: Any) -> Iterator[tuple[str, str]]:
    names = set(expected.attrs) - _OTHERWISE
    for name in sorted(names):
        if name not in found.attrs:
            yield found.name, f"has no attribute {name}"
        elif not _same(found.attrs[name], expected.attrs[name]):
            yield (
                found.name,
                f"has the attribute {name} {found.attrs[name]!r}, expected {expected.attrs[name]!r}",
            )


def _unlike_values(found: Any, expected: Any) -> Iterator[tuple[str, str]]:
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        yield found.name, f"is {found.dtype} {found.shape}, expected {expected.dtype} {expected.shape}"
        return
    for row in range(len(found)):
        if not _same(found[row], expected[row]):
            yield found.name, f"differs at {row} from what the archive's own digests say"
            return


def _same(found: Any, expected: Any) -> bool:
    """Bit for bit; a NaN equals the same NaN."""
    one, other = np.asarray(found), np.asarray(expected)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return bool((one == other).all()) if one.dtype == object else one.tobytes() == other.tobytes()
