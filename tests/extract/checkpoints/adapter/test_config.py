import json
import math

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.config import read_adapter_config

PLAIN = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
Q0 = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def read(tmp_path):
    def config(**changes):
        (tmp_path / "adapter_config.json").write_text(json.dumps(PLAIN | changes))
        return read_adapter_config(tmp_path)

    return config


def test_scales(read):
    assert read().scale_of(Q0) == 2
    assert read(use_rslora=True).scale_of(Q0) == 16 / math.sqrt(8)
    assert read(rank_pattern={"q_proj": 4}).scale_of(Q0) == 4
    assert read(alpha_pattern={"v_proj": 1, "layers.0.self_attn.q_proj": 32}).scale_of(Q0) == 4


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("q_proj", True),
        ("proj", False),  # the end of a path, in whole parts
        (f"^{Q0}", True),
        ("^q_proj", False),
        (r"layers\.[0-3]\..*", True),
        ("k_proj|q_proj", True),
    ],
)
def test_patterns_match_the_end_of_a_path_as_in_peft(read, pattern, matches):
    from peft.utils.other import get_pattern_key

    assert (get_pattern_key([pattern], Q0) == pattern) is matches
    assert read(rank_pattern={pattern: 2}).rank_of(Q0) == (2 if matches else 8)


def test_targets(read):
    assert read().targets_module(Q0)
    assert not read().targets_module("model.layers.0.self_attn.k_proj")
    assert not read(exclude_modules=["layers.0.self_attn.q_proj"]).targets_module(Q0)
    assert read(target_modules=r".*\.q_proj").targets_module(Q0)
    assert not read(target_modules="q_proj").targets_module(Q0)  # a pattern is of the whole path
    assert not read(target_modules="all-linear").targets_module(Q0)  # which those are, names do not tell
    assert not read(layers_to_transform=1).targets_module(Q0)
    assert read(layers_to_transform=[0, 2]).targets_module(Q0)


KINDS = ["IA3", "LOHA", "LOKR", "PREFIX_TUNING", "PROMPT_TUNING", "ADALORA", "OFT", "VERA", None]


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_adapters_are_refused_by_name(read, kind):
    with pytest.raises(CheckpointError, match=rf"type {kind!r}; LORA"):
        read(peft_type=kind)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication"),
        ({"use_qalora": True}, "use_qalora"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4.*changes the base"),
        ({"init_lora_weights": "loftq"}, "changes the base"),
        ({"r": 0}, "r is 0"),
        ({"r": "8"}, "r is '8'"),
        ({"r": 1.5}, "r is 1.5"),
        ({"lora_alpha": None}, "lora_alpha is None"),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf; expected a positive number"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern is -1"),
        ({"rank_pattern": [1]}, "expected dict"),
        ({"use_dora": "yes"}, "use_dora is 'yes'; expected bool"),
        ({"target_modules": 3}, "target_modules is 3"),
        ({"base_model_name_or_path": 3}, "base_model_name_or_path is 3"),
    ],
)
def test_what_cannot_be_read_is_named(read, changes, words):
    with pytest.raises(CheckpointError, match=words):
        read(**changes)


@pytest.mark.parametrize("init", [True, False, "gaussian", "eva", "orthogonal", "mica"])
def test_initialisations_that_leave_the_base_alone(read, init):
    assert read(init_lora_weights=init).rank == 8


def test_a_broken_pattern(read):
    with pytest.raises(CheckpointError, match="no regular expression"):
        read(rank_pattern={"(": 2}).rank_of(Q0)


def test_no_json(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        read_adapter_config(tmp_path)
