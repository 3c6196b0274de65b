import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.wrappers import unwrapped


@pytest.mark.parametrize(
    "stored",
    [
        "_orig_mod.h.0.w",
        "module._orig_mod.h.0.w",
        "_orig_mod.module._orig_mod.model.h.0.w",
        "_fsdp_wrapped_module.module.h.0._checkpoint_wrapped_module.w",
        "module._fsdp_wrapped_module._orig_mod.h._fsdp_wrapped_module.0.w",
    ],
)
def test_every_stack_of_wrappers_comes_off(stored):
    state, notices = unwrapped({stored: 1}, leading=("_orig_mod", "module", "model"))
    assert state == {"h.0.w": 1}
    assert "1 of 1" in notices[0]


def test_genuine_names_stay():
    state = {"model.layers.0.w": 1, "lm_head.weight": 2, "h.module.w": 3}
    assert unwrapped(state) == (state, ())


def test_two_copies_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match="two tensors are called 'w'"):
        unwrapped({"module.w": 1, "w": 2})
