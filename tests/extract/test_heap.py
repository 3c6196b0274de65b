"""The C library keeps freed memory once asked to."""

import platform
import subprocess
import sys

import pytest

# 64 MiB in pieces that the heap serves, at its end, so that glibc would return them; what stays resident.
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from spectra_cli.extract.heap import keep_heap
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
np.ones(30 * 2**17)  # once freed, buffers of this size come from the heap
if sys.argv[1] == "keep":
    keep_heap()
before = resident()
pieces = [np.ones(2**17) for _ in range(96)]
held = resident() - before
del pieces
print(held, resident() - before)
"""


def resident_after(mode):
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 90 * 2**20
    return left


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds are glibc's")
def test_freed_memory_stays():
    assert resident_after("keep") > 90 * 2**20
    assert resident_after("plain") < 70 * 2**20
