import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from spectra_cli.core.errors import CheckpointError, ModelError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.float8 import quantised

TOKENS = torch.arange(12).reshape(2, 6)


@pytest.fixture(scope="module")
def wide():
    """Wide enough for blocks of 128 that do not divide it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=144, intermediate_size=200, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _write(model, state, folder, quantization):
    folder.mkdir()
    config = model.config.to_dict() | ({"quantization_config": quantization} if quantization else {})
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    source = find_source(str(folder))
    return source, source.refs()[0]


DEEPSEEK = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
COMPRESSED = {"quant_method": "compressed-tensors", "format": "float-quantized"}
CASES = [
    ("block", (128, 128), DEEPSEEK),
    ("block", (64, 32), DEEPSEEK | {"weight_block_size": [64, 32]}),
    ("block", (128, 128), None),
    ("row", None, COMPRESSED),
    ("tensor", None, COMPRESSED),
]


@pytest.mark.parametrize(("layout", "block", "quantization"), CASES)
def test_logits_of_the_dequantised_model(tmp_path, wide, layout, block, quantization):
    stored, meant = quantised(wide, layout, block=block)
    stored["model.layers.0.self_attn.q_proj.input_scale"] = torch.tensor(0.5)
    source, ref = _write(wide, stored, tmp_path / "fp8", quantization)
    header, state = source.header(ref), source.open(ref)
    assert {n: (h.shape, h.dtype) for n, h in header.tensors.items()} == {
        n: (tuple(t.shape), t.dtype) for n, t in state.items()
    }
    assert header.num_bytes == sum(tensor.nbytes for tensor in stored.values())
    assert header.loaded_bytes == sum(tensor.nbytes for tensor in state.values())
    # the same float32 products: bit for bit
    assert state_digest(state) == state_digest(meant)
    twin = copy.deepcopy(wide)
    twin.load_state_dict(meant)
    model = find_family(header).build(header, state, device=torch.device("cpu"))
    with torch.inference_mode():
        torch.testing.assert_close(model.head(model.trunk(TOKENS)), twin(TOKENS).logits, rtol=0, atol=1e-5)
    assert any("7 weights stored as float8_e4m3fn are dequantised" in notice for notice in header.notices)
    assert any("quantisation noise" in notice for notice in header.notices)
    assert "1 scales of activations are not read" in header.notices


def test_without_scales_the_numbers_are_taken_as_they_are(tmp_path, wide):
    state = {
        n: t.to(torch.float8_e5m2) if "_proj" in n else t.contiguous() for n, t in wide.state_dict().items()
    }
    source, ref = _write(wide, state, tmp_path / "fp8", None)
    read = source.open(ref)
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(read[name], state[name].float(), rtol=0, atol=0)
    assert any("7 of them have no scales" in notice for notice in source.header(ref).notices)


def test_scales_of_another_shape(tmp_path, wide):
    stored, _ = quantised(wide, "block")
    stored["model.layers.0.mlp.up_proj.weight_scale_inv"] = torch.ones(3, 5)
    source, ref = _write(wide, stored, tmp_path / "fp8", DEEPSEEK)
    for read in (source.header, source.open):
        with pytest.raises(CheckpointError, match=r"up_proj\.weight_scale_inv has shape \(3, 5\)"):
            read(ref)


def test_rotated_weights(tmp_path, wide):
    stored, _ = quantised(wide, "row")
    rotated = COMPRESSED | {"transform_config": {"config_groups": {"u": {}}}}
    source, ref = _write(wide, stored, tmp_path / "fp8", rotated)
    with pytest.raises(CheckpointError, match="transform_config"):
        source.header(ref)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
def test_other_quantisation_is_refused_by_name(tmp_path, wide, method):
    state = dict(wide.state_dict())
    name = "model.layers.0.self_attn.q_proj.weight"
    state[name.replace("weight", "qweight")] = state.pop(name).to(torch.int32)
    source, ref = _write(wide, state, tmp_path / method, {"quant_method": method, "bits": 4})
    header = source.header(ref)
    with pytest.raises(ModelError, match=rf"quantised weights \({method}\) are not read"):
        find_family(header).build(header, None, device=torch.device("meta"))
