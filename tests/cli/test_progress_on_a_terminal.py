"""A real scan on a terminal of 80 columns, interrupted: what the terminal gets, byte for byte."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

from spectra_cli.render.text.wrapping import width

COLUMNS = 80
SIZES = ("--sequences", "64", "--gradient-sequences", "64", "-T", "8", "--matrices", "all", "-b", "1")


def _read_until_closed(terminal: int, seconds: float, *, interrupt_at: bytes, process: int) -> bytes:
    """All that is written; Ctrl-C once the words are there."""
    written, until, is_interrupted = b"", time.monotonic() + seconds, False
    while time.monotonic() < until:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # closed at the other end
            return written
        if not piece:
            return written
        written += piece
        if not is_interrupted and interrupt_at in written:
            is_interrupted = True
            os.kill(process, signal.SIGINT)
    raise TimeoutError(written)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_an_interrupted_scan_leaves_the_terminal_as_it_was(place, start):
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "CI")}
    process = start(
        *("scan", "run", "--probe", "probe.npy", "-o", "anew.spectra.h5", *SIZES),
        cwd=Path.cwd(),
        stdout=inside,
        stderr=inside,
        env=environment | {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"},
    )
    os.close(inside)
    written = _read_until_closed(terminal, 60, interrupt_at=b"sequences: ", process=process.pid).decode()
    os.close(terminal)
    assert process.wait(30) == 130
    assert "interrupted; run the same command again" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    frames = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = re.split(r"[\r\n]+", frames)
    assert [line for line in lines if width(line) >= COLUMNS and "interrupted" not in line] == []
    assert any(line.startswith("step2 (1/2)  ") for line in lines)
    assert any(line.startswith(("opening", "reading", "planning")) for line in lines)
