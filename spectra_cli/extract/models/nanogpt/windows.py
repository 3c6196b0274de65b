"""How far attention looks back at a given step: the window schedules of the paper's variants.

A checkpoint labelled s is validated and analysed with the window of step s (it was last trained with
that of step s - 1), so s is the step that the schedule is read at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from spectra_cli.extract.models.nanogpt.arguments import Arguments, number, unstated

_ROUNDED_TO = 64
_BLOCK = 128
_CEILING_SPAN, _MOST_BLOCKS = 1728, 14
_DEFAULT_MIN, _DEFAULT_MAX = 64, 1792


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSchedule:
    """How the window grows; f is the share of the warm-up that is over, at most 1.

    Attributes:
        rule: tokens: 64 floor((min + f (max - min)) / 64) tokens. blocks: max(1, floor(int(min + f (max -
            min)) / 128)) blocks. ceiling: ceil(1728 f / 128) blocks, within 1 and 14. fixed: `window`.
        window: tokens, of a fixed one; fixed_by: what fixes it.
        warmup_steps: the trainer's default.
        by_epochs: whether the trainer knows `window_warmup_epochs`, which goes before steps.
    """

    rule: Literal["fixed", "tokens", "blocks", "ceiling"]
    window: int = 0
    fixed_by: str = "fixed"
    warmup_steps: int = 0
    by_epochs: bool = False

    @property
    def in_blocks(self) -> bool:
        """Whether windows are counted in mask blocks, not tokens."""
        return self.rule in ("blocks", "ceiling")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window in tokens or blocks.

    Attributes:
        source: where it comes from; step: what a schedule was read at, None where there is none.
        is_stated: whether it was stated as it is.
    """

    size: int
    in_blocks: bool
    source: str
    step: int | None = None
    is_stated: bool = False


def window_at(schedule: WindowSchedule, arguments: Arguments, *, step: int | None, where: str) -> Window:
    """The window of a checkpoint.

    Args:
        arguments: `window_min`, `window_max`, `window_warmup_steps`, `window_warmup_epochs` of the
            trainer, and `epoch_steps`, which only the user can state.
        step: the checkpoint's label.

    Raises:
        ModelError: what the schedule needs is not known, or its numbers give no window.
    """
    if schedule.rule == "fixed":
        return Window(size=schedule.window, in_blocks=False, source=schedule.fixed_by)
    progress, source = _progress(schedule, arguments, step, where)
    if schedule.rule == "ceiling":
        size = min(max(math.ceil(_CEILING_SPAN * progress / _BLOCK), 1), _MOST_BLOCKS)
    else:
        first = number(arguments, "window_min", _DEFAULT_MIN, where)
        last = number(arguments, "window_max", _DEFAULT_MAX, where)
        reached = first + progress * (last - first)
        size = max(1, int(reached) // _BLOCK) if schedule.in_blocks else int(reached // _ROUNDED_TO)
        size *= 1 if schedule.in_blocks else _ROUNDED_TO
    if size < 1:
        raise unstated(
            f"{where}: window_min and window_max give a window of {size} tokens at step {step}",
            "window_tokens",
        )
    return Window(size=size, in_blocks=schedule.in_blocks, source=source, step=step)


def _progress(
    schedule: WindowSchedule, arguments: Arguments, step: int | None, where: str
) -> tuple[float, str]:
    """Share of the warm-up that is over, and by what account."""
    if step is None:
        raise unstated(
            f"{where}: its attention window grows with the step, which neither its name nor its content says",
            "window_tokens",
        )
    epochs = arguments.get("window_warmup_epochs") if schedule.by_epochs else None
    if epochs is not None:
        epoch_steps = arguments.get("epoch_steps")
        if epoch_steps is None:
            raise unstated(
                f"{where}: its attention window grows over window_warmup_epochs = {epochs}, and nothing says "
                "how many steps an epoch has",
                "epoch_steps",
                "window_tokens",
            )
        steps = number(arguments, "epoch_steps", 0, where) * number(
            arguments, "window_warmup_epochs", 0, where
        )
        source = f"a warm-up over {epochs} epochs of {epoch_steps} steps"
    elif arguments.get("window_warmup_steps") is not None:
        steps = number(arguments, "window_warmup_steps", 0, where)
        source = f"a warm-up over {steps:g}"
    else:
        steps = schedule.warmup_steps
        source = (
            f"a warm-up over {steps}, the trainer's default: no argument states window_warmup_steps; "
            "--set model.window_warmup_steps says otherwise"
        )
    return (min(step / steps, 1.0) if steps > 0 else 1.0), source
