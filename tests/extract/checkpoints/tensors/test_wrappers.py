import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.tensors.wrappers import unwrapped


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
