"""A run as it is found: steps in names, the order of checkpoints, their identity; files, or a run folder.

Checkpoints of a run folder are its children, beside weights of its own and folders that a trainer did not
finish. Trainer and PEFT share it: names with a step, `trainer_state.json` beside the weights, staging
folders.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.training import TRAINING_VALUES
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.unchanged import state_as_read
from spectra_cli.extract.checkpoints.series.trainer_state import (
    TRAINER_STATE,
    TrainerState,
    read_trainer_state,
)

# The run folder's own weights, beside checkpoints of the run.
FINAL = "final"
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


IsFolder = Callable[[Path], bool]


def find_run(
    source: type[Run],
    path: str,
    *,
    format_name: str,
    is_child: IsFolder,
    has_a_part: IsFolder,
    is_checkpoint: IsFolder,
) -> Run | None:
    """The checkpoints in `path` or directly below it, None if there are none.

    Args:
        source: of the format; its notices name folders that were left unfinished.
        is_child: whether a folder inside is meant to be a checkpoint, damaged or not.
        has_a_part: whether it has any file of the format; without one such child, none counts.
        is_checkpoint: whether `path` itself is one.
    """
    folder = Path(os.path.abspath(path))
    if not folder.is_dir():
        return None
    below = sorted(child for child in folder.iterdir() if child.is_dir())
    staged = [child for child in below if is_staged(child)]
    children = [child for child in below if child not in staged and is_child(child)]
    # A child without any of the files is damaged among others, but alone it is not of this format.
    if not any(has_a_part(child) for child in children):
        children = []
    whole = is_checkpoint(folder)
    if not children and not whole:
        return None
    refs = [_ref(child, run=folder.name, format_name=format_name) for child in children]
    if whole:
        label = FINAL if children else ""
        refs.append(_ref(folder, run=folder.name, format_name=format_name, label=label))
    unfinished = [child.name for child in staged if children and parse_step(child.name) is not None]
    notices = (f"unfinished folders are not read: {', '.join(unfinished)}",) if unfinished else ()
    return source(run=folder.name, checkpoints=in_series_order(refs), format=format_name, notices=notices)


def is_own(ref: CheckpointRef) -> bool:
    """Whether these are the run folder's own weights, not those of a folder in it that is called so."""
    return ref.label == FINAL and Path(ref.uri).name == ref.run


def is_staged(folder: Path) -> bool:
    """Whether its name is that of a folder that a trainer still fills."""
    return folder.name.startswith(("tmp", ".")) or folder.suffix == ".tmp"


def _ref(folder: Path, *, run: str, format_name: str, label: str = "") -> CheckpointRef:
    step = None if label == FINAL else parse_step(folder.name)
    if step is None:
        step = _stated_step(folder)
    return CheckpointRef(run=run, step=step, uri=str(folder), format=format_name, label=label)


def training_step(folder: Path) -> int | None:
    """The step of a checkpoint by its name, else by its trainer's account."""
    named = parse_step(folder.name)
    return _stated_step(folder) if named is None else named


def _stated_step(folder: Path) -> int | None:
    # A damaged file must not hide the other checkpoints; `header` says what is wrong with it.
    try:
        state = read_trainer_state(folder)
    except CheckpointError:
        state = None
    return state.step if state else None


def training_values(state: TrainerState | None) -> tuple[dict[str, Any], dict[str, str]]:
    """What `trainer_state.json` gives, by field of a header, and for each value where it stands."""
    if state is None:
        return {}, {}
    values = {name: getattr(state, name) for name in TRAINING_VALUES}
    sources = {name: TRAINER_STATE for name, value in values.items() if value is not None}
    if state.batch_size_tokens is not None:
        sources["batch_size_tokens"] = f"{TRAINER_STATE}: num_input_tokens_seen / global_step"
    return {**values, "stated_step": state.step}, sources


def step_notices(ref: CheckpointRef, state: TrainerState | None) -> tuple[str, ...]:
    """What the trainer's account lacks, and where the folder's name contradicts it."""
    if state is None:
        return ()
    named = parse_step(Path(ref.uri).name)
    if named is None or is_own(ref) or named == state.step:
        return state.notices
    contradiction = (
        f"the folder's name says step {named}, its {TRAINER_STATE} step {state.step}: the name is "
        "taken as the step, tokens and losses are those of the file"
    )
    return (*state.notices, contradiction)
