"""CPU time of commands that should start at once, and whether they left torch alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.timing import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """One command's CPU seconds (user and system), and whether it imported torch."""

    cpu_seconds: Spread
    imports_torch: bool


def measure_startup(arguments: Sequence[str], *, rounds: int = 7) -> Startup:
    """CPU time of `spectra ARGUMENTS`, run `rounds` times after one that fills the file cache.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    command = [sys.executable, "-m", "spectra_cli", *arguments]
    times = []
    for _ in range(rounds + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "spectra_cli", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    modules = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines() if "|" in line}
    return Startup(cpu_seconds=Spread.of(times[1:]), imports_torch="torch" in modules)
