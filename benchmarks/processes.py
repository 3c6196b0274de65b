"""What one command took: a process of its own, its time and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of a command that came to its end.

    Attributes:
        said: the last line that it wrote to stderr.
        seconds, cpu_seconds: on the clock, and of user and system together; peak_mib: resident, at most.
    """

    said: str
    seconds: float
    cpu_seconds: float
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.cpu_seconds:.1f} CPU s, {self.peak_mib:.0f} MiB at most"


def usage_of(arguments: Sequence[str]) -> Usage:
    """What `spectra ARGUMENTS` takes.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    command = [sys.executable, "-m", "spectra_cli", *arguments]
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr="\n".join(said))
    return Usage(
        said=said[-1] if said else "",
        seconds=time.perf_counter() - begun,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
    )
