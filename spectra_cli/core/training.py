"""What is known of the training up to a checkpoint: from its files, a log, or the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TRAINING_VALUES = ("tokens_seen", "train_loss", "eval_loss", "batch_size_tokens", "learning_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMetadata:
    """Values of the training at one step, each None where nothing says it, and what is said beside them.

    Attributes:
        tokens_seen: training tokens up to this step.
        train_loss, eval_loss: nats per token, as the training stack wrote them at this step.
        batch_size_tokens: tokens of one optimiser step; `learning_rate`: of the step.
        facts: what the user says about the run (`dataset`, `notes`, `sequence_length`), and under
            `model.NAME` what the model's numbers depend on, of families that work it out; as text.
        sources: where each value was read, name -> file, or what says it.
        notices: what the user must know about how it was read.
    """

    tokens_seen: int | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    batch_size_tokens: int | None = None
    learning_rate: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
