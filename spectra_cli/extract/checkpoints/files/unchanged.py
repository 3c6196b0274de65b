"""Whether all that was read of a checkpoint is of one state of its files.

Whoever opens a file notes the state of what it opened in the reading that is under way. The same path in
another state, then or at the end, means that another file took its place: an error of that checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from spectra_cli.core.errors import CheckpointError, SpectraError


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """Which file, and which content of it: a file that takes its place, or is written to, has another."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def state_of(found: os.stat_result) -> FileState:
    """The state that `os.stat` or `os.fstat` tells."""
    return FileState(
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        modified_ns=found.st_mtime_ns,
        changed_ns=found.st_ctime_ns,
    )


@dataclass(slots=True)
class Reading:
    """The files that were opened for one checkpoint, each in the state in which it was read.

    Attributes:
        states: absolute path -> state.
        growing: those of them that may grow at their end meanwhile: logs.
    """

    states: dict[str, FileState] = field(default_factory=dict)
    growing: set[str] = field(default_factory=set)

    def note(self, path: Path, state: FileState, *, may_grow: bool = False) -> None:
        """Take down a file that was just opened.

        Raises:
            CheckpointError: it was opened before in this reading, and in another state.
        """
        name = os.path.abspath(path)
        if may_grow:
            self.growing.add(name)
        if not self._still(name, self.states.setdefault(name, state), state):
            raise CheckpointError(_changed(name))

    def check(self) -> None:
        """Compare every file with what is at its path now.

        Raises:
            CheckpointError: one is another, was written to, or is gone.
        """
        for name, state in self.states.items():
            try:
                now = state_of(os.stat(name))
            except OSError as error:
                raise CheckpointError(_changed(name)) from error
            if not self._still(name, state, now):
                raise CheckpointError(_changed(name))

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Read more of the same checkpoint inside; all its files are checked at the end.

        Raises:
            CheckpointError: as `check`, also where what was read inside made no sense since a file changed.
        """
        token = _current.set(self)
        try:
            yield
        except SpectraError:
            self.check()
            raise
        finally:
            _current.reset(token)
        self.check()

    def _still(self, name: str, before: FileState, now: FileState) -> bool:
        if name in self.growing:
            same_file = (before.device, before.inode) == (now.device, now.inode)
            return same_file and before.size <= now.size
        return before == now


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def one_reading() -> Iterator[Reading]:
    """Read a checkpoint inside: its files in one state each. Inside another reading, a part of that one.

    Raises:
        CheckpointError: at the end, where a file is no longer the one that was read.
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    reading = Reading()
    with reading.going_on():
        yield reading


def note_file(path: Path, state: FileState, *, may_grow: bool = False) -> None:
    """Take down a file that was just opened, where a reading is under way.

    Raises:
        CheckpointError: as `Reading.note`.
    """
    if (reading := _current.get()) is not None:
        reading.note(path, state, may_grow=may_grow)


def state_as_read(path: Path) -> FileState:
    """The state in which this reading has opened the file; as it is now where none has.

    Raises:
        CheckpointError: as `Reading.note`.
    """
    reading = _current.get()
    known = None if reading is None else reading.states.get(os.path.abspath(path))
    if known is None:
        known = state_of(path.stat())
        note_file(path, known)
    return known


def _changed(name: str) -> str:
    return (
        f"{name}: it changed while it was being read, so that the weights and what is said about them may be "
        "of two checkpoints; scan it again once nothing writes to it"
    )
