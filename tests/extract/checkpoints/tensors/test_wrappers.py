import pytest
import torch
from safetensors.torch import save_file

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.tensors.wrappers import require_gathered, unwrapped
from spectra_cli.extract.protocols import TensorHeader
from tests.extract.writers import adapters
from tests.extract.writers.huggingface import CONFIGS, random_model


@pytest.mark.parametrize(
    "stored",
    [
        "_orig_mod.h.0.w",
        "module._orig_mod.h.0.w",
        "_orig_mod.module._orig_mod.model.h.0.w",
        "_fsdp_wrapped_module.module.h.0._checkpoint_wrapped_module.w",
        "module._fsdp_wrapped_module._orig_mod.h._fsdp_wrapped_module.0.w",
        "h.0._orig_mod.w",
        "_forward_module.h._fpw_module.0._orig_mod._checkpoint_wrapped_module.w",
    ],
)
def test_every_stack_of_wrappers_comes_off(stored):
    state, notices = unwrapped({stored: 1}, leading=("_orig_mod", "module", "model"))
    assert state == {"h.0.w": 1}
    assert "1 of 1" in notices[0]


def test_genuine_names_stay():
    state = {"model.layers.0.w": 1, "lm_head.weight": 2, "h.module.w": 3}
    assert unwrapped(state) == (state, ())


@pytest.mark.parametrize(
    ("stored", "genuine"),
    [
        ("model._orig_mod.layers.0.w", "model.layers.0.w"),
        ("model.module.layers.0.w", "model.layers.0.w"),
        ("model.layers.0._orig_mod.mlp.w", "model.layers.0.mlp.w"),
        ("module.base_model.model.model.layers.0.lora_A.w", "base_model.model.model.layers.0.lora_A.w"),
        ("base_model.model._orig_mod.model.layers.0.lora_A.w", "base_model.model.model.layers.0.lora_A.w"),
        ("base_model.model.module.model.layers.0.lora_A.w", "base_model.model.model.layers.0.lora_A.w"),
    ],
)
def test_wrappers_inside_names_come_off(stored, genuine):
    assert unwrapped({stored: 1})[0] == {genuine: 1}


def test_two_copies_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"called 'w' .* stored as 'module\.w' and 'w'"):
        unwrapped({"module.w": 1, "w": 2})
    with pytest.raises(CheckpointError, match=r"'h\.0\.w'"):
        unwrapped({"h.0._orig_mod.w": 1, "h._orig_mod.0.w": 2})


def test_the_count_of_an_averaged_model_is_no_tensor_of_it():
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2))
    state, notices = unwrapped(averaged.state_dict())
    assert set(state) == {"weight", "bias"}
    assert notices[1] == "averaged weights (AveragedModel); their count n_averaged is no part of the model"


MESSAGE = r"tensors? (is|are) empty, of shape \(0,\).* saved without gathering .* \(ZeRO-3 or FSDP\)"


def headers(**shapes):
    return {name: TensorHeader(shape=shape, dtype=torch.float32) for name, shape in shapes.items()}


def header_at(path):
    source = find_source(str(path))
    return source.header(source.refs()[0])


def test_whole_tensors_pass():
    require_gathered(headers(a=(2, 3), b=(1,), c=(), d=(0, 3)), where="here")


def test_flattened_pieces_are_named():
    with pytest.raises(
        CheckpointError,
        match=r"here: 1 of 2 tensors holds parameters in flattened pieces: h\._flat_param\. It was",
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
