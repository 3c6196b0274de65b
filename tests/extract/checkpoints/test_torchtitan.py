import json
import re
import warnings

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.nn import functional

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.torchtitan import is_torchtitan_llama, llama_config, llama_names
from spectra_cli.extract.models.registry import find_family

HEADS, KV_HEADS, HEAD_DIM, WIDTH, THETA, EPS = 4, 2, 8, 24, 5000.0, 1e-6
PARAMETERS = {"n_heads": HEADS, "rope_theta": THETA, "norm_eps": EPS}
TOKENS = torch.arange(10).reshape(2, 5)


def _state(*, tied: bool = False) -> dict[str, torch.Tensor]:
    shapes = {"tok_embeddings.weight": (32, WIDTH), "norm.weight": (WIDTH,), "output.weight": (32, WIDTH)}
    for layer in range(2):
        shapes |= {
            f"layers.{layer}.{name}.weight": shape
            for name, shape in {
                "attention.wq": (HEADS * HEAD_DIM, WIDTH),
                "attention.wk": (KV_HEADS * HEAD_DIM, WIDTH),
                "attention.wv": (KV_HEADS * HEAD_DIM, WIDTH),
                "attention.wo": (WIDTH, HEADS * HEAD_DIM),
                "feed_forward.w1": (40, WIDTH),
                "feed_forward.w2": (WIDTH, 40),
                "feed_forward.w3": (40, WIDTH),
                "attention_norm": (WIDTH,),
                "ffn_norm": (WIDTH,),
            }.items()
        }
    if tied:
        del shapes["output.weight"]
    generator = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _reference(state, tokens):
    """Meta's Llama from its equations: neighbouring pairs of a head are complex numbers that rotate."""
    state = {name: tensor.double() for name, tensor in state.items()}
    length = tokens.shape[1]
    angles = torch.outer(
        torch.arange(length, dtype=torch.float64),
        THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM),
    )
    turns = torch.polar(torch.ones_like(angles), angles)[None, :, None]

    def rotated(x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    def norm(x, name):
        return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * state[f"{name}.weight"]

    x = state["tok_embeddings.weight"][tokens]
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    for layer in range(2):
        at = f"layers.{layer}"
        u = norm(x, f"{at}.attention_norm")
        q, k, v = (
            (u @ state[f"{at}.attention.w{letter}.weight"].T).unflatten(-1, (-1, HEAD_DIM))
            for letter in "qkv"
        )
        q, k = rotated(q), rotated(k)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, 2) for t in (k, v))
        scores = torch.einsum("bihd,bjhd->bhij", q, k) / HEAD_DIM**0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        y = torch.einsum("bhij,bjhd->bihd", weights, v).flatten(-2)
        x = x + y @ state[f"{at}.attention.wo.weight"].T
        u = norm(x, f"{at}.ffn_norm")
        gate, up = (u @ state[f"{at}.feed_forward.w{number}.weight"].T for number in (1, 3))
        x = x + (functional.silu(gate) * up) @ state[f"{at}.feed_forward.w2.weight"].T
    head = state.get("output.weight", state["tok_embeddings.weight"])
    return norm(x, "norm") @ head.T


def _save(state, folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        dcp.save(state, checkpoint_id=folder, no_dist=True)


@pytest.mark.parametrize("tied", [False, True])
def test_logits_against_metas_equations(tmp_path, tied):
    state = _state(tied=tied)
    _save({**state, "freqs_cis": torch.ones(4, dtype=torch.complex64)}, tmp_path / "checkpoint" / "step-20")
    (tmp_path / "checkpoint" / "params.json").write_text(json.dumps(PARAMETERS))
    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    header, read = source.header(ref), source.open(ref)
    model = find_family(header).build(header, read, device=torch.device("cpu"))
    logits = model.head(model.trunk(TOKENS)).double()
    # float32 against float64
    torch.testing.assert_close(logits, _reference(state, TOKENS), rtol=0, atol=1e-5)
    assert (model.family, ref.step, header.sources["config"]) == ("llama", 20, "params.json")
    assert any("reordered" in notice for notice in header.notices)
    assert "recomputed instead of read: freqs_cis" in header.notices


def test_reordered_rows_leave_singular_values(tmp_path):
    state = _state()
    _save(state, tmp_path / "step-1")
    (tmp_path / "params.json").write_text(json.dumps(PARAMETERS))
    source = find_source(str(tmp_path))
    read = source.open(source.refs()[0])
    own, renamed = state["layers.1.attention.wq.weight"], read["model.layers.1.self_attn.q_proj.weight"]
    assert not torch.equal(own, renamed)
    torch.testing.assert_close(torch.linalg.svdvals(own), torch.linalg.svdvals(renamed))


@pytest.mark.parametrize("missing", PARAMETERS)
def test_what_no_tensor_shows_is_asked_for_by_name(tmp_path, missing):
    _save(_state(), tmp_path / "step-1")
    stated = {name: value for name, value in PARAMETERS.items() if name != missing}
    (tmp_path / "params.json").write_text(json.dumps(stated))
    source = find_source(str(tmp_path))
    with pytest.raises(CheckpointError, match=rf"step-1.*without {missing}, .*params\.json beside"):
        source.header(source.refs()[0])


def _shapes():
    return {new: tuple(_state()[own].shape) for new, own in llama_names(_state()).items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_heads": 5}, "n_heads is 5"), ({"use_scaled_rope": True}, "scaled RoPE")],
)
def test_parameters_that_cannot_be(change, message):
    with pytest.raises(CheckpointError, match=message):
        llama_config(_shapes(), PARAMETERS | change, where="here")


def test_transformers_configuration_is_taken_as_it_is():
    stated = {"model_type": "llama", "num_attention_heads": 3}
    assert llama_config({}, stated, where="here") == stated


def test_names():
    assert is_torchtitan_llama(_state())
    assert not is_torchtitan_llama(["model.embed_tokens.weight"])
    assert llama_names(["layers.3.moe.router.gate.weight"]) == {
        "layers.3.moe.router.gate.weight": "layers.3.moe.router.gate.weight"
    }


def test_every_tensor_is_renamed():
    assert all(re.match(r"model\.|lm_head\.", name) for name in llama_names(_state()))
