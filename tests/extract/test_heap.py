"""Freed memory goes back to the system when asked for."""

import platform
import subprocess
import sys

import pytest

# 96 MiB in pieces that the heap serves; every second one is freed, which trims nothing by itself.
SCRIPT = """
from pathlib import Path
import numpy as np
from spectra_cli.extract.heap import give_back_heap
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
np.ones(30 * 2**17)  # once freed, buffers of this size come from the heap
before = resident()
pieces = [np.ones(2**17) for _ in range(96)]
pieces = pieces[::2]
kept = resident() - before
give_back_heap()
print(kept, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is measured is glibc's heap")
def test_freed_memory_goes_back():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 90 * 2**20
    assert left < 60 * 2**20
