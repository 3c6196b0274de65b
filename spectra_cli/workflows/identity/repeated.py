"""One run given twice: the same archive, a copy of it, or the same checkpoints measured alike again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations

from spectra_cli.archive.content.provenance import scan_differences
from spectra_cli.archive.reader import Archive
from spectra_cli.core.errors import UsageError
from spectra_cli.core.paths import AnyPath


def refuse_repeated(
    names: Sequence[AnyPath], archives: Sequence[Archive], so: str, *, measured_alike: bool = True
) -> None:
    """Refuse one run that is given as two.

    Args:
        names: as the user gave them; archives: what they stand for.
        so: what follows from it, for the message.
        measured_alike: False where equal tensors are the same run also if they were measured otherwise.

    Raises:
        UsageError: two of them are the same.
    """
    for (name, first), (other, second) in combinations(zip(names, archives, strict=True), 2):
        if why := how_repeated(first, second, measured_alike=measured_alike):
            raise UsageError(f"{os.fspath(name)} and {os.fspath(other)} {why}: {so}")


def how_repeated(first: Archive, second: Archive, *, measured_alike: bool = True) -> str:
    """In what way two archives are one and the same; empty where they are not.

    A copy that was made before its original was finished is a copy. Equal tensors that were measured
    otherwise are two measurements, which can be compared.
    """
    if first.path.resolve() == second.path.resolve():
        return f"are the same archive, {first.path}"
    entries = [archive.entries for archive in (first, second)]
    if _one_in_the_other(*([entry.row.content_digest for entry in one] for one in entries)):
        return f"are copies of the same archive, {first.path} and {second.path}"
    tensors = [[entry.row.info.digest for entry in one] for one in entries]
    alike = not measured_alike or not scan_differences(first.provenance, second.provenance)
    if alike and all(map(all, tensors)) and set(tensors[0]) == set(tensors[1]):
        return f"are two scans of the same {len(set(tensors[0]))} checkpoint(s), tensor for tensor"
    return ""


def _one_in_the_other(first: Sequence[str], second: Sequence[str]) -> bool:
    return set(first) <= set(second) or set(second) <= set(first)
