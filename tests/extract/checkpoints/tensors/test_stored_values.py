import math

import pytest
import torch

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract import digest
from spectra_cli.extract.checkpoints.tensors.stored_values import (
    non_finite,
    precision_notices,
    require_some_values,
)
from spectra_cli.extract.protocols import TensorHeader
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.scan import scan
from tests.extract.writers.huggingface import CONFIGS, random_model

SETTINGS = ScanSettings(measurements=("weight",), layers="0", matrices=("attn.q",))


def scanned(path, tmp_path):
    scan(ScanRequest(checkpoints=str(path), settings=SETTINGS, output=tmp_path / "a.h5"), lambda _: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_one_number_is_enough(dtype):
    state = {"a": torch.zeros(2), "ids": torch.ones(2, dtype=torch.int64), "b": torch.ones(3).to(dtype)}
    require_some_values(state, where="here")
    state["b"] = torch.zeros(3).to(dtype)
    with pytest.raises(SpectraError, match="here: a and b hold nothing but zeros"):
        require_some_values(state, where="here")


def test_a_checkpoint_of_zeros_says_so(tmp_path):
    module = random_model({"model_type": "llama", **CONFIGS["llama"]})
    for parameter in module.parameters():
        parameter.data.zero_()
    module.save_pretrained(tmp_path / "run")
    with pytest.raises(SpectraError, match="run: all 21 of its tensors hold nothing but zeros: it was saved"):
        scanned(tmp_path / "run", tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_zeros_do_not_pass_for_a_tied_head(tmp_path, decoder_state, tied):
    state = {name: torch.zeros_like(tensor) for name, tensor in decoder_state("6").items()}
    content = {"step": 1, "model": state, "args": {"n_head": 4, "tied": tied}}
    torch.save(content, tmp_path / "checkpoint_step000001.pt")
    said = r"step000001\.pt: lm_head\.weight and transformer\.wte\.weight hold nothing but zeros"
    with pytest.raises(SpectraError, match=said):
        inspect(ScanRequest(checkpoints=str(tmp_path), settings=SETTINGS))
    with pytest.raises(SpectraError, match=said):
        scanned(tmp_path, tmp_path)


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("chunk_bytes", [1, 64, 1 << 26])
def test_counts_are_exact_whatever_the_chunks(dtype, chunk_bytes, monkeypatch):
    monkeypatch.setattr(digest, "_CHUNK_BYTES", chunk_bytes)
    tensor = torch.ones(40, 3).to(dtype)
    assert non_finite({"w": tensor}) == ""
    tensor[0, 1] = tensor[39, 2] = torch.tensor(math.nan).to(dtype)
    assert non_finite({"w": tensor, "v": torch.zeros(2)}) == "w (2 of 120)"
    assert non_finite({"w": tensor.T}) == "w (2 of 120)"


def test_infinities_of_both_signs_and_one_number():
    tensor = torch.tensor([math.inf, -math.inf, 0.0])
    assert non_finite({"w": tensor, "s": torch.tensor(math.inf)}) == "w (2 of 3), s (1 of 1)"


def test_a_sum_that_overflows_is_no_infinite_weight():
    assert non_finite({"w": torch.full((4, 4), 6e4, dtype=torch.float16)}) == ""
    assert non_finite({"w": torch.full((4,), 3e38)}) == ""


def test_many_tensors_are_counted_and_integers_left_alone():
    state = {f"w{i}": torch.tensor([math.nan]) for i in range(7)}
    assert non_finite(state).endswith("w3 (1 of 1) and 3 more tensors")
    assert (
        non_finite({"ids": torch.arange(4), "mask": torch.ones(2, dtype=torch.bool), "e": torch.empty(0)})
        == ""
    )


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
