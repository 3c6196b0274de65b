"""nanochat against a forward pass written from its equations, one sequence at a time, in float64."""

import pytest
import torch
from torch import nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanochat import Nanochat
from spectra_cli.extract.models.registry import find_family

VOCAB, PADDED, WIDTH, HEADS, GROUPS, LAYERS = 61, 64, 32, 4, 2, 3
CPU, META = torch.device("cpu"), torch.device("meta")
KV = GROUPS * WIDTH // HEADS
ARGUMENTS = {
    "sequence_len": 16,
    "vocab_size": VOCAB,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_kv_head": GROUPS,
    "n_embd": WIDTH,
}
# generation -> window pattern, short window, rotary base, scale of q and k, gate
GENERATIONS = {
    "original": (None, 16, 1e4, 1.0, 0.0),
    "lambdas": ("SL", 8, 1e4, 1.0, 0.0),
    "gates-32": ("SSL", 8, 1e4, 1.0, 2.0),
    "gates-12": ("SSSL", 128, 1e5, 1.15, 3.0),
    "smear": ("SSSL", 128, 1e5, 1.2, 3.0),
}


def tensors(generation: str) -> dict[str, torch.Tensor]:
    shapes = {"transformer.wte.weight": (PADDED, WIDTH), "lm_head.weight": (PADDED, WIDTH)}
    for n in range(LAYERS):
        block = f"transformer.h.{n}"
        shapes |= {f"{block}.attn.c_{c}.weight": (WIDTH if c == "q" else KV, WIDTH) for c in "qkv"}
        shapes |= {f"{block}.attn.c_proj.weight": (WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.c_fc.weight": (4 * WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.c_proj.weight": (WIDTH, 4 * WIDTH)}
        if generation not in ("original", "lambdas") and n % 2 == (LAYERS - 1) % 2:
            channels = 32 if generation == "gates-32" else 12
            shapes |= {f"value_embeds.{n}.weight": (PADDED, KV)}
            shapes |= {f"{block}.attn.ve_gate.weight": (GROUPS, channels)}
    if generation != "original":
        shapes |= {"resid_lambdas": (LAYERS,), "x0_lambdas": (LAYERS,)}
    if generation == "smear":
        shapes |= {"smear_gate.weight": (1, 24), "smear_lambda": (1,), "backout_lambda": (1,)}
    generator = torch.Generator().manual_seed(0)
    return {name: 0.4 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def normed(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 2.0**-23)


def reference(state, generation, ids):
    """Logits (T, V) of one sequence."""
    pattern, short, base, scale, gate = GENERATIONS[generation]
    w = {name: tensor.double() for name, tensor in state.items()}
    head = WIDTH // HEADS
    x = normed(w["transformer.wte.weight"][ids])
    if generation == "smear":
        shift = torch.zeros_like(x)
        for t in range(1, len(ids)):
            weight = w["smear_lambda"] * torch.sigmoid(w["smear_gate.weight"][0] @ x[t, :24])
            shift[t] = weight * x[t - 1]
        x = x + shift
    first = x
    for n in range(LAYERS):
        block = f"transformer.h.{n}"
        if "resid_lambdas" in w:
            x = w["resid_lambdas"][n] * x + w["x0_lambdas"][n] * first
        u = normed(x)
        window = len(ids) if n == LAYERS - 1 or not pattern or pattern[n % len(pattern)] == "L" else short
        q, k, v = (u @ w[f"{block}.attn.c_{c}.weight"].T for c in "qkv")
        if f"value_embeds.{n}.weight" in w:
            opening = w[f"{block}.attn.ve_gate.weight"]
            share = gate * torch.sigmoid(u[:, : opening.shape[1]] @ opening.T)
            v = v + share.repeat_interleave(head, 1) * w[f"value_embeds.{n}.weight"][ids]
        out = torch.zeros_like(x)
        for h in range(HEADS):
            g = h // (HEADS // GROUPS)
            own, other = slice(h * head, (h + 1) * head), slice(g * head, (g + 1) * head)
            for t in range(len(ids)):
                seen = range(max(0, t - window), t + 1)
                turned = torch.stack([turn(k[s, other], s, base) for s in seen])
                keys = scale * normed(turned)
                query = scale * normed(turn(q[t, own], t, base))
                weights = torch.softmax(keys @ query / head**0.5, 0)
                out[t, own] = weights @ v[seen.start : seen.stop, other]
        x = x + out @ w[f"{block}.attn.c_proj.weight"].T
        hidden = (normed(x) @ w[f"{block}.mlp.c_fc.weight"].T).clamp(min=0) ** 2
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T
        if n == LAYERS // 2:
            middle = x
    if generation == "smear":
        x = x - w["backout_lambda"] * middle
    logits = (normed(x) @ w["lm_head.weight"].T)[:, :VOCAB]
    return 15 * torch.tanh(logits / 15)


def turn(x, position, base):
    """The pair (j, j + K/2) turned by -t base^(-2j/K), with sine and cosine in bfloat16."""
    half = len(x) // 2
    angles = position / torch.tensor(base) ** (torch.arange(half) / half)
    cos, sin = angles.cos().bfloat16().double(), angles.sin().bfloat16().double()
    return torch.cat((x[:half] * cos + x[half:] * sin, x[half:] * cos - x[:half] * sin))


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
        ("original", {}, {"n_head": 0}, "model_config states no n_head"),
        ("original", {}, {"n_kv_head": 3}, "do not divide a width of 32"),
        ("original", {}, {"window_pattern": "SX"}, "window_pattern is 'SX'; expected letters L and S"),
    ],
)
def test_what_is_not_known_is_refused_by_name(header, generation, edit, changes, message):
    state = tensors(generation) | edit
    found = header(generation, state, **changes)
    with pytest.raises(ModelError, match=message):
        find_family(found).build(found, state, device=CPU)
