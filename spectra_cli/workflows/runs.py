"""The runs that a command was given: opened, told apart, none given twice, and whether they were measured
alike.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from spectra_cli.analysis.run import Run
from spectra_cli.archive.content.layout import SUFFIX, resolve_archive
from spectra_cli.archive.content.provenance import scan_differences
from spectra_cli.archive.reader import Archive
from spectra_cli.core.errors import ArchiveError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.words.plurals import counted
from spectra_cli.workflows.identity.named_archive import open_all

# Settings that change the same model's activation spectra, or their errors, beyond rounding.
_BINDING = (
    "settings.dtype",
    "settings.normalize",
    "settings.num_sequences",
    "settings.pool",
    "settings.sequence_length",
    "settings.targets",
    "versions.numerics",
)
_BINDING_OF_GRADIENTS = "settings.num_gradient_sequences"


def open_runs(
    names: Sequence[AnyPath], *, so: str = "leave one of them out", measured_alike: bool = True
) -> tuple[Run, ...]:
    """The runs, named by archive or by the folder that was scanned.

    Args:
        so: what follows where one run is given as two, for the message.
        measured_alike: False where equal tensors are the same run also if they were measured otherwise.

    Raises:
        ArchiveError: one is not there, or damaged.
        UsageError: two of them are the same archive, or of the same checkpoints.
    """
    archives = open_all(names)
    refuse_repeated(names, archives, so, measured_alike=measured_alike)
    labels = labels_of([archive.path for archive in archives])
    return tuple(Run(name=label, series=one) for label, one in zip(labels, archives, strict=True))


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Names of archives, as short as they can be and still differ."""
    names = [path.name.removesuffix(SUFFIX) for path in paths]
    if len(set(names)) < len(set(paths)):
        names = [f"{path.absolute().parent.name}/{name}" for path, name in zip(paths, names, strict=True)]
    if len(set(names)) < len(set(paths)):
        names = [str(path).removesuffix(SUFFIX) for path in paths]
    return names


def place_among(names: Sequence[AnyPath], name: AnyPath) -> int | None:
    """The place among `names`, all of archives, of the first that stands for the same, however spelled."""
    files = [resolve_archive(one, Path.cwd()).resolve() for one in names]
    try:
        file = resolve_archive(name, Path.cwd()).resolve()
    except ArchiveError:
        return None
    return files.index(file) if file in files else None


def differing_scans(runs: Sequence[Run], *, of_gradients: bool = False) -> tuple[str, ...]:
    """In what the runs were measured differently, of what a number of their activations depends on.

    Args:
        of_gradients: the number is of gradients, which depend on their own number of sequences too.
    """
    binding = (*_BINDING, *([_BINDING_OF_GRADIENTS] if of_gradients else []))
    found = (
        sentence
        for run in runs[1:]
        for name, sentence in scan_differences(runs[0].series.provenance, run.series.provenance).items()
        if name in binding or name.startswith("probe.")
    )
    return tuple(dict.fromkeys(found))


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
    contents = [{entry.row.content_digest for entry in one} for one in entries]
    if contents[0] <= contents[1] or contents[1] <= contents[0]:
        return f"are copies of the same archive, {first.path} and {second.path}"
    tensors = [[entry.row.info.digest for entry in one] for one in entries]
    alike = not measured_alike or not scan_differences(first.provenance, second.provenance)
    if alike and all(map(all, tensors)) and set(tensors[0]) == set(tensors[1]):
        return f"are two scans of the same {counted(len(set(tensors[0])), 'checkpoint')}, tensor for tensor"
    return ""
