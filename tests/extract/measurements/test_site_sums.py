"""Sums of one site that several observers took parts of, far from zero."""

import pytest
import torch

from spectra_cli.extract.measurements.site_sums import SiteSums, packed_bytes, sums_bytes
from tests.builders.held import held_bytes

WIDTH, FAR = 6, 1e6
KEEP = torch.ones(2, dtype=torch.bool)


def rows_of(block):
    """Two sequences of four tokens whose mean is far larger than their spread."""
    generator = torch.Generator().manual_seed(block)
    return FAR + torch.randn(2, 4, WIDTH, generator=generator, dtype=torch.float64)


def sums_of(*blocks):
    sums = SiteSums(WIDTH, 3, torch.device("cpu"))
    for block in blocks:
        sums.add(rows_of(block), KEEP, block=block)
        sums.finish_block(block)
    return sums


@pytest.mark.parametrize("parts", [((0,), (1, 2)), ((2, 1), (0,)), ((), (0, 1, 2)), ((0, 1, 2), ())])
def test_merged_parts_have_the_moment_of_all_rows(parts):
    first, second = (sums_of(*part) for part in parts)
    first.merge(second)
    rows = torch.cat([rows_of(block) for block in range(3)]).flatten(0, 1)
    centred = rows - rows.mean(0)
    torch.testing.assert_close(first.total.moment(), centred.T @ centred, rtol=1e-9, atol=1e-8)
    torch.testing.assert_close(first.total.mean, rows.mean(0))
    assert first.blocks.finished == [True] * 3


def test_a_block_is_measured_once():
    sums = sums_of(0)
    with pytest.raises(AssertionError, match="block 0 was measured twice"):
        sums.merge(sums_of(0, 1))


@pytest.mark.parametrize(("width", "value"), [(8, 8), (1056, 4)])
def test_the_memory_stated_of_a_site_is_what_it_holds(width, value):
    sums = SiteSums(width, 2, torch.device("cpu"))
    assert sums.blocks.packed.element_size() == value
    assert held_bytes(sums) == sums_bytes(width, 2) + packed_bytes(width, 2)
