"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever it happens to be, and where that is a callback (a weak
reference's, a hook of a C library) it prints a traceback and goes on. So the wish is kept, long work
asks for it between two steps, and the traceback is not printed.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

_asked = threading.Event()


def listen() -> None:
    """Take Ctrl-C from now on, unless this process was started to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
        sys.unraisablehook = _on_swallowed


def check() -> None:
    """Raise the KeyboardInterrupt that was asked for, if its first raising was swallowed."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _on_interrupt(_number: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt


def _on_swallowed(raised: sys.UnraisableHookArgs) -> None:
    """What Python could not raise: a Ctrl-C, which `check` will, or something to be told as ever."""
    if not (_asked.is_set() and issubclass(raised.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(raised)
