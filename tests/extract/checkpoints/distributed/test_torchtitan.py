import json
import re

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.distributed.torchtitan import (
    is_torchtitan_llama,
    llama_config,
    llama_names,
)
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.distributed import save
from tests.extract.writers.torchtitan import PARAMETERS, reference, tensors

TOKENS = torch.arange(10).reshape(2, 5)


@pytest.mark.parametrize("tied", [False, True])
def test_logits_against_metas_equations(tmp_path, tied):
    state = tensors(tied=tied)
    save({**state, "freqs_cis": torch.ones(4, dtype=torch.complex64)}, tmp_path / "checkpoint" / "step-20")
    (tmp_path / "checkpoint" / "params.json").write_text(json.dumps(PARAMETERS))
    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    header, read = source.header(ref), source.open(ref)
    model = find_family(header).build(header, read, device=torch.device("cpu"))
    logits = model.head(model.trunk(TOKENS)).double()
    # float32 against float64
    torch.testing.assert_close(logits, reference(state, TOKENS), rtol=0, atol=1e-5)
    assert (model.family, ref.step, header.sources["config"]) == ("llama", 20, "../params.json")
    assert any("reordered" in notice for notice in header.notices)
    assert "recomputed instead of read: freqs_cis" in header.notices


def test_reordered_rows_leave_singular_values(tmp_path):
    state = tensors()
    save(state, tmp_path / "step-1")
    (tmp_path / "params.json").write_text(json.dumps(PARAMETERS))
    source = find_source(str(tmp_path))
    read = source.open(source.refs()[0])
    own, renamed = state["layers.1.attention.wq.weight"], read["model.layers.1.self_attn.q_proj.weight"]
    assert not torch.equal(own, renamed)
    torch.testing.assert_close(torch.linalg.svdvals(own), torch.linalg.svdvals(renamed))


@pytest.mark.parametrize("missing", PARAMETERS)
def test_what_no_tensor_shows_is_asked_for_by_name(tmp_path, missing):
    save(tensors(), tmp_path / "step-1")
    stated = {name: value for name, value in PARAMETERS.items() if name != missing}
    (tmp_path / "params.json").write_text(json.dumps(stated))
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match=rf"step-1.*without {missing}, .*params\.json beside"):
        source.header(source.refs()[0])


def _shapes():
    return {new: tuple(tensors()[own].shape) for new, own in llama_names(tensors()).items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_heads": 5}, "n_heads is 5"), ({"use_scaled_rope": True}, "scaled RoPE")],
)
def test_parameters_that_cannot_be(change, message):
    with pytest.raises(CheckpointError, match=message):
        llama_config(_shapes(), PARAMETERS | change, where="here")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "8", None])
def test_what_is_no_number_is_missing(value):
    with pytest.raises(CheckpointError, match="without rope_theta"):
        llama_config(_shapes(), PARAMETERS | {"rope_theta": value}, where="here")


def test_layers_that_are_not_there_are_not_built():
    far = {name.replace("layers.1.", f"layers.{10**11}."): shape for name, shape in _shapes().items()}
    with pytest.raises(CheckpointError, match="2 layers are not numbered 0 to 1"):
        llama_config(far, PARAMETERS, where="here")


@pytest.mark.parametrize("heads", [None, 0, 5, "8"])
def test_a_configuration_of_another_model(tmp_path, heads):
    save(tensors(), tmp_path / "step-1")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "num_attention_heads": heads}))
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"config\.json: num_attention_heads is .* even heads"):
        source.header(source.refs()[0])


def test_transformers_configuration_is_taken_as_it_is():
    stated = {"model_type": "llama", "num_attention_heads": 3}
    assert llama_config({}, stated, where="here") == stated


def test_names():
    assert is_torchtitan_llama(tensors())
    assert not is_torchtitan_llama(["model.embed_tokens.weight"])
    assert llama_names(["layers.3.moe.router.gate.weight"]) == {
        "layers.3.moe.router.gate.weight": "layers.3.moe.router.gate.weight"
    }


def test_every_tensor_is_renamed():
    assert all(re.match(r"model\.|lm_head\.", name) for name in llama_names(tensors()))


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (3, r"n_layers is 3, and its tensors are of 2 layers: 9 missing: model\.layers\.2\.input_layernorm"),
        (1, r"9 unexpected: model\.layers\.1\.input_layernorm"),
        (10**9, r"8999999982 missing: model\.layers\.2\..* and 8999999962 more"),
    ],
)
def test_layers_that_are_lost_or_too_many(depth, message):
    assert llama_config(_shapes(), PARAMETERS | {"n_layers": 2}, where="here")["num_hidden_layers"] == 2
    with pytest.raises(CheckpointError, match=message):
        llama_config(_shapes(), PARAMETERS | {"n_layers": depth}, where="here")


def test_sizes_that_the_tensors_contradict_are_noticed(tmp_path):
    save(tensors(), tmp_path / "step-1")
    width, vocab = tensors()["tok_embeddings.weight"].shape[::-1]
    stated = PARAMETERS | {"dim": 999, "n_layers": 2, "vocab_size": -1}
    (tmp_path / "params.json").write_text(json.dumps(stated))
    source = find_source(str(tmp_path))
    said = [n for n in source.header(source.refs()[0]).notices if "the tensors decide" in n]
    assert said == [f"dim is 999 by params.json, and the tensors have {width}: the tensors decide"]
    (tmp_path / "params.json").write_text(json.dumps(stated | {"dim": width, "vocab_size": 10**12}))
    said = [n for n in source.header(source.refs()[0]).notices if "the tensors decide" in n]
    assert said == [
        f"vocab_size is 1000000000000 by params.json, and the tensors have {vocab}: the tensors decide"
    ]
