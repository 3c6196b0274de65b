"""Which checkpoints of a series are taken: by step, every so many, the last, the first."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectra_cli.core.errors import NotHeldError, UsageError
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import agreed, counted

if TYPE_CHECKING:  # its arrays would cost `spectra --help` an import of numpy
    from spectra_cli.core.types import CheckpointRef

_NUM_NAMED = 8
_SPAN = re.compile(r"(?P<start>\d*)(?P<range>:(?P<stop>\d*)(?::(?P<stride>\d+))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSelection:
    """A choice of checkpoints; the parts apply in this order, each to what the one before left.

    Attributes:
        steps: `0:20000:1000`, `500`, `5000:`, or a list of such with commas; stops are included.
        every: each `every`-th checkpoint, the first one included.
        last: the last so many; limit: of those, the first so many.
    """

    steps: str = ""
    every: int | None = None
    last: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "last", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}: expected a whole number of at least 1")
        for word in _words(self.steps):
            _parse(word, self.steps)

    @property
    def words(self) -> str:
        """The choice as it would be typed; empty for the whole series.

        >>> SeriesSelection(steps="0:100:10", last=3).words
        '--steps 0:100:10 --last 3'
        """
        parts = ((name, getattr(self, name)) for name in ("steps", "every", "last", "limit"))
        return " ".join(f"--{name} {value}" for name, value in parts if value not in ("", None))


def select(
    refs: Sequence[CheckpointRef], selection: SeriesSelection
) -> tuple[tuple[CheckpointRef, ...], tuple[str, ...]]:
    """The chosen checkpoints, in their order, and what to know about the choice.

    Raises:
        UsageError: a step asked for by itself that does not exist, with its neighbours; a range that
            holds no checkpoint.
    """
    chosen = tuple(refs)
    notices: list[str] = []
    if selection.steps:
        chosen, notices = _by_step(chosen, selection.steps)
    if selection.every is not None:
        chosen = chosen[:: selection.every]
    if selection.last is not None:
        chosen = chosen[-selection.last :]
    if selection.limit is not None:
        chosen = chosen[: selection.limit]
    if selection.words:
        notices.append(
            f"{len(chosen)} of {counted(len(refs), 'checkpoint')} {agreed(len(chosen))} chosen by "
            f"{selection.words}"
        )
    return chosen, tuple(notices)


def _by_step(refs: Sequence[CheckpointRef], steps: str) -> tuple[tuple[CheckpointRef, ...], list[str]]:
    known = sorted({ref.step for ref in refs if ref.step is not None})
    if not known:
        raise NotHeldError(f"--steps {steps}: none of {counted(len(refs), 'checkpoint')} has a step")
    wanted: set[int] = set()
    notices: list[str] = []
    for word in _words(steps):
        found, absent = _matching(word, steps, known)
        if absent and ":" not in word:
            raise NotHeldError(f"--steps {steps}: there is no step {word}; {_nearest(int(word), known)}")
        if not found:
            raise NotHeldError(
                f"--steps {steps}: no checkpoint in {word}; steps go from {known[0]} to {known[-1]}"
            )
        if absent:
            notices.append(
                f"--steps {word}: {len(absent)} of {len(absent) + len(found)} steps "
                f"{agreed(len(absent), 'has', 'have')} no checkpoint: " + listed(absent, _NUM_NAMED)
            )
        wanted.update(found)
    if unnumbered := [ref.key for ref in refs if ref.step is None]:
        notices.append(f"--steps leaves out checkpoints without a step: {listed(unnumbered, _NUM_NAMED)}")
    return tuple(ref for ref in refs if ref.step in wanted), notices


def _matching(word: str, steps: str, known: Sequence[int]) -> tuple[list[int], list[int]]:
    """The known steps that a word names, and those it names that are not known.

    A range without a stride names no step in particular, so that none of it can be absent.
    """
    start, stop, stride = _parse(word, steps)
    last = known[-1] if stop is None else stop
    if stride is None:
        return [step for step in known if start <= step <= last], []
    named = range(start, last + 1, stride)
    there = set(known)
    return [step for step in named if step in there], [step for step in named if step not in there]


def _words(steps: str) -> list[str]:
    return steps.replace(" ", "").split(",") if steps else []


def _parse(word: str, steps: str) -> tuple[int, int | None, int | None]:
    """First step, last step (None: the last there is) and stride (None: whatever is between)."""
    match = _SPAN.fullmatch(word)
    if match is None or not word or (not match["range"] and not match["start"]):
        raise UsageError(
            f"--steps {steps}: {word!r} is neither a step nor a range; expected such as 500, 0:20000, "
            "5000: or 0:20000:1000, with commas between several"
        )
    start = int(match["start"] or 0)
    if not match["range"]:
        return start, start, 1
    stop = int(match["stop"]) if match["stop"] else None
    stride = None if match["stride"] is None else int(match["stride"])
    if stride == 0 or (stop is not None and stop < start):
        raise UsageError(f"--steps {steps}: {word!r} is empty; expected first:last or first:last:stride")
    return start, stop, stride


def _nearest(step: int, known: Sequence[int]) -> str:
    at = bisect.bisect(known, step)
    around = known[max(0, at - 1) : at + 1]
    return f"the nearest {'are' if len(around) > 1 else 'is'} {' and '.join(map(str, around))}"
