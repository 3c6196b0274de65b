"""An arena cuts tensors from memory that it keeps; what waits in it is right whatever lay there before."""

import sys
from pathlib import Path

import pytest
import torch

from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.gradient_store import DenseGradients, FactoredGradients

CPU = torch.device("cpu")
N, T, O, I = 5, 4, 3, 6
MIB = 2**20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_do_not_overlap_and_come_again_after_a_reset(dtype):
    arena = Arena(CPU)
    arena.reset(3 * 7 * dtype.itemsize + 5 * dtype.itemsize, 2)
    one, two = arena.empty(3, 7, dtype=dtype), arena.empty(5, dtype=dtype)
    assert (one.shape, one.dtype, two.shape) == ((3, 7), dtype, (5,))
    one.fill_(1)
    two.fill_(2)
    assert bool((one == 1).all())
    arena.reset(10, 1)  # less room than there is: the same memory
    assert arena.empty(3, 7, dtype=dtype).data_ptr() == one.data_ptr()


def test_what_no_room_was_made_for_is_allocated_by_itself():
    arena = Arena(CPU)
    arena.reset(64, 1)
    inside, beyond = arena.empty(16, dtype=torch.float32), arena.empty(1000, dtype=torch.float32)
    beyond.zero_()
    inside.fill_(1)
    assert not beyond.any()


def test_other_devices_allocate_for_themselves():
    arena = Arena(torch.device("meta"))
    arena.reset(2**40)
    assert arena.empty(2, 2**20, dtype=torch.float32).device.type == "meta"


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("case", ["linear", "routed", "embedding", "factored", "routed factored"])
def test_gradients_do_not_depend_on_what_lay_in_the_memory(case, half):
    """Every store, with sequences that bring nothing, on memory of zeros and on memory of NaN."""
    generator = torch.Generator().manual_seed(0)
    inputs, delta = torch.randn(N, T, I, generator=generator), torch.randn(N, T, O, generator=generator)
    counts = [2, 0, 4, 0, 1]

    def gram(value):
        arena = Arena(CPU)
        arena.reset(2**16, 2)
        arena.empty(2**14, dtype=torch.float32).fill_(value)
        arena.reset(2**16, 2)
        if "factored" in case:
            dtype = torch.bfloat16 if half else torch.float32
            store = FactoredGradients(N, T, (O, I), dtype=dtype, arena=arena)
        else:
            store = DenseGradients(N, (O, I), dtype=torch.float32, arena=arena, half_products=half)
        if "routed" in case:
            rows = sum(counts)
            store.add(0, inputs.flatten(0, 1)[:rows], delta.flatten(0, 1)[:rows], counts)
        elif case == "embedding":
            store.add(1, torch.arange(3 * T).view(3, T) % O, torch.ones(3, T, I))
        else:
            store.add(1, inputs[1:3], delta[1:3])
            store.add(4, inputs[4:], delta[4:])
        return store.gram()

    clean = gram(0.0)
    assert clean.any()
    torch.testing.assert_close(gram(float("nan")), clean, rtol=0, atol=0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_stays_until_it_is_given_back():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before, arena = resident(), Arena(CPU)
    arena.reset(64 * MIB)
    arena.empty(16 * MIB, dtype=torch.float32).fill_(1)
    assert resident() - before > 48 * MIB
    arena.reset(32 * MIB)
    assert resident() - before > 48 * MIB
    arena.give_back()
    assert resident() - before < 16 * MIB
