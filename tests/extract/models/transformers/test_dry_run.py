"""What a forward pass meets is told of a skeleton, and nothing is told of a model that runs."""

import json

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.dry_run import run_without_values
from spectra_cli.extract.series.opened import open_series
from tests.extract.writers.huggingface import CONFIGS, random_model
from tests.extract.writers.mixtures import CONFIGS as MIXTURES

ROPE = [
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16},
]
KINDS = {**CONFIGS, **MIXTURES}
SOME = ("llama", "gemma2", "falcon", "opt", "mamba", "mixtral", "deepseek_v3", "gpt_oss")


def saved(folder, kind, **changes):
    random_model({"model_type": kind, **KINDS[kind]}).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return str(folder)


@pytest.mark.parametrize(
    "kind", [kind if kind in SOME else pytest.param(kind, marks=pytest.mark.exhaustive) for kind in KINDS]
)
def test_every_family_comes_to_the_end(kind, tmp_path):
    model = open_series(saved(tmp_path, kind)).skeleton
    assert run_without_values(model)
    assert all(tensor.is_meta for tensor in model.module.state_dict().values())
    assert not model.kernels


@pytest.mark.parametrize("rope", ROPE, ids=lambda rope: rope["rope_type"])
def test_scaled_frequencies_come_to_the_end(rope, tmp_path):
    model = open_series(saved(tmp_path, "llama", rope_parameters={"rope_theta": 1e4, **rope})).skeleton
    assert run_without_values(model)


@pytest.mark.parametrize(
    ("kind", "change"), [("gemma2", {"sliding_window": None}), ("deepseek_v3", {"n_group": 0})]
)
def test_what_a_pass_meets(kind, change, tmp_path):
    with pytest.raises(ModelError, match=f"config.json describes no {kind} model that can be run: "):
        open_series(saved(tmp_path, kind, **change))


def test_what_torch_raises_is_told_as_of_the_checkpoint(tmp_path):
    model = open_series(saved(tmp_path, "llama")).skeleton
    model.blocks[0].register_forward_hook(lambda module, inputs, output: output.view(7, 7))
    with pytest.raises(ModelError, match="model that can be run: RuntimeError: shape"):
        run_without_values(model)


def test_what_only_values_decide_is_left_out(tmp_path):
    model = open_series(saved(tmp_path, "llama")).skeleton
    model.blocks[0].register_forward_hook(lambda module, inputs, output: torch.nonzero(output))
    assert not run_without_values(model)
