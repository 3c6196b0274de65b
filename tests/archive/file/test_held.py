"""Held groups read the same as open ones, and read small variables once."""

import h5py
import numpy as np
import pytest

from spectra_cli.archive.content.netcdf import read_text
from spectra_cli.archive.file.held import SMALL_BYTES, HeldGroup


@pytest.fixture
def root(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("weight")
        group.attrs["kind"] = "sv"
        group.create_dataset("num_values", data=np.arange(12).reshape(4, 3))
        group.create_dataset("site", data=np.array(["embed", "blocks.0.attn.q", "π"], dtype=object))
        group.create_dataset("large", shape=(4, SMALL_BYTES), dtype=np.float32)
        yield file


def test_the_same_numbers_texts_and_attributes(root):
    held = HeldGroup(root)
    group = held["weight"]
    assert group.attrs["kind"] == "sv"
    np.testing.assert_array_equal(group["num_values"][2], root["weight/num_values"][2])
    assert list(read_text(group, "site")) == ["embed", "blocks.0.attn.q", "π"]
    assert read_text(group, "site", 1) == "blocks.0.attn.q"
    assert len(group["site"]) == 3
    assert ("num_values" in group, "nothing" in group) == (True, False)
    assert [name for name, _ in held.items()] == ["weight"]
    assert sorted(group) == ["large", "num_values", "site"]


def test_small_variables_are_read_once_and_large_ones_by_row(root):
    group = HeldGroup(root)["weight"]
    first = group["num_values"]
    root["weight/num_values"][2] = -1
    assert group["num_values"] is first
    assert first[2].tolist() == [6, 7, 8]
    root["weight/large"][1, 0] = 5.0
    assert group["large"][1][0] == 5.0
