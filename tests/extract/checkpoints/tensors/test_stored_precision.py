import torch

from spectra_cli.extract.checkpoints.tensors.stored_precision import precision_notices
from spectra_cli.extract.protocols import TensorHeader


def _headers(*dtypes):
    return {str(i): TensorHeader(shape=(2,), dtype=dtype) for i, dtype in enumerate(dtypes)}


def test_half_precision_is_counted_with_the_dtype_of_the_passes():
    found = precision_notices(
        _headers(torch.float16, torch.bfloat16, torch.float16, torch.float32), compute_dtype="bfloat16"
    )
    kinds = "float16 (2 of 4 tensors) and bfloat16 (1 of 4 tensors)"
    assert found == (f"weights stored in {kinds}, held in float32, passes in bfloat16",)


def test_full_precision_needs_no_notice():
    assert precision_notices(_headers(torch.float32, torch.float64), compute_dtype="float32") == ()
