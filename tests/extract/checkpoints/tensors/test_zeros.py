import pytest
import torch

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.checkpoints.tensors.zeros import require_some_values
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
