import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.nanogpt.payload import (
    Payload,
    read_payload,
    stored_learning_rate,
    stored_loss,
    value_weights,
)
from spectra_cli.extract.checkpoints.nanogpt.source import NanoGPTFormat

MODEL = {"w": torch.ones(2)}


@pytest.mark.parametrize(
    ("content", "layout", "family", "step"),
    [
        ({"model": MODEL, "model_args": {"n_head": 2}, "iter_num": 5, "optimizer": {}}, "nanogpt", "", 5),
        ({"model": MODEL, "step": 5, "derived": {}, "rng": {}, "optimizer": {}}, "spectral-lens", "A", 5),
        ({"model": MODEL, "step": 5, "optimizers": [], "rng": {}, "extra": {}}, "spectral-lens", "B/F", 5),
        ({"model": MODEL, "step": 5, "optimizer": {}}, "spectral-lens", "C", 5),
        ({"model": MODEL, "step": 5, "optimizers": []}, "spectral-lens", "D", 5),
        ({"model": MODEL, "step": 5, "optimizer1": {}, "optimizer2": {}}, "spectral-lens", "E", 5),
        ({"model_state_dict": MODEL, "step": 5}, "state-dict", "", 5),
        ({"state_dict": MODEL}, "state-dict", "", None),
        ({"state_dict": MODEL, "global_step": 5, "epoch": 1}, "state-dict", "", 5),
        (MODEL, "state-dict", "", None),
        ({"model": MODEL, "step": -1}, "spectral-lens", "", None),
    ],
)
def test_layouts(tmp_path, content, layout, family, step):
    torch.save(content, tmp_path / "f.pt")
    payload = read_payload(tmp_path / "f.pt")
    assert (payload.layout, payload.file_family, payload.step) == (layout, family, step)
    assert set(payload.state) == {"w"}
    assert payload.mapping("rng") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a dict, found list"),
        ({"weights": MODEL, "step": 1}, "found the entries step, weights"),
        ({}, r"\(none\)"),
        ({"model": {"w": 1}}, r"'w' \(int\)"),
    ],
)
def test_files_without_a_state_dict(tmp_path, content, message):
    torch.save(content, tmp_path / "f.pt")
    with pytest.raises(CheckpointError, match=message):
        read_payload(tmp_path / "f.pt")


def optimizer(*rates):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.AdamW(groups).state_dict()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"optimizer": optimizer(6e-4, 6e-4)}, 6e-4),  # nanoGPT: with and without weight decay
        ({"optimizer": optimizer(6e-4, 3e-4)}, None),
        ({"optimizers": [optimizer(6e-4), optimizer(6e-4)]}, 6e-4),
        ({"optimizers": [optimizer(6e-4), optimizer(0.02)]}, None),  # Muon beside AdamW
        ({"optimizer": {"adam": optimizer(0.5)}}, 0.5),
        ({"optimizer": {"param_groups": [{"lr": float("nan")}, {}, 3]}}, None),
        ({"optimizer": None}, None),
        ({}, None),
    ],
)
def test_the_rate_is_that_of_all_groups_or_none(content, expected):
    payload = Payload(layout="nanogpt", file_family="", state={}, step=1, content=content)
    assert stored_learning_rate(payload) == expected


def test_value_weights_are_those_of_the_layers_that_have_them():
    state = {
        "transformer.h.0.attn.mix": torch.tensor([0.5, 0.25]),
        "transformer.h.10.attn.mix": torch.ones(3),
        "transformer.h.1.attn.lamb": torch.ones(2),
    }
    assert value_weights(state) == {0: 0.25}


def test_a_header_has_them_and_compares_what_it_is_asked_for(tmp_path):
    embedding = torch.arange(8.0).reshape(4, 2)
    state = {
        "transformer.wte.weight": embedding,
        "lm_head.weight": embedding.clone(),
        "transformer.h.0.attn.c_q.weight": embedding + 1,
        "transformer.h.0.attn.mix": torch.tensor([0.5, 0.25]),
    }
    content = {"step": 3, "model": {f"_orig_mod.{n}": t for n, t in state.items()}}
    torch.save(content, tmp_path / "ckpt_step_3.pt")
    source = NanoGPTFormat().find(str(tmp_path))
    header = source.header(source.refs()[0])
    assert header.value_weights == {0: 0.25}
    assert header.same_values("transformer.wte.weight", "lm_head.weight")
    assert not header.same_values("transformer.wte.weight", "transformer.h.0.attn.c_q.weight")


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
