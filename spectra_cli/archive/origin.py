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


def run_folders(refs: Iterable[CheckpointRef]) -> dict[str, list[CheckpointRef]]:
    """Checkpoints by the run folder that their addresses show: more than one where they are of two runs.

    An address shows it where a part of it states the checkpoint's step, or it is of a file in a folder; of a
    folder inside another, both are one run. What shows nothing is left out.

    >>> uris = ("/a/out/step1", "/a/out/checkpoints/ckpt_2.pt", "/b/out/step3/model.pt")
    >>> refs = [CheckpointRef(run="out", step=n, uri=u, format="hf") for n, u in enumerate(uris, start=1)]
    >>> list(run_folders(refs)), list(run_folders(refs[:2]))
    (['/a/out', '/b/out'], ['/a/out'])
    """
    found: dict[str, list[CheckpointRef]] = {}
    for ref in refs:
        if (folder := _run_folder(ref)) is not None:
            found.setdefault(folder, []).append(ref)
    outermost: dict[str, list[CheckpointRef]] = {}
    for folder, held in found.items():
        around = min((one for one in found if _is_around(one, folder)), key=len)
        outermost.setdefault(around, []).extend(held)
    return outermost


def covers(origins: Iterable[str], folder: str) -> bool:
    """Whether a folder is, lies in or lies around one of these."""
    return any(_is_around(one, folder) or _is_around(folder, one) for one in origins)


def _run_folder(ref: CheckpointRef) -> str | None:
    if ref.step is None:
        return None
    if snapshot := _SNAPSHOT.search(ref.uri):
        return f"{_HUB}{snapshot['owner']}/{snapshot['name']}"
    given = Path(ref.uri)
    named = [p for p in (given, *given.parents) if _is_named_after(p.name, ref.step)]
    if named:
        folder = named[-1].parent
    elif given.suffix in _FILES or _states(given.name, ref.step):
        folder = given.parent
    else:
        return None
    return os.path.realpath(folder.parent if folder.name == _INNER else folder)


def _is_named_after(name: str, step: int) -> bool:
    """Whether a folder or file is called after the step: `step100`, `000100`; `seed100` is not."""
    words = rf"(?:.*(?:step|iter|checkpoint|ckpt|model|epoch)[-_]?)?0*{step}(?:[-_.]\D.*)?"
    return re.fullmatch(words, name, re.IGNORECASE) is not None


def _is_around(outer: str, inner: str) -> bool:
    return outer == inner or (not outer.startswith(_HUB) and Path(inner).is_relative_to(outer))


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
