import pytest

from spectra_cli.extract.checkpoints.files.stored_file import is_possible


def test_what_tensors_have():
    assert is_possible((2,) * 62)
    assert is_possible([0, 2**62])
    assert is_possible((1,) * 64)


@pytest.mark.parametrize(
    "shape", [(2,) * 63, (2**63,), (0, 2**32, 2**31), (-1, -1), (1.0,), (True,), ("1",), (1,) * 65, [[1]]]
)
def test_what_no_tensor_has(shape):
    assert not is_possible(shape)


def test_a_million_huge_sizes_are_not_multiplied():
    assert not is_possible((2**62,) * 10**6)
