"""Large buffers are zeros of the asked shape, and their memory goes with them."""

import sys
from pathlib import Path

import pytest
import torch

from spectra_cli.extract.large_buffer import SMALLEST_BYTES, large_zeros

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("columns", [3, SMALLEST_BYTES // 4])
def test_they_are_writable_zeros(dtype, columns):
    buffer = large_zeros(2, columns, dtype=dtype, device=CPU)
    assert buffer.shape == (2, columns)
    assert buffer.dtype == dtype
    assert not buffer.any()
    buffer[1] += 1
    assert float(buffer.sum(dtype=torch.float64)) == columns


def test_other_devices_allocate_for_themselves():
    buffer = large_zeros(2, SMALLEST_BYTES, dtype=torch.float32, device=torch.device("meta"))
    assert buffer.device.type == "meta"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_goes_with_the_tensor():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    size = 64 * 2**20
    before = resident()
    buffer = large_zeros(size // 4, dtype=torch.float32, device=CPU)
    buffer += 1
    assert resident() - before > size // 2
    view = buffer[:10]
    del buffer
    assert resident() - before > size // 2  # a view keeps it
    del view
    assert resident() - before < size // 2
