"""What transformers' `Trainer` writes about a checkpoint: step, tokens, losses at that step."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.training import TrainingMetadata
from spectra_cli.extract.checkpoints.files.json_object import read_json_object

TRAINER_STATE = "trainer_state.json"
_MOST_BYTES = 1 << 28  # a line of its log for each of a million steps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState(TrainingMetadata):
    """The part of `trainer_state.json` that describes one checkpoint: values logged at its step.

    Attributes:
        step: optimiser steps taken.
        best_checkpoint: folder name of the best checkpoint so far; empty where none is kept.
    """

    step: int
    best_checkpoint: str


def read_trainer_state(folder: Path) -> TrainerState | None:
    """The trainer's account of the checkpoint in `folder`, None if it left none.

    A loss logged at an earlier step is not the loss of this checkpoint: it is left out, and said so.
    `train_loss` in the last entry, the mean over the whole run, is never read.

    Raises:
        CheckpointError: the file is damaged, or has no `global_step`.
    """
    path = folder / TRAINER_STATE
    if not os.path.lexists(path):
        return None
    content = read_json_object(path, most_bytes=_MOST_BYTES)
    step, history = content.get("global_step"), content.get("log_history") or []
    if type(step) is not int or step < 0 or not isinstance(history, list):
        raise CheckpointError(
            f"{path}: global_step is {step!r:.40}; expected a number of steps, and in `log_history` a list"
        )
    notices: list[str] = []
    tokens = content.get("num_input_tokens_seen")
    if type(tokens) is not int or tokens <= 0:
        tokens = None
        notices.append(
            tokens_unknown(f"{TRAINER_STATE} counts none (TrainingArguments.include_num_input_tokens_seen)")
        )
    # mean over the steps since the log entry before
    train_loss = _logged(history, "loss", step, notices)
    eval_loss = _logged(history, "eval_loss", step, notices)
    return TrainerState(
        step=step,
        tokens_seen=tokens,
        train_loss=train_loss,
        eval_loss=eval_loss,
        learning_rate=_logged(history, "learning_rate", step, []),  # missing with the loss, which says so
        batch_size_tokens=tokens // step if tokens and step > 0 and tokens % step == 0 else None,
        best_checkpoint=PurePath(str(content.get("best_model_checkpoint") or "")).name,
        notices=tuple(notices),
    )


def _logged(history: list[Any], name: str, step: int, notices: list[str]) -> float | None:
    """The last entry of `name` at `step`; None, with a notice, where the last one is of another step."""
    entries = [entry for entry in history if isinstance(entry, dict) and name in entry and "step" in entry]
    at_step = [entry[name] for entry in entries if entry["step"] == step]
    if at_step:
        value = at_step[-1]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        notices.append(f"{name} logged at step {step} is {value}: left out")
    elif entries:
        notices.append(f"{name} was last logged at step {entries[-1]['step']}, not at step {step}: left out")
    return None
