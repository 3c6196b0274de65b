import pytest
import torch

from spectra_cli.extract.checkpoints.nanogpt.losses import stored_losses
from spectra_cli.extract.checkpoints.nanogpt.payload import Payload


def _losses(family, *, names=("h.0.attn.c_proj.weight",), target_reached=False, **content):
    payload = Payload(layout="spectral-lens", file_family=family, state={}, step=5, content=content)
    return stored_losses(payload, names=names, target_reached=target_reached)


@pytest.mark.parametrize("family", ["A", "B/F", "C", "D", "E"])
def test_a_file_of_an_early_stop_carries_its_own_loss(family):
    losses = _losses(family, val_loss=3.5, target_reached=True, names=["h.0.attn.mix"])
    assert (losses.eval_loss, losses.notices) == (3.5, ())


@pytest.mark.parametrize("family", ["B/F", "C", "D", "E"])
def test_a_periodic_loss_that_is_stale_is_left_out(family):
    losses = _losses(family, val_loss=3.5, names=["h.0.attn.mix"])
    assert losses.eval_loss is None
    assert "val_loss 3.5 may be of an earlier step" in losses.notices[0]


def test_family_a_keeps_the_last_validation_and_says_so():
    losses = _losses("A", val_loss=3.5)
    assert losses.eval_loss == 3.5
    assert "at or before" in losses.notices[0]


def test_family_b_stores_a_loss_only_when_it_measured_it():
    assert _losses("B/F", val_loss=torch.tensor(3.5)).eval_loss == 3.5
    assert _losses("B/F", val_loss=None) == _losses("B/F")


def test_the_best_loss_is_not_that_of_the_step():
    losses = _losses("", best_val_loss=torch.tensor(2.5))
    assert losses.eval_loss is None
    assert "best_val_loss 2.5" in losses.notices[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3.5", True])
def test_a_loss_that_is_not_a_number(value):
    losses = _losses("A", val_loss=value)
    assert losses.eval_loss is None
    assert "left out" in losses.notices[0]
