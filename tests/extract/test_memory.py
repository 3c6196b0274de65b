import os

import numpy as np
import torch

from spectra_cli.extract.memory import default_budget, resident_bytes

MIB = 2**20


def test_what_this_process_holds_is_rounded_up_and_grows_with_it():
    before = resident_bytes()
    assert before % (64 * MIB) == 0
    block = np.ones(256 * MIB, dtype=np.uint8)
    # 256 MiB more, give or take one step of the rounding on either side
    assert 128 * MIB <= resident_bytes() - before <= 384 * MIB
    assert block[0] == 1


def test_default_budget_is_a_share_of_this_machine():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < default_budget(torch.device("cpu")) <= 0.71 * total
