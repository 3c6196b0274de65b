"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever it happens to be, and where that is a callback (a weak
reference's, a hook of a C library) it prints the exception and goes on. So the wish is kept, and
long work asks for it between two steps.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

_asked = threading.Event()


def listen() -> None:
    """Take Ctrl-C from now on, unless this process was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def check() -> None:
    """Raise the KeyboardInterrupt that was asked for, if its first raising was swallowed."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _on_interrupt(_number: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
