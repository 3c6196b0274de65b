import numpy as np
import pytest

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.probes.numpy_arrays import read_npy


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
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ProbeError, match="cannot be read"):
        read_npy(tmp_path / "a.npy")


def test_an_npz_archive_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ProbeError, match="holds NpzFile"):
        read_npy(tmp_path / "a.npy")
