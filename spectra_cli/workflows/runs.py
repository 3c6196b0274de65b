"""The runs that a command was given: opened, told apart by name, and whether they were measured alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spectra_cli.analysis.run import Run
from spectra_cli.archive.content.layout import SUFFIX, resolve_archive
from spectra_cli.archive.content.provenance import scan_differences
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.workflows.identity.named_archive import open_all
from spectra_cli.workflows.identity.repeated import refuse_repeated

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
