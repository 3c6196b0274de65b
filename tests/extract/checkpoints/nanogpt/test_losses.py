import pytest
import torch

from spectra_cli.extract.checkpoints.nanogpt.losses import stored_loss
from spectra_cli.extract.checkpoints.nanogpt.payload import Payload


def _loss(family, *, names=("h.0.attn.c_proj.weight",), target_reached=False, **content):
    payload = Payload(layout="spectral-lens", file_family=family, state={}, step=5, content=content)
    return stored_loss(payload, names=names, target_reached=target_reached)


@pytest.mark.parametrize("family", ["A", "B/F", "C", "D", "E"])
def test_a_file_of_an_early_stop_carries_its_own_loss(family):
    loss, notices = _loss(family, val_loss=3.5, target_reached=True, names=["h.0.attn.mix"])
    assert (loss, notices) == (3.5, ())


@pytest.mark.parametrize("family", ["B/F", "C", "D", "E"])
def test_a_periodic_loss_that_is_stale_is_left_out(family):
    loss, notices = _loss(family, val_loss=3.5, names=["h.0.attn.mix"])
    assert loss is None
    assert "val_loss 3.5 may be of an earlier step" in notices[0]


def test_family_a_keeps_the_last_validation_and_says_so():
    loss, notices = _loss("A", val_loss=3.5)
    assert loss == 3.5
    assert "at or before" in notices[0]


def test_family_b_stores_a_loss_only_when_it_measured_it():
    assert _loss("B/F", val_loss=torch.tensor(3.5))[0] == 3.5
    assert _loss("B/F", val_loss=None) == _loss("B/F")


def test_the_best_loss_is_not_that_of_the_step():
    loss, notices = _loss("", best_val_loss=torch.tensor(2.5))
    assert loss is None
    assert "best_val_loss 2.5" in notices[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3.5", True])
def test_a_loss_that_is_not_a_number(value):
    loss, notices = _loss("A", val_loss=value)
    assert loss is None
    assert "left out" in notices[0]
