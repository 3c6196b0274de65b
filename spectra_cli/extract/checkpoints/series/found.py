"""A run as it is found in files: steps in names, the order of checkpoints, their identity."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.unchanged import state_as_read

# `10k` and `1.5B` are abbreviations, not integers: what follows the digits must end them.
_STEP_WORDS = tuple(
    re.compile(rf"(?<![a-z])(?:{words})[-_]?(\d{{1,18}})(?![0-9a-z]|\.\d)", re.IGNORECASE)
    for words in ("global_?step|step|iter", "checkpoint|ckpt")
)


@dataclass(kw_only=True, slots=True)
class FoundRun:
    """What the source of every format begins with: one run and its checkpoints.

    Attributes:
        run: name of the folder that was given.
        checkpoints: in order of their steps, those without one in natural order.
        format: as in the registry of formats.
        notices: about the series as a whole; every header repeats them.
    """

    run: str
    checkpoints: tuple[CheckpointRef, ...]
    format: str
    notices: tuple[str, ...] = ()

    def refs(self) -> Sequence[CheckpointRef]:
        """The checkpoints, ordered by step."""
        return self.checkpoints


Run = TypeVar("Run", bound=FoundRun)


def parse_step(name: str) -> int | None:
    """The optimiser step that a file or folder name states, None if it states none.

    >>> [parse_step(name) for name in ("checkpoint-500", "rev-step1000", "iter_0000500", "rev-main")]
    [500, 1000, 500, None]
    >>> parse_step("checkpoint_target_reached_step000100"), parse_step("stage1-step50-tokens4B")
    (100, 50)
    """
    for pattern in _STEP_WORDS:
        if match := pattern.search(name):
            return int(match[1])
    return None


def natural_key(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sorting key under which `part2` comes before `part10`.

    >>> sorted(["part10", "part2", "main"], key=natural_key)
    ['main', 'part2', 'part10']
    """
    return tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    )


def in_series_order(refs: Iterable[CheckpointRef]) -> tuple[CheckpointRef, ...]:
    """The checkpoints by step, those without a step last in natural order, each with its own key.

    At one step the unlabelled checkpoint comes first. References that would share a key are
    labelled with the name of their file or folder.
    """
    ordered = sorted(
        refs, key=lambda ref: (ref.step is None, ref.step or 0, bool(ref.label), natural_key(ref.uri))
    )
    uses = Counter(ref.key for ref in ordered)
    return tuple(
        ref if uses[ref.key] == 1 else replace(ref, label=Path(ref.uri).name.removesuffix(".pt"))
        for ref in ordered
    )


def found_files(
    source: type[Run], files: Sequence[Path], *, format_name: str, step_of: Callable[[Path], int | None]
) -> Run | None:
    """The run whose checkpoints are files of one folder, None if there are none."""
    if not files:
        return None
    run = files[0].parent.name
    refs = (CheckpointRef(run=run, step=step_of(one), uri=str(one), format=format_name) for one in files)
    return source(run=run, checkpoints=in_series_order(refs), format=format_name)


def fingerprint(folder: Path, files: Iterable[Path]) -> str:
    """Cheap identity of a checkpoint: sha256 over relative names, sizes and modification times, of the files
    as they were when they were opened.

    Raises:
        CheckpointError: one was opened in another state before.
    """
    digest = hashlib.sha256()
    for name, file in sorted((Path(os.path.relpath(file, folder)).as_posix(), file) for file in files):
        state = state_as_read(file)
        digest.update(f"{name}\0{state.size}\0{state.modified_ns}\n".encode())
    return digest.hexdigest()
