from pathlib import Path

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.entries import model_entries
from spectra_cli.extract.checkpoints.distributed.metadata import ShardedTensor, StoredEntries


def _entries(*paths):
    tensor = ShardedTensor(shape=(), dtype=torch.float32, chunks=())
    by_key = {".".join(path): path for path in paths}
    return StoredEntries(tensors=dict.fromkeys(by_key, tensor), paths=by_key)


@pytest.mark.parametrize(
    "paths",
    [
        [("w",), ("optimizer", "state.w.exp_avg")],
        [("model", "w"), ("optim", "w"), ("step",)],
        [("app", "model", "w"), ("app", "optim", "state", "w")],
        [("module.w",), ("optimizer.state.w",)],
        [("state_dict", "_orig_mod.w"), ("ema", "w")],
    ],
)
def test_the_model_is_told_from_the_rest(paths):
    found = model_entries(_entries(*paths), Path("run"))
    assert found.keys == {"w": ".".join(paths[0])}
    assert any("entries beside the model are not read" in notice for notice in found.notices)


def test_names_of_transformers_keep_their_model():
    names = [("model.layers.0.w",), ("lm_head.weight",)]
    assert set(model_entries(_entries(*names), Path("run")).tensors) == {"model.layers.0.w", "lm_head.weight"}


@pytest.mark.parametrize("paths", [[("optimizer", "w")], [("student", "w"), ("teacher", "w")]])
def test_no_one_model(paths):
    with pytest.raises(CheckpointError, match="no one group of tensors is the model"):
        model_entries(_entries(*paths), Path("run"))


def test_two_names_that_would_be_one():
    with pytest.raises(CheckpointError, match="two tensors are called 'w'"):
        model_entries(_entries(("module.w",), ("w",)), Path("run"))
