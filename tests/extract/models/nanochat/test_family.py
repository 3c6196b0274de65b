"""nanochat against a forward pass written from its equations, one sequence at a time, in float64."""

import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanochat.family import Nanochat
from spectra_cli.extract.models.registry import find_family
from tests.extract.writers.nanochat import (
    ARGUMENTS,
    GENERATIONS,
    GROUPS,
    HEADS,
    KV,
    LAYERS,
    PADDED,
    VOCAB,
    WIDTH,
    reference,
    tensors,
)

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def header(header_of):
    def make(generation, state=None, **changes):
        arguments = dict(ARGUMENTS)
        if GENERATIONS[generation][0]:
            arguments["window_pattern"] = GENERATIONS[generation][0]
        return header_of(
            arguments | changes, tensors(generation) if state is None else state, format="nanochat"
        )

    return make


@pytest.fixture
def built(header):
    def model(generation, **changes):
        found = header(generation, **changes)
        return find_family(found).build(found, tensors(generation), device=CPU)

    return model


@pytest.fixture
def sequences():
    return torch.randint(VOCAB, (2, 11), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_logits_are_those_of_the_equations(built, sequences, generation):
    model = built(generation)
    expected = torch.stack([reference(tensors(generation), generation, ids) for ids in sequences])
    with torch.no_grad():
        found = model.head(model.trunk(sequences)).double()
        assert torch.equal(model.module(sequences), model.head(model.trunk(sequences)))
    # float32 against float64 through three layers
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("generation", GENERATIONS)
def test_gradients_are_those_of_the_equations(built, make_probe, scan, spectra_of, generation):
    model, state = built(generation), tensors(generation)
    probe = make_probe(3, 5)
    found = spectra_of(
        scan(model, probe, dtype="float64", matrices=("all", *outside(model))),
        "gradient_matrix",
    )
    leaves = {name: tensor.double().requires_grad_() for name, tensor in state.items()}
    rows = {view.site.address: [] for view in model.matrices}
    for ids, targets in zip(probe.tokens, probe.targets, strict=True):
        loss = nn.functional.cross_entropy(reference(leaves, generation, ids), targets)
        gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        for view in model.matrices:
            rows[view.site.address].append(gradients[view.site.name].flatten())
    assert found.keys() == rows.keys()
    for address, stack in rows.items():
        expected = torch.linalg.svdvals(torch.stack(stack))
        values = torch.tensor(found[address].values)
        # both in float64, except that float32 weights were rounded once, the same way
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-6 * float(expected[0]))


def outside(model):
    return [v.site.component for v in model.matrices if v.site.layer is None]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_skeleton_has_the_same_sites(built, header, generation):
    found = header(generation)
    skeleton = find_family(found).build(found, None, device=META)
    model = built(generation)
    assert [(v.site, v.shape) for v in skeleton.matrices] == [(v.site, v.shape) for v in model.matrices]
    stored = tensors(generation)
    for view in model.matrices:
        assert torch.equal(view.weight(), stored[view.site.name])


def test_the_original_is_transformers_own_nanochat(sequences, built, monkeypatch):
    from transformers import NanoChatConfig, NanoChatForCausalLM

    def unrounded(self, num_positions, like):
        angles = torch.outer(torch.arange(num_positions), 1e4 ** (-torch.arange(4) / 4))
        return angles.cos(), angles.sin()

    monkeypatch.setattr(Nanochat, "rotation", unrounded)
    config = NanoChatConfig(
        vocab_size=PADDED,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        rms_norm_eps=2.0**-23,
        final_logit_softcapping=15.0,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        tie_word_embeddings=False,
        pad_token_id=None,
    )
    other = NanoChatForCausalLM(config).eval()
    names = {
        "transformer.wte": "model.embed_tokens",
        "transformer.h": "model.layers",
        "attn.c_proj": "self_attn.o_proj",
        "attn.c_q": "self_attn.q_proj",
        "attn.c_k": "self_attn.k_proj",
        "attn.c_v": "self_attn.v_proj",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    state = {}
    for name, tensor in tensors("original").items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = tensor
    other.load_state_dict(state)
    model = built("original")
    with torch.no_grad():
        expected = other(input_ids=sequences).logits[..., :VOCAB]
        torch.testing.assert_close(model.module(sequences), expected, rtol=1e-4, atol=1e-5)


def test_what_no_file_states_is_said_and_can_be_stated(built, sequences):
    (notice,) = built("smear").notices
    assert "rotary base 100000, q and k times 1.2, value gates up to 3, short windows of 128" in notice
    changed = built("smear", qk_scale=1.0, short_window=3)
    assert changed.module.config.windows == (3, 3, 16)
    with torch.no_grad():
        assert not torch.allclose(changed.module(sequences), built("smear").module(sequences))


@pytest.mark.parametrize(
    ("generation", "edit", "changes", "message"),
    [
        ("smear", {"bigram_embed.weight": torch.ones(3, 3)}, {}, "1 unexpected: bigram_embed.weight"),
        ("gates-12", {"transformer.h.0.attn.ve_gate.weight": torch.ones(2, 8)}, {}, "of 12 or 32 channels"),
        ("lambdas", {"value_embeds.0.weight": torch.ones(PADDED, KV)}, {}, "without a gate"),
        ("lambdas", {"smear_gate.weight": torch.ones(1, 24)}, {}, "beside gates of 0 channels"),
        ("original", {"transformer.wte.weight": torch.ones(8, WIDTH)}, {}, "expected at least 61 rows of 32"),
        ("original", {}, {"n_head": 0}, r"states no n_head that a model can have \(n_head is 0\)"),
        ("smear", {}, {"rotary_base": 0}, "rotary_base is 0; expected a finite number above 0"),
        ("smear", {}, {"qk_scale": "x"}, "qk_scale is 'x'; expected a finite number above 0"),
        ("smear", {}, {"short_window": None}, "short_window is None; expected a whole number from 0 on"),
        ("original", {}, {"n_embd": 2**50}, "expected at least 61 rows of 1125899906842624"),
        ("original", {}, {"n_layer": 2**40}, "model_config claims 1099511627776 layers for"),
        ("original", {}, {"n_kv_head": 3}, "do not divide a width of 32"),
        ("original", {}, {"window_pattern": "SX"}, "window_pattern is 'SX'; expected letters L and S"),
    ],
)
def test_what_is_not_known_is_refused_by_name(header, generation, edit, changes, message):
    state = tensors(generation) | edit
    found = header(generation, state, **changes)
    with pytest.raises(ModelError, match=message):
        find_family(found).build(found, state, device=CPU)


def test_what_computes_attention_in_its_windows_is_noted(built, sequences):
    model = built("smear", short_window=3)
    model.trunk(sequences)
    assert model.kernels == {"fused attention under masks": ""}


def test_the_masks_of_its_windows_are_counted(built):
    module = built("smear", short_window=3).module
    # one mask, of the short window; the long one hides nothing of 16 tokens
    assert module.held_bytes(16, 4) == (16 * 16 * 4, 0)
    assert module.held_bytes(3, 4) == (0, 0)
