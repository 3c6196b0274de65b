import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.models.matching import compare_shapes, require_floating

REF = CheckpointRef(run="r", step=1, uri="/runs/r", format="nanogpt")


def test_equal_shapes_pass():
    compare_shapes(REF, "model", found={"a": (1, 2)}, expected={"a": (1, 2)})


def test_all_three_lists_are_in_the_message():
    with pytest.raises(ModelError) as error:
        compare_shapes(REF, "model", found={"a": (1,), "c": (2,)}, expected={"a": (3,), "b": (2,)})
    message = str(error.value)
    assert "/runs/r" in message
    assert "1 missing: b; 1 unexpected: c; 1 of another shape: a (1,) in the file, (3,) expected" in message


def test_long_lists_are_cut_with_their_count():
    with pytest.raises(ModelError, match=r"25 missing: .* and 5 more"):
        compare_shapes(REF, "model", found={}, expected={f"t{i}": () for i in range(25)})


def test_floating_point_numbers_of_all_kinds_pass():
    require_floating(REF, {"a": torch.float32, "b": torch.bfloat16, "c": torch.float64})


def test_other_numbers_are_named_with_their_kind():
    with pytest.raises(ModelError, match=r"/runs/r: 2 weights .* b \(int8\), c \(complex64\)"):
        require_floating(REF, {"a": torch.float32, "c": torch.complex64, "b": torch.int8})
