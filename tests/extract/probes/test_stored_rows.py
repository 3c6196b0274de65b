import os

import numpy as np
import pytest

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.load import load_probe
from spectra_cli.extract.probes.numpy_arrays import read_npy
from spectra_cli.extract.probes.shards import read_headerless
from spectra_cli.extract.probes.source import ProbeRequest, TokenFile
from spectra_cli.extract.probes.windows import cut_windows, gather_windows

REQUEST = ProbeRequest(source="x", num_sequences=3, sequence_length=4)


def opened(path, shape, dtype, order="C"):
    ids = np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)
    if path.suffix == ".npy":
        np.save(path, np.asarray(ids, order=order))
        return TokenFile(name=str(path), ids=read_npy(path)), ids
    ids.tofile(path)
    return TokenFile(name=str(path), ids=read_headerless(path, dtype)), ids


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "order"),
    [
        ("a.bin", (3000,), "<u2", "C"),
        ("a.npy", (3000,), ">i4", "C"),
        ("a.npy", (300, 7), "<i8", "C"),
        ("a.npy", (300, 7), "<i8", "F"),
    ],
)
def test_windows_read_are_windows_mapped(tmp_path, name, shape, dtype, order):
    file, ids = opened(tmp_path / name, shape, dtype, order)
    windows = cut_windows([file], REQUEST)
    chosen = np.array([7, 0, len(windows[0].rows) - 1])
    found, starts = gather_windows(windows, chosen, vocab_size=2**31)
    flat = ids.ravel()
    assert found.tolist() == [flat[start : start + 5].tolist() for start in starts]


@pytest.mark.parametrize("name", ["a.bin", "a.npy"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_truncated_after_it_was_opened_is_an_error(tmp_path, name, order):
    shape = (5000,) if name == "a.bin" else (1000, 5)
    file, _ = opened(tmp_path / name, shape, "<u2", order)
    windows = cut_windows([file], REQUEST)
    os.truncate(tmp_path / name, 0)
    with pytest.raises(ProbeError, match=r"has 0 bytes, and had \d+ when it was opened: it changed"):
        gather_windows(windows, np.array([0, 900]), vocab_size=2**16)


def test_a_probe_is_the_same_from_file_and_memory(tmp_path):
    ids = np.random.default_rng(0).integers(0, 99, 5000).astype("<u2")
    ids.tofile(tmp_path / "a.bin")
    wanted = ProbeRequest(
        source=str(tmp_path / "a.bin"), num_sequences=8, sequence_length=9, format="bin-uint16"
    )
    probe = load_probe(wanted, vocab_size=99, checkpoint_folder=None)
    for row, start in zip(probe.tokens.tolist(), probe.info.starts, strict=True):
        assert row == ids[start : start + 9].tolist()
