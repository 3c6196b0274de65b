import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.tensors.gathered import require_gathered
from spectra_cli.extract.protocols import TensorHeader
from tests.extract.writers import adapters
from tests.extract.writers.huggingface import CONFIGS, random_model

MESSAGE = r"tensors are empty, of shape \(0,\).* saved without gathering .* \(ZeRO-3 or FSDP\)"


def headers(**shapes):
    return {name: TensorHeader(shape=shape, dtype=torch.float32) for name, shape in shapes.items()}


def header_at(path):
    source = find_source(str(path))
    return source.header(source.refs()[0])


def test_whole_tensors_pass():
    require_gathered(headers(a=(2, 3), b=(1,), c=(), d=(0, 3)), where="here")


def test_flattened_pieces_are_named():
    with pytest.raises(
        CheckpointError, match=r"here: 1 of 2 tensors are flattened .*: h\._flat_param\. It was"
    ):
        require_gathered(headers(**{"h._flat_param": (77,), "b": (1,)}), where="here")


def test_a_folder_that_zero_left_empty(tmp_path):
    module = random_model({"model_type": "llama", **CONFIGS["llama"]})
    module.config.save_pretrained(tmp_path)
    state = {name: torch.empty(0) for name in module.state_dict()} | {"model.norm.weight": torch.ones(32)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"20 of 21 {MESSAGE}"):
        header_at(tmp_path)


def test_a_file_that_fsdp_left_empty(tmp_path, decoder_state):
    state = {name: torch.empty(0) for name in decoder_state("n")}
    torch.save({"model": state, "model_args": {"n_head": 4}}, tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError, match=MESSAGE):
        header_at(tmp_path)


def test_an_adapter_that_zero_left_empty(tmp_path):
    adapters.adapt(adapters.bare_llama, adapters.lora(), tmp_path / "base", tmp_path / "adapter")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file({name: torch.empty(0)}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=f"adapter: 1 of 1 {MESSAGE}"):
        header_at(tmp_path / "adapter")
