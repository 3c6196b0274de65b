"""A callback of transformers' `Trainer` that tells a listener where the training is, and touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from spectra_cli.core.errors import UsageError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.training import TrainingMetadata


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """Where a training is.

    Attributes:
        module: the model, as the trainer holds it.
        step: optimiser steps taken; folder: of the run.
        training: what the trainer knows at this step.
    """

    module: nn.Module
    step: int
    folder: Path
    training: TrainingMetadata


class Listener(Protocol):
    """Who hears of the training, in the first process alone."""

    def begin(self, now: Moment) -> None:
        """It begins, or goes on where a checkpoint left it."""

    def step(self, now: Moment) -> None:
        """An optimiser step was taken."""

    def end(self, now: Moment) -> None:
        """It has ended."""


Heard = TypeVar("Heard", bound=Listener)


class StepCallback(TrainerCallback, Generic[Heard]):  # type: ignore[misc]
    """Tells a listener of the beginning, of every step and of the end.

    Attributes:
        listener: who hears of it; what it measured is its own to show.
    """

    def __init__(self, listener: Heard) -> None:
        """Tell this listener."""
        self.listener = listener

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            self.listener.begin(_moment(args, state, kwargs))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            self.listener.step(_moment(args, state, kwargs))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the trainer."""
        if state.is_world_process_zero:
            self.listener.end(_moment(args, state, kwargs))


def _moment(args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Moment:
    module, folder = kwargs.get("model"), args.output_dir
    if module is None or folder is None:
        raise UsageError("the trainer gave its callback no model, or has no output_dir; expected both")
    return Moment(module=module, step=state.global_step, folder=Path(folder), training=_training(args, state))


def _training(args: TrainingArguments, state: TrainerState) -> TrainingMetadata:
    """As a checkpoint saved at this step would have it; the loss of the step is logged only after it."""
    seen, step = state.num_input_tokens_seen, state.global_step
    counts = args.include_num_input_tokens_seen not in (False, "no")
    if not counts or (step > 0 and not seen):
        why = "the trainer counts none (TrainingArguments.include_num_input_tokens_seen)"
        return TrainingMetadata(notices=(tokens_unknown(why),))
    whole = step > 0 and seen % step == 0
    values = {"tokens_seen": int(seen)} | ({"batch_size_tokens": int(seen) // step} if whole else {})
    return TrainingMetadata(**values, sources=dict.fromkeys(values, "the trainer"))
