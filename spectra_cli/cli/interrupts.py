"""Ctrl-C and SIGTERM that cannot get lost, and that never end in a traceback.

Python raises KeyboardInterrupt wherever it happens to be, and where that is a callback (a weak
reference's, a hook of a C library) it prints a traceback and goes on. So the wish is kept, long work
asks for it between two steps, and the traceback is not printed. While HDF5 writes, the wish waits
(core/process/shield.py); a second press within a second is the same wish.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from spectra_cli.core.process import shield

_SAME_WISH_SECONDS = 1.0
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM"}
_TO_GO_ON = "; run the same command again to continue where it stopped"

# The first signal and when it came. A plain value: where the handler holds a lock, such as an Event's,
# a second signal inside it would wait for that lock without end.
_first: tuple[int, float] | None = None
_continues = False


def listen() -> None:
    """Take Ctrl-C and SIGTERM from now on, unless this process was started to ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
        sys.unraisablehook = _on_swallowed
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_interrupt)
        sys.unraisablehook = _on_swallowed


def continues() -> None:
    """The command that runs goes on where it was interrupted when it is given again."""
    global _continues
    _continues = True


def check() -> None:
    """Raise the KeyboardInterrupt that was asked for, if its first raising was swallowed."""
    if asked():
        raise KeyboardInterrupt


def asked() -> bool:
    """Whether an end was asked for: what is raised from then on is its echo."""
    return _first is not None


def farewell() -> int:
    """Say on stderr what ended the command; no signal is heard after.

    Returns:
        The exit code of an interrupted command, 128 and the signal: 130 or 143.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    number = signal.Signals(signal.SIGINT if _first is None else _first[0])
    if sys.stderr.isatty():  # a live bar that was broken off may have hidden the cursor
        sys.stderr.write("\x1b[?25h")
    sys.stderr.write(f"\nspectra: {_WORDS[number]}{_TO_GO_ON if _continues else ''}\n")
    return 128 + number


def _on_interrupt(number: int, _frame: FrameType | None) -> None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = (number, now)
    elif now - _first[1] < _SAME_WISH_SECONDS:
        return
    if not shield.hold():
        raise KeyboardInterrupt


def _on_swallowed(raised: sys.UnraisableHookArgs) -> None:
    """What Python could not raise: a Ctrl-C, which `check` will, or something to be told as ever."""
    if not (asked() and issubclass(raised.exc_type, KeyboardInterrupt)):
        sys.__unraisablehook__(raised)
