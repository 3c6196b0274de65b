"""Where a run lies: what an archive is of, whatever part of it was scanned and however it was spelled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from spectra_cli.core.types import CheckpointRef

_HUB = "hub:"
_SNAPSHOT = re.compile(
    r"(?:^|/)models--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/(?P<commit>[0-9a-f]+)"
)
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@[^\s@\\]+)?")
# nanoGPT and others keep the checkpoints of a run in a folder of this name.
_INNER = "checkpoints"
_FILES = frozenset({".bin", ".gguf", ".pt", ".pth", ".safetensors"})


def origin_of(path: str, refs: Iterable[CheckpointRef] = ()) -> str:
    """The run that `path` is, or is a checkpoint of: a folder with links resolved, or `hub:org/name`.

    Args:
        path: as the user gives it, or the address of a checkpoint.
        refs: the checkpoints there; a folder named after the one step that all of them have is a checkpoint,
            and its run is the folder around it.

    >>> origin_of("/runs/a/checkpoint-100", [CheckpointRef(run="a", step=100, uri="", format="hf")])
    '/runs/a'
    >>> origin_of("/runs/a/checkpoints/ckpt.pt"), origin_of("EleutherAI/pythia-70m@step*")
    ('/runs/a', 'hub:EleutherAI/pythia-70m')
    """
    given = Path(os.path.abspath(path))
    if snapshot := _SNAPSHOT.search(given.as_posix()):
        return f"{_HUB}{snapshot['owner']}/{snapshot['name']}"
    if not os.path.exists(path) and (name := _HUB_NAME.fullmatch(path)):
        return f"{_HUB}{name[1]}"
    inside = given.is_file() or given.suffix in _FILES or _is_checkpoint(given, list(refs))
    folder = given.parent if inside else given
    return os.path.realpath(folder.parent if folder.name == _INNER else folder)


def origins_of(refs: Iterable[CheckpointRef]) -> tuple[str, ...]:
    """Where checkpoints lie of which nothing else is known than their addresses."""
    return tuple(dict.fromkeys(origin_of(ref.uri, [ref]) for ref in refs))


def lies_in(uri: str, path: str) -> bool:
    """Whether a checkpoint is, or lies in, the file or folder `path`, links resolved."""
    inner, outer = (Path(os.path.realpath(one)) for one in (uri, path))
    return inner.is_relative_to(outer)


def same_place(uri: str, other: str) -> bool:
    """Whether two addresses are of one file or folder, or of one snapshot of the hub in two caches."""
    snapshots = [_SNAPSHOT.search(one) for one in (uri, other)]
    if snapshots[0] and snapshots[1]:
        return snapshots[0].groups() == snapshots[1].groups()
    return os.path.realpath(uri) == os.path.realpath(other)


def _is_checkpoint(folder: Path, refs: Sequence[CheckpointRef]) -> bool:
    """Whether the folder is named after the step of all that lies in it, and nothing inside it is."""
    steps = {ref.step for ref in refs}
    if len(steps) != 1 or not _states(folder.name, *steps):
        return False
    return all(
        not _states(name, *steps)
        for ref in refs
        if (uri := Path(ref.uri)).is_relative_to(folder)
        for name in uri.relative_to(folder).parts
    )


def _states(name: str, step: int | None) -> bool:
    words = rf"(?:(?:step|iter|checkpoint|ckpt)[-_]?)0*{step}(?!\d)"
    return step is not None and (re.search(words, name, re.IGNORECASE) is not None or name == str(step))
