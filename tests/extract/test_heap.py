"""The C library keeps freed memory while asked to, and gives it back after."""

import platform
from pathlib import Path

import pytest
import torch

from spectra_cli.extract.heap import kept_heap


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds are glibc's")
def test_memory_is_kept_inside_and_returned_after():
    size = 16 * 2**20
    before = resident()
    with kept_heap():
        buffers = [torch.ones(size // 4) for _ in range(4)]
        del buffers
        assert resident() - before > 2 * size
    assert resident() - before < 2 * size


def test_an_error_passes_through():
    with pytest.raises(ZeroDivisionError), kept_heap():
        _ = 1 / 0
