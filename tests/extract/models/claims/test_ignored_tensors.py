"""Layers that predict further tokens are left out as transformers leaves them out; nothing else is."""

import json
from typing import Any

import pytest
import torch
from transformers import AXK1Config, AXK1ForCausalLM, Glm4MoeForCausalLM

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.claims.ignored_tensors import ignored_notice
from spectra_cli.extract.models.transformers.loading import build_module
from spectra_cli.extract.protocols import TensorHeader
from tests.extract.writers.huggingface import random_model
from tests.extract.writers.mixtures import CONFIGS, WIDTH

CPU = torch.device("cpu")


def written(header_of, name, extra=None, **config):
    """A tiny mixture of two layers, its header and its tensors with others beside them."""
    module = random_model({"model_type": name, **CONFIGS[name]})
    state = {n: t.clone() for n, t in module.state_dict().items()}
    state |= extra(state) if extra else {}
    saved = json.loads(module.config.to_json_string()) | config
    return module, header_of(saved, state, format="huggingface"), state


def block(state, number):
    """The last block once more, under another number."""
    return {n.replace("layers.1.", f"layers.{number}."): t for n, t in state.items() if "layers.1." in n}


def prediction_layer(number):
    """As DeepSeek and GLM publish it: a block, and what joins it to the model."""

    def extra(state):
        joins = {f"model.layers.{number}.{n}.weight": torch.ones(WIDTH) for n in ("enorm", "hnorm")}
        joins[f"model.layers.{number}.eh_proj.weight"] = torch.ones(WIDTH, 2 * WIDTH)
        return block(state, number) | joins

    return extra


@pytest.mark.parametrize("name", ["glm4_moe", "deepseek_v3"])
def test_a_prediction_layer_that_the_configuration_counts(header_of, name):
    module, header, state = written(header_of, name, prediction_layer(2), num_nextn_predict_layers=1)
    built, notices = build_module(header, state, device=CPU)
    for own, parameter in module.named_parameters():
        assert torch.equal(built.get_parameter(own), parameter), own
    left = [t for n, t in state.items() if "layers.2." in n]
    num_bytes = sum(t.nbytes for t in left)
    said = f"{len(left)} tensors ({num_bytes / 1024:.2f} KiB) are no part of {type(module).__name__}"
    assert f"{said}, which leaves such out on purpose, and are not measured: model.layers.2.*" in notices
    assert build_module(header, None, device=CPU)[1] == notices


def test_a_prediction_layer_that_the_class_names(header_of, monkeypatch):
    monkeypatch.setattr(Glm4MoeForCausalLM, "_keys_to_ignore_on_load_unexpected", [r"model\.layers\.2.*"])
    _, header, state = written(header_of, "glm4_moe", prediction_layer(2), num_nextn_predict_layers=None)
    assert "model.layers.2.*" in build_module(header, state, device=CPU)[1][-1]


def test_what_ernie_calls_mtp(header_of):
    extra = {f"model.mtp_{n}.0.weight": torch.ones(WIDTH) for n in ("emb_norm", "hidden_norm", "linear_proj")}
    _, header, state = written(header_of, "ernie4_5_moe", lambda _: extra)
    assert build_module(header, state, device=CPU)[1][-1].startswith(
        f"3 tensors ({3 * 4 * WIDTH} B) are no part"
    )


@pytest.mark.parametrize("number_named", [2, 3])
def test_an_ordinary_block_under_the_number_of_a_prediction_layer_is_refused(
    header_of, monkeypatch, number_named
):
    # the model has three layers, and the configuration says two
    patterns = [rf"model\.layers\.{number_named}.*"]
    monkeypatch.setattr(Glm4MoeForCausalLM, "_keys_to_ignore_on_load_unexpected", patterns)
    _, header, state = written(header_of, "glm4_moe", lambda s: block(s, 2), num_nextn_predict_layers=1)
    for given in (state, None):
        with pytest.raises(ModelError, match=r"unexpected: model\.layers\.2\."):
            build_module(header, given, device=CPU)


def test_a_prediction_layer_that_nothing_announces_is_refused(header_of):
    _, header, state = written(header_of, "deepseek_v3", prediction_layer(2), num_nextn_predict_layers=0)
    with pytest.raises(ModelError, match=r"unexpected: model\.layers\.2\."):
        build_module(header, state, device=CPU)


def test_a_tensor_that_the_model_has_is_missed_beside_a_prediction_layer(header_of):
    _, header, state = written(header_of, "deepseek_v3", prediction_layer(2), num_nextn_predict_layers=1)
    del state["model.norm.weight"]
    with pytest.raises(ModelError, match=r"fit DeepseekV3ForCausalLM: 1 missing: model\.norm\.weight\. "):
        build_module(header, state, device=CPU)


def test_a_vector_that_the_class_starts_at_zero_may_be_missing(header_of):
    sizes: dict[str, Any] = CONFIGS["deepseek_v3"]
    config = AXK1Config(**{n: v for n, v in sizes.items() if n != "model_type"})
    state = {n: t.clone() for n, t in AXK1ForCausalLM(config).state_dict().items()}
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    without = {n: t for n, t in state.items() if n != name}
    header = header_of(json.loads(config.to_json_string()), without, format="huggingface")
    module, _ = build_module(header, without, device=CPU)
    assert not module.get_parameter_or_buffer(name).any()
    build_module(header, None, device=CPU)


def test_parts_are_named_once():
    names = [f"mtp.layers.{i}.{n}.weight" for i in (0, 1) for n in "ab"] + ["model.mtp.norm.weight"]
    tensors = {name: TensorHeader(shape=(256, 2), dtype=torch.bfloat16) for name in names}
    notice = ignored_notice("Model", names, tensors)
    assert notice.startswith("5 tensors (5.00 KiB) are no part of Model")
    assert notice.endswith(": model.mtp.*, mtp.layers.0.*, mtp.layers.1.*")


def test_parts_beyond_the_first_few_are_counted():
    names = [f"mtp.layers.{i}.weight" for i in range(7)]
    assert ignored_notice("Model", names, {}).endswith("mtp.layers.3.* and 3 more")


def test_a_prefix_that_transformers_adds_does_not_hide_the_bytes():
    written_to = {"mtp.a": TensorHeader(shape=(3,), dtype=torch.float32)}
    assert "(12 B)" in ignored_notice("Model", ["model.mtp.a"], written_to)
