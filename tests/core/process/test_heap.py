"""Freed memory stays for the next batch once a process keeps its heap, and goes back when asked for."""

import ctypes
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is measured is glibc's heap")

# 96 MiB in pieces that the heap serves; every second one is freed, which trims nothing by itself.
PIECES = """
from pathlib import Path
import numpy as np
from spectra_cli.core.process.heap import give_back_heap
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

# Page faults of ten "batches" of 64 MiB each, after a first one.
BATCHES = """
import resource, sys
from contextlib import nullcontext
import numpy as np
from spectra_cli.core.process.heap import kept_heap
def batch():
    [np.ones(2**20) for _ in range(8)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with kept_heap() if sys.argv[1] == "keep" else nullcontext():
    batch()
    before = faults()
    for _ in range(10):
        batch()
    print(faults() - before)
"""


def run(script, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    return map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_freed_memory_goes_back():
    kept, left = run(PIECES)
    assert kept > 90 * 2**20
    assert left < 60 * 2**20


def test_a_kept_heap_is_not_fetched_again_for_every_batch():
    (without,) = run(BATCHES, "do not")
    (kept,) = run(BATCHES, "keep")
    assert kept < 2000 < 16_384 < without  # one batch is 16,384 pages of 4 KiB


# Bytes that glibc maps apart from its heap: for 64 MiB made inside, and for twice as many made after those
# are freed, of which half finds room there.
APART = """
import ctypes
import numpy as np
from spectra_cli.core.process.heap import kept_heap
class Counts(ctypes.Structure):
    _fields_ = [(f"field_{n}", ctypes.c_size_t) for n in range(10)]
library = ctypes.CDLL(None)
library.mallinfo2.restype = Counts
def apart():
    return library.mallinfo2().field_4
before = apart()
with kept_heap():
    batch = [np.ones(2**20) for _ in range(8)]
    inside = apart()
    del batch
weights = [np.ones(2**20) for _ in range(16)]
print(inside - before, apart() - inside)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="counts with a newer glibc's function",
)
def test_what_is_made_outside_does_not_enlarge_a_kept_heap():
    inside, outside = run(APART)
    assert inside == 0
    assert outside > 60 * 2**20


# Heaps of the process (glibc's count) before and after four threads have allocated at once.
THREADS = """
import ctypes, os, sys, tempfile, threading
from spectra_cli.core.process.heap import kept_heap
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
def heaps():
    with tempfile.TemporaryFile() as file:
        stream = ctypes.c_void_p(library.fdopen(os.dup(file.fileno()), b"w"))
        library.malloc_info(0, stream)
        library.fclose(stream)
        file.seek(0)
        return file.read().count(b"<heap nr=")
if sys.argv[1] == "keep":
    with kept_heap():
        pass
before, together = heaps(), threading.Barrier(4)
def work():
    together.wait()
    bytearray(2**20)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(before, heaps())
"""


def test_threads_share_a_kept_heap():
    before, after = run(THREADS, "do not")
    assert after > before
    before, after = run(THREADS, "keep")
    assert after == before == 1
