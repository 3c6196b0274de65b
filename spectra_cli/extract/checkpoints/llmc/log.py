"""The `main.log` that llm.c writes beside its model files: one loss a line, `s:250 tel:3.4512`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spectra_cli.core.bounded_text import too_large
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile

LOG = "main.log"
_MOST_BYTES = 1 << 28

# a last line without a line end may be half a number
_LINE = re.compile(r"^s:(\d{1,18}) (trl|tel):(\S+)(\s?)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedLosses:
    """Nats per token of one step's weights: on its batch, and on the validation set.

    Attributes:
        train_loss, eval_loss: None where the log has none at this step.
        sources: name of each that is there -> file.
    """

    train_loss: float | None = None
    eval_loss: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


def read_losses(folder: Path, step: int | None) -> LoggedLosses:
    """The losses that `main.log` in `folder` has at `step`; the last line counts where a run resumed, and
    a number that nothing follows, not even a line end, is none yet.

    Raises:
        CheckpointError: the log is too large to be one.

    Both of line s are of weights that have made s updates, as those of the model file of step s have.
    """
    log = folder / LOG
    if step is None or not log.is_file():
        return LoggedLosses()
    with StoredFile(log, may_grow=True) as file:
        if file.size > _MOST_BYTES:
            raise CheckpointError(too_large(str(log), file.size, _MOST_BYTES))
        text = file.read(0, file.size).decode(errors="replace")
    lines = {(line[2], int(line[1])): line[3] if line[4] else None for line in _LINE.finditer(text)}
    found = {
        "train_loss": _number(lines.get(("trl", step))),
        "eval_loss": _number(lines.get(("tel", step))),
    }
    return LoggedLosses(**found, sources={name: LOG for name, value in found.items() if value is not None})


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
