"""Files that nothing vouches for are first walked by another process, under limits of time and memory.

HDF5 was not made for damaged files: a few wrong bytes make it loop, crash or take all memory there is.
Archives without a valid seal (older versions, damaged ones, HDF5 files of other tools) therefore meet it
first in a child that may die of them.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
from h5py import h5a, h5t

from spectra_cli.archive.content.vectors import SIDES
from spectra_cli.archive.file.structure import check_structure
from spectra_cli.core.errors import ArchiveError

# Reading 167 MB of archive takes about a second; a file that is nothing but damage takes none.
_SECONDS, _BYTES_A_SECOND = 10, 5_000_000
_MEMORY_BYTES = 2 << 30
_WALL_CLOCK_FACTOR = 4  # on a machine that others use too
_READABLE = (h5t.INTEGER, h5t.FLOAT, h5t.STRING)

Signature = tuple[int, ...]


def signature_of(descriptor: int) -> Signature:
    """Of an open file: changes whenever another one takes its place or it is written to."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def walk_in_child(paths: Sequence[Path], *, seconds: int = _SECONDS) -> dict[Path, Signature]:
    """Have each file read from end to end by one child process.

    Args:
        paths: of HDF5 files.
        seconds: of processor time that a small file may take; large ones get more.

    Returns:
        For each path the signature of the file that was read.

    Raises:
        ArchiveError: for the first of them that could not be read to its end; the rest is not looked at.
    """
    allowed = len(paths) * seconds + sum(path.stat().st_size for path in paths) // _BYTES_A_SECOND
    program = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        "from spectra_cli.archive.file.guard import walk_files; walk_files(int(sys.argv[2]), sys.argv[3:])"
    )
    here = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", program, json.dumps([here, *sys.path]), str(allowed)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [*command, *map(os.path.abspath, paths)],
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_WALL_CLOCK_FACTOR * allowed,
        )
        printed, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        printed, code = error.stdout or b"", -signal.SIGXCPU
    answers = [json.loads(line) for line in printed.splitlines()]
    for path, answer in zip(paths, answers, strict=False):
        if isinstance(answer, str):
            raise damaged(path, answer)
    if len(answers) < len(paths):
        raise damaged(paths[len(answers)], _how_it_ended(code, allowed))
    return {path: tuple(answer) for path, answer in zip(paths, answers, strict=True)}


def _how_it_ended(code: int, allowed: int) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"reading it came to no end within {allowed} seconds and {_MEMORY_BYTES >> 30} GiB"
    return f"reading it ended the process that tried it, with code {code}"


def damaged(path: Path, found: str) -> ArchiveError:
    """The error for a file that was an archive once."""
    return ArchiveError(
        f"{path} is damaged ({found}). It cannot be read in full; nothing was guessed. "
        "Restore it from a copy, or move it away and scan again."
    )


def walk_files(seconds: int, paths: Sequence[str]) -> None:
    """In the child: read each file and print its signature, or what is wrong with it, as a line of JSON."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    memory = taken * resource.getpagesize() + _MEMORY_BYTES
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, most))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path in paths:
        try:
            answer: Any = _walk(Path(path))
        except ArchiveError as error:
            answer = str(error)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _walk(path: Path) -> Signature:
    with path.open("rb") as stream, h5py.File(path, "r", locking=False) as root:
        check_structure(path, root, stream.fileno())
        _read_group(root)
        return signature_of(stream.fileno())


def _read_group(group: Any) -> None:
    _read_attributes(group)
    for node in group.values():
        if isinstance(node, h5py.Group):
            _read_group(node)
        elif isinstance(node, h5py.Dataset):
            _read_attributes(node)
            _read_dataset(node)


def _read_attributes(node: Any) -> None:
    for name in node.attrs:
        if h5a.open(node.id, os.fsencode(name)).get_type().get_class() in _READABLE:
            node.attrs[name]


def _read_dataset(dataset: Any) -> None:
    if dataset.id.get_type().get_class() not in _READABLE or dataset.shape is None:
        return
    if dataset.chunks is None:
        dataset[()]
        return
    cells = len(SIDES) if dataset.name.rpartition("/")[2] in SIDES else 1
    for chunk in dataset.iter_chunks():
        dataset[chunk[:cells]]
