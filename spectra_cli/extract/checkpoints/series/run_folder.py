"""A run folder: checkpoints as its children, weights of its own, folders that a trainer did not finish.

What Trainer and PEFT share: names with a step, `trainer_state.json` beside the weights, staging folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.training import TRAINING_VALUES
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.series.found import Run, in_series_order, parse_step
from spectra_cli.extract.checkpoints.series.trainer_state import (
    TRAINER_STATE,
    TrainerState,
    read_trainer_state,
)

# The run folder's own weights, beside checkpoints of the run.
FINAL = "final"

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
    if named is None or ref.label == FINAL or named == state.step:
        return state.notices
    contradiction = (
        f"the folder's name says step {named}, its {TRAINER_STATE} step {state.step}: the name is "
        "taken as the step, tokens and losses are those of the file"
    )
    return (*state.notices, contradiction)
