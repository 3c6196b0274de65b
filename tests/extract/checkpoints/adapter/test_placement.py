import json

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.adapter.config import read_adapter_config
from spectra_cli.extract.checkpoints.adapter.placement import is_embedding, place, stored_name
from spectra_cli.extract.protocols import TensorHeader

Q, K = "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj"


def headers(shapes, dtype=torch.float32):
    return {name: TensorHeader(shape=shape, dtype=dtype) for name, shape in shapes.items()}


BASE = headers({f"{Q}.weight": (8, 6), f"{K}.weight": (4, 6), "model.embed_tokens.weight": (10, 6)})


def pair(module, a=(2, 6), b=(8, 2)):
    return {
        f"base_model.model.{module}.lora_A.weight": a,
        f"base_model.model.{module}.lora_B.weight": b,
    }


@pytest.fixture
def put(tmp_path):
    def run(tensors, *, base=BASE, model_type="llama", **settings):
        content = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]} | settings
        (tmp_path / "adapter_config.json").write_text(json.dumps(content))
        return place(read_adapter_config(tmp_path), headers(tensors), base, model_type=model_type)

    return run


def test_a_pair_finds_its_matrix(put):
    (matrix,) = put(pair(Q)).adapted
    assert (matrix.parameter, matrix.flipped, matrix.scale) == (f"{Q}.weight", False, 1)
    (matrix,) = put(pair(Q, (2, 8), (6, 2))).adapted
    assert matrix.flipped


@pytest.mark.parametrize(
    ("model_type", "module", "said", "flipped"),
    [
        ("gpt2", "transformer.h.0.attn.c_proj", False, True),  # PEFT writes what its last layer was
        ("gpt2", "lm_head", True, False),
        ("llama", "transformer.h.0.attn.c_proj", True, False),
        ("", "transformer.h.0.attn.c_proj", True, True),
        ("", "transformer.h.0.attn.c_proj", False, False),
    ],
)
def test_square_matrices_go_by_the_model(put, model_type, module, said, flipped):
    base = headers({f"{module}.weight": (6, 6)})
    (matrix,) = put(
        pair(module, (2, 6), (6, 2)), base=base, model_type=model_type, fan_in_fan_out=said
    ).adapted
    assert matrix.flipped is flipped


def test_names_with_and_without_the_first_part():
    base = headers({"h.0.w.weight": (2, 2), "model.decoder.x.weight": (2, 2)})
    assert stored_name("transformer.h.0.w.weight", base) == "h.0.w.weight"
    assert stored_name("x.weight", base) == "model.decoder.x.weight"
    assert stored_name("0.w.weight", headers({"a.0.w.weight": (1,), "b.0.w.weight": (1,)})) is None


def test_whole_tensors_whatever_wraps_them(put):
    for wrapped in (f"{Q}.modules_to_save.weight", f"{Q}.modules_to_save.default.weight", f"{Q}.weight"):
        found = put({f"base_model.model.{wrapped}": (8, 6)})
        assert found.replaced == {f"{Q}.weight": f"base_model.model.{wrapped}"}
    assert is_embedding("model.embed_tokens.weight")
    assert is_embedding("lm_head.weight")
    assert not is_embedding("lm_head.bias")
    assert not is_embedding(f"{Q}.weight")


def test_a_tied_head_is_set_apart(put):
    found = put(pair("lm_head", (2, 6), (10, 2)))
    assert found.copies == {"lm_head.weight": "model.embed_tokens.weight"}
    found = put({"base_model.model.model.embed_tokens.weight": (10, 6)})
    assert found.copies == {"lm_head.weight": "model.embed_tokens.weight"}
    untied = BASE | headers({"lm_head.weight": (10, 6)})
    assert put(pair("lm_head", (2, 6), (10, 2)), base=untied).copies == {}
    assert put(pair(Q), ensure_weight_tying=True).copies == {}


def test_targets_without_tensors_are_named(put):
    assert put(pair(Q), target_modules=["q_proj", "k_proj", "v_proj"]).untouched == (f"{K}.weight",)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (pair("model.layers.7.self_attn.q_proj"), r"no place in the base: model\.layers\.7.*--base"),
        ({"base_model.model.norm.weight": (6,)}, r"no place in the base: base_model\.model\.norm"),
        (dict([*pair(Q).items()][:1]), f"{Q} has no lora_B"),
        (dict([*pair(Q).items()][1:]), f"{Q} has no lora_A"),
        (pair(Q, (2, 5)), r"B A is \(8, 5\), the base's .* \(8, 6\)"),
        (pair(Q, (3, 6)), r"lora_A is \(3, 6\) and lora_B \(8, 2\)"),
        (pair(Q, (3, 6), (8, 3)), "of rank 3; adapter_config.json says rank 2"),
        (pair(Q, (2, 6, 1)), r"lora_A is \(2, 6, 1\)"),
        ({f"base_model.model.{Q}.lora_magnitude_vector": (8,)} | pair(Q), "use_dora is not set"),
        ({"w": (1,)}, "do not begin with 'base_model.model.'"),
        ({}, "no tensors"),
    ],
)
def test_what_does_not_fit_is_named(put, tensors, words):
    with pytest.raises(CheckpointError, match=words):
        put(tensors)


def test_dora_needs_its_magnitudes(put):
    with pytest.raises(CheckpointError, match="has no lora_magnitude_vector"):
        put(pair(Q), use_dora=True)
    with pytest.raises(CheckpointError, match=r"lora_magnitude_vector is \(6,\); expected \(8,\)"):
        put(pair(Q) | {f"base_model.model.{Q}.lora_magnitude_vector": (6,)}, use_dora=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float8_e4m3fn])
def test_quantised_bases(put, dtype):
    with pytest.raises(CheckpointError, match="stores it quantised"):
        put(pair(Q), base=headers({f"{Q}.weight": (8, 6)}, dtype))
