"""Names and places: what an archive, its parts and their fields are called.

a.spectra.h5                          the archive
a.spectra.h5.parts/                   finished checkpoints that are not in it yet
    step100-1f0c6a52be.spectra.h5     one part: an archive with one checkpoint
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from spectra_cli.core.errors import ArchiveError, NoArchiveError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.types import CheckpointRef

FORMAT = "spectra-archive"
NEWEST_VERSION, SEALED_SINCE = (1, 3), (1, 3)
FORMAT_VERSION = "{}.{}".format(*NEWEST_VERSION)
SUFFIX = ".spectra.h5"
SCALARS_GROUP = "scalars"

_CHECKPOINT_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".safetensors"})


def parse_version(text: str) -> tuple[int, int] | None:
    """A format version as numbers; None where it is none that an archive can have.

    >>> parse_version("1.10"), parse_version("0.9"), parse_version("one")
    ((1, 10), None, None)
    """
    found = re.fullmatch(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", text)
    return (int(found[1]), int(found[2])) if found else None


def parts_folder(archive_path: Path) -> Path:
    """Where the parts of an archive lie: `a.spectra.h5.parts`, beside it."""
    return archive_path.with_name(archive_path.name + ".parts")


def identity(ref: CheckpointRef) -> str:
    """What makes two checkpoints of one archive the same one.

    The key where the step is known, so that a run may be moved; the key and the address where it
    is not, since `nostep` says nothing.

    >>> identity(CheckpointRef(run="a", step=5, uri="/a/step5", format="hf"))
    'step5'
    >>> identity(CheckpointRef(run="a", step=None, uri="/a/x", format="hf"))
    'nostep@/a/x'
    """
    return ref.key if ref.step is not None else f"{ref.key}@{ref.uri}"


def part_path(archive_path: Path, ref: CheckpointRef) -> Path:
    """The part file of one checkpoint: its key, readable, and a hash that keeps two uris apart."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", ref.key)[:80]
    digest = hashlib.sha256(f"{ref.key}\n{ref.uri}".encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return parts_folder(archive_path) / f"{readable}-{digest}{SUFFIX}"


def list_parts(archive_path: Path) -> tuple[Path, ...]:
    """The part files beside an archive, by name; temporary files are hidden and not among them.

    Raises:
        ArchiveError: the folder is there and cannot be listed.
    """
    folder = parts_folder(archive_path)
    try:
        return tuple(sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIX) and p.name[0] != "."))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise ArchiveError(f"cannot list {folder}: {error.strerror}. Check its permissions.") from error


def default_archive_path(checkpoint_path: AnyPath, cwd: Path) -> Path:
    """The archive that a scan writes when not told otherwise.

    >>> default_archive_path("runs/Qwen2.5-0.5B", Path("/w")).as_posix()
    '/w/Qwen2.5-0.5B.spectra.h5'
    >>> default_archive_path("runs/a/ckpt.pt", Path("/w")).as_posix()
    '/w/ckpt.spectra.h5'
    >>> default_archive_path("EleutherAI/pythia-70m@step*", Path("/w")).as_posix()
    '/w/pythia-70m@step.spectra.h5'
    """
    address, at, revision = os.fspath(checkpoint_path).partition("@")
    if at and not os.path.exists(cwd / checkpoint_path):
        safe = re.sub(r"[^\w.]+", "-", revision).strip("-")
        return cwd / f"{Path(address).name}@{safe}{SUFFIX}"
    path = Path(os.path.abspath(cwd / checkpoint_path))
    name = path.stem if path.suffix in _CHECKPOINT_SUFFIXES else path.name
    return cwd / f"{name or 'root'}{SUFFIX}"


def archives_meant(name: AnyPath, cwd: Path) -> tuple[Path, ...]:
    """All archives that `name` may mean, the one that it does mean first; see `resolve_archive`."""
    return tuple(
        path
        for path in _candidates(name, cwd)
        if (path.is_file() and path.suffix not in _CHECKPOINT_SUFFIXES) or parts_folder(path).is_dir()
    )


def _candidates(name: AnyPath, cwd: Path) -> list[Path]:
    own, scanned = cwd / name, default_archive_path(name, cwd)
    if own.name.endswith(SUFFIX):
        return [own]
    beside = own.parent / scanned.name
    is_scanned = os.path.realpath(beside) == os.path.realpath(scanned)
    return [own, scanned] if is_scanned else [own, scanned, beside]


def resolve_archive(name: AnyPath, cwd: Path) -> Path:
    """The archive meant by `name`: its own path, or the checkpoint folder it was scanned from.

    That of a folder lies in the working directory, where a scan writes it, or else beside the folder. An
    archive that so far exists as parts only is found too.

    Raises:
        ArchiveError: neither is there, with the list of what was looked for.
    """
    if found := archives_meant(name, cwd):
        return found[0]
    candidates = _candidates(name, cwd)
    made_of = f"CKPT_DIR -o {os.fspath(name)}" if len(candidates) == 1 else os.fspath(name)
    make = f"spectra scan {made_of}"
    raise NoArchiveError(
        f"no archive for {os.fspath(name)!r}: looked for {' and '.join(map(str, candidates))} (and "
        f"unfinished parts). Give the path of a {SUFFIX} file, or make one with `{make}`."
    )


_STAGE = re.compile(r"stage(\d+)")
_DIGITS = re.compile(r"(\d+)")


def natural_order(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key under which `x9` comes before `x10`.

    >>> sorted(["x10", "x9"], key=natural_order)
    ['x9', 'x10']
    """
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in _DIGITS.split(text))


def checkpoint_order(ref: CheckpointRef) -> tuple[object, ...]:
    """The order of checkpoints in an archive: by stage, step, label, address; unknown steps last.

    Steps of runs in stages start anew with each: their labels begin with `stage1`, `stage2`.
    """
    unknown = ref.step is None
    stage = _STAGE.match(ref.label)
    return (
        unknown,
        0 if stage is None else int(stage[1]),
        -1 if unknown else ref.step,
        "" if unknown else ref.label,
        natural_order(ref.uri),
        ref.label,
    )
