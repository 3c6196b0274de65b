import os

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.memory import default_budget, is_out_of_memory, room_for, rounded_resident_bytes

MIB = 2**20


def test_what_this_process_holds_is_rounded_up_and_grows_with_it():
    before = rounded_resident_bytes()
    assert before % (64 * MIB) == 0
    block = np.ones(256 * MIB, dtype=np.uint8)
    # 256 MiB more, give or take one step of the rounding on either side
    assert 128 * MIB <= rounded_resident_bytes() - before <= 384 * MIB
    assert block[0] == 1


def test_default_budget_is_a_share_of_this_machine():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < default_budget(torch.device("cpu")) <= 0.71 * total


def test_every_way_of_running_out_of_memory_is_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_a_model_that_finds_no_room_is_told_with_its_size(header_of):
    header = header_of({}, {"a": torch.zeros(1000, 1000, dtype=torch.float16)}, format="nanogpt")
    for fail in (lambda: torch.empty(2**55, dtype=torch.uint8), lambda: bytearray(2**55)):
        with (
            pytest.raises(ModelError, match=r"step5: out of memory .* 4 MiB in float32, beside 2 MiB"),
            room_for(header, torch.device("cpu")),
        ):
            fail()
    with pytest.raises(RuntimeError, match="shapes"), room_for(header, torch.device("cpu")):
        raise RuntimeError("shapes")
