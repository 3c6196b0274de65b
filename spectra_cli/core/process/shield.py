"""Stretches of work in which an interrupt waits, since Python would raise it inside a callback of a library.

HDF5 writes through callbacks. An exception in one of them leaves HDF5 with half a structure, and what it then
raises is no KeyboardInterrupt any more. So the handler of signals asks here whether it may raise.
"""

from __future__ import annotations

import threading
from types import TracebackType

_depth = 0
_waiting = False


class Shielded:
    """A context in the main thread in which interrupts wait; on leaving it, one that came is raised."""

    def __init__(self) -> None:
        # Signals are handled in the main thread alone: no other has to be shielded.
        self._counts = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Shielded:
        global _depth
        _depth += self._counts
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _depth
        _depth -= self._counts
        if not _depth and self._counts:
            self.check()

    def check(self) -> None:
        """Raise the interrupt that waits, at a place where it does no harm.

        Raises:
            KeyboardInterrupt: one came.
        """
        global _waiting
        if _waiting and self._counts:
            _waiting = False
            raise KeyboardInterrupt


def hold() -> bool:
    """Called by a handler of signals: whether an interrupt has to wait, in which case it is kept."""
    global _waiting
    if _depth:
        _waiting = True
    return _depth > 0
