import fractions

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.tensors import read_npy, read_pt, read_safetensors


@pytest.mark.parametrize("dtype", ["<i8", "<u2", ">i4"])
@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_integer_arrays_are_mapped(tmp_path, dtype, shape):
    ids = np.arange(6).reshape(shape)
    np.save(tmp_path / "a.npy", ids.astype(dtype))
    array = read_npy(tmp_path / "a.npy")
    assert isinstance(array, np.memmap)
    assert array.tolist() == ids.tolist()


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ProbeError, match=r"a\.npy cannot be read"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [np.float32, bool])
def test_other_dtypes_are_refused_by_name(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros(3, dtype=dtype))
    with pytest.raises(ProbeError, match=f"holds {np.dtype(dtype)}, expected"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x01\x00"])
def test_damaged_arrays_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ProbeError, match="cannot be read"):
        read_npy(tmp_path / "a.npy")


def test_an_npz_archive_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ProbeError, match="holds NpzFile"):
        read_npy(tmp_path / "a.npy")


IDS = torch.tensor([[1, 2, 3], [4, 5, 60_000]])


@pytest.mark.parametrize(
    "content",
    [
        IDS,
        IDS.to(torch.int32),
        IDS.to(torch.uint16),
        {"anything": IDS, "weights": torch.zeros(2), "mask": torch.ones(3, dtype=torch.bool), "note": "x"},
        {"input_ids": IDS, "labels": IDS + 1},
        {"tokens": IDS, "lengths": torch.tensor([3, 3])},
    ],
)
def test_the_token_tensor_of_a_pt_file(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    assert read_pt(tmp_path / "a.pt").tolist() == IDS.tolist()


def test_the_older_pt_layout_is_read(tmp_path):
    torch.save(IDS, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert read_pt(tmp_path / "a.pt").tolist() == IDS.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(2, 3), r"holds torch.float32 of shape \(2, 3\)"),
        ({"a": IDS, "b": IDS}, r"a torch.int64 of shape \(2, 3\), b torch.int64"),
        ({"tokens": IDS, "input_ids": IDS}, "expected one integer tensor"),
        ({}, "holds nothing"),
        (["x"], "holds list"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ProbeError, match=message):
        read_pt(tmp_path / "a.pt")


def test_a_pickle_that_needs_code_is_refused_by_name(tmp_path):
    torch.save({"tokens": IDS, "extra": fractions.Fraction(1, 2)}, tmp_path / "a.pt")
    with pytest.raises(ProbeError, match=r"a\.pt: needs types outside the allow-list: fractions.Fraction"):
        read_pt(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
def test_damaged_files_are_refused(tmp_path, content):
    for reader, name in ((read_pt, "a.pt"), (read_safetensors, "a.safetensors")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ProbeError, match=name):
            reader(tmp_path / name)


@pytest.mark.parametrize("content", [{"any": IDS}, {"tokens": IDS, "lengths": torch.tensor([3, 3])}])
def test_the_token_tensor_of_a_safetensors_file(tmp_path, content):
    save_file(content, tmp_path / "a.safetensors")
    assert read_safetensors(tmp_path / "a.safetensors").tolist() == IDS.tolist()


def test_safetensors_without_integers_are_refused_by_name(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ProbeError, match=r"holds weight torch\.float32"):
        read_safetensors(tmp_path / "a.safetensors")
