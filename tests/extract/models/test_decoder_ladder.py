"""Variants 7 to 19 against a float64 forward written out from the paper's equations, pair by pair.

Twelve layers, so that the attention-free block, the reach of the value embeddings and the pattern of long
and short windows are those of the paper's d12; blocks of 8 tokens, so that windows cut inside 40.
"""

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from spectra_cli.extract.losses import sequence_losses
from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.models import decoder_masks
from spectra_cli.extract.models.nanogpt import NANOGPT
from spectra_cli.extract.taps import Clock, tapped_gradients

CPU = torch.device("cpu")
L, H, C, V, T, B, EOT, BLOCK = 12, 2, 16, 61, 40, 3, 7, 8
K, E = C // H, L // 2
TOKENS, BLOCKS = 11, 4

VARIANTS = ["7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "16adj", "17", "18", "19"]
SPARSE = VARIANTS[6:]
TOYS = ["toy unet", "toy fixed_window", "toy attn_scale"]


# ------------------------------------------------------------------------------ state dicts, section 2.1


def state_of(variant, *, layers=L, seed=0, reach=3):
    """Random tensors under the names and shapes of a variant."""
    toy = variant.startswith("toy")
    number = 8 if toy else int(variant.removesuffix("adj"))
    skipped = min(layers - 1, layers // 2 + 1) if number >= 13 else None
    shapes = {"transformer.wte.weight": (V, C), "lm_head.weight": (V, C)}
    if number in (11, 12):
        shapes["transformer.vte.weight"] = (V, C * (layers if number == 11 else layers // 2))
    if number >= 13:
        shapes |= {f"value_embeds.emb.{j}.weight": (V, C) for j in range(3)}
    if number >= 8:
        shapes["skip_weights"] = (layers // 2,)
    for i in range(layers):
        block = f"transformer.h.{i}"
        if i != skipped:
            shapes |= {f"{block}.attn.c_{c}.weight": (C, C) for c in ("q", "k", "v", "proj")}
            shapes[f"{block}.attn.{'mix' if number >= 13 else 'lamb'}"] = (2,) if number >= 13 else ()
        shapes |= {f"{block}.mlp.c_fc.weight": (4 * C, C), f"{block}.mlp.c_proj.weight": (C, 4 * C)}
        shapes[f"{block}.lambdas"] = (2,)
    generator = torch.Generator().manual_seed(seed)
    state = {n: 0.3 * torch.randn(s, generator=generator) for n, s in sorted(shapes.items())}
    for name, tensor in state.items():
        if name.endswith(("lambdas", "skip_weights", "mix", "lamb")):
            tensor.add_(0.5)
        layer = int(name.split(".")[2]) if name.endswith(".mix") else None
        if layer is not None and reach <= layer < layers - reach:
            tensor[1] = 0.5
    return state


def arguments_of(variant):
    """What the file of a variant cannot say, with windows small enough for 40 tokens."""
    stated = {"n_head": H, "eot": EOT, "mask_block": BLOCK, "variant": variant}
    if variant in ("9", "10", "11", "12"):
        stated["window_tokens"] = TOKENS
    elif variant in SPARSE:
        stated["window_blocks"] = BLOCKS
    return stated


# ------------------------------------------------------------------------------------ forward, section 4


def rms(x, eps=2.0**-52):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def is_visible(variant, layer, documents, t, j):
    """The table of section 4.5."""
    if j > t:
        return False
    if variant in ("7", "8", "toy unet"):
        return True
    if variant.startswith("toy"):
        return t - j < 8
    if documents[t] != documents[j]:
        return False
    blocks_back = t // BLOCK - j // BLOCK
    if variant in ("9", "10", "11"):
        return t - j < TOKENS
    if variant == "12":
        return t - j < TOKENS and blocks_back < math.ceil(TOKENS / BLOCK)
    pattern = [i % 4 == 0 for i in range(E)]
    is_long = (pattern + pattern[::-1])[layer]
    window = BLOCKS if is_long or variant not in ("17", "18", "19") else max(1, BLOCKS // 2)
    return blocks_back < window


@functools.cache
def mask_of(variant, layer, ids):
    documents, seen = [], 0
    for token in ids:
        seen += token == EOT
        documents.append(seen)
    return torch.tensor([[is_visible(variant, layer, documents, t, j) for j in range(T)] for t in range(T)])


def turned(x, variant):
    """One head (T, K), positions 0 to T - 1."""
    out = x.clone()
    late = variant in SPARSE[1:]
    for j in range(K // 2):
        if late:
            n = K // 4
            w = 1024.0 ** (-j / (n - 1)) if j < n else 0.0
        else:
            w = 10000.0 ** (-2 * j / K)
        angle = torch.arange(T, dtype=torch.float64) * w
        a, b, sign = x[:, j], x[:, j + K // 2], -1.0 if late else 1.0
        out[:, j] = a * angle.cos() - sign * b * angle.sin()
        out[:, j + K // 2] = sign * a * angle.sin() + b * angle.cos()
    return out


def attention(u, w, variant, layer, ids, first_v, eps):
    """(T, C) -> (T, C), and this layer's own values before any mixing."""
    name = f"transformer.h.{layer}.attn"
    q, k, v = (u @ w[f"{name}.c_{c}.weight"].T for c in "qkv")
    own_v = v
    if variant in SPARSE:
        mix = w[f"{name}.mix"]
        v = mix[0] * v
        if layer < 3 or layer >= L - 3:
            table = layer if layer < 3 else layer - (L - 3)
            v = v + mix[1] * w[f"value_embeds.emb.{table}.weight"][list(ids)]
    elif variant in ("11", "12"):
        piece = layer if variant == "11" or layer < E else 2 * E - 1 - layer
        partner = w["transformer.vte.weight"][list(ids)][:, piece * C : (piece + 1) * C]
        lamb = w[f"{name}.lamb"]
        v = (1 - lamb) * v + lamb * partner
    elif layer > 0:
        lamb = w[f"{name}.lamb"]
        v = (1 - lamb) * v + lamb * first_v
    scale = 0.12 if variant in ("18", "19", "toy attn_scale") else K**-0.5
    outputs = []
    for h in range(H):
        rows = slice(h * K, (h + 1) * K)
        scores = scale * turned(rms(q[:, rows], eps), variant) @ turned(rms(k[:, rows], eps), variant).T
        scores = scores.masked_fill(~mask_of(variant, layer, ids), -math.inf)
        outputs.append(scores.softmax(-1) @ v[:, rows])
    return torch.cat(outputs, 1) @ w[f"{name}.c_proj.weight"].T, own_v


class Fp8Head(torch.autograd.Function):
    """Section 4.7; gradients are scaled by 2^-8 first, since 2^29 is meant for means over 65,536 tokens."""

    @staticmethod
    def forward(ctx, x, weight):
        x8 = (2 * x).to(torch.float8_e4m3fn).double()
        w8 = (32 * weight).to(torch.float8_e4m3fn).double()
        ctx.save_for_backward(x8, w8)
        return (x8 @ w8.T / 64).bfloat16().double()

    @staticmethod
    def backward(ctx, g):
        x8, w8 = ctx.saved_tensors
        g8 = (2.0**21 * g).to(torch.float8_e5m2).double() * 2.0**8
        return (g8 @ w8 / (2.0**29 * 32)).bfloat16().double(), g8.T @ x8 / (2.0**29 * 2)


def reference_logits(w, ids, variant, eps):
    """One sequence of ids -> (T, V)."""
    x = rms(w["transformer.wte.weight"][list(ids)], eps)
    x0, stack, first_v = x, [], None
    unet = variant != "7"
    for layer in range(L):
        block = f"transformer.h.{layer}"
        if unet and layer >= E:
            x = x + w["skip_weights"][layer - E] * stack.pop()
        lambdas = w[f"{block}.lambdas"]
        x = lambdas[0] * x + lambdas[1] * x0
        if f"{block}.attn.c_q.weight" in w:
            y, v = attention(rms(x, eps), w, variant, layer, ids, first_v, eps)
            x = x + y
            first_v = v if layer == 0 else first_v
        hidden = (rms(x, eps) @ w[f"{block}.mlp.c_fc.weight"].T).clamp(min=0) ** 2
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T
        if unet and layer < E:
            stack.append(x)
    x, head = rms(x, eps), w["lm_head.weight"]
    z = Fp8Head.apply(x, head) if variant in SPARSE[3:] else x @ head.T
    if variant == "19":
        return 2 * 15 * torch.sigmoid(z / (0.5 * 15 * math.sqrt(C)))
    cap = 15.0 if variant in SPARSE[2:] else 30.0
    return cap * torch.tanh(z / cap)


# ---------------------------------------------------------------------------------------------- checks


@pytest.fixture
def streams():
    """(B, T + 1) ids with documents that begin inside blocks and on their edges."""
    ids = torch.randint(V, (B, T + 1), generator=torch.Generator().manual_seed(1))
    ids[ids == EOT] = 0
    ids[0, [0, 13, 32]] = EOT
    ids[1, [5, 24, 25]] = EOT
    return ids


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Several pieces of queries in 40 tokens."""
    monkeypatch.setattr(decoder_masks, "_NUM_QUERIES", 16)


def build(header_of, variant, state, **more):
    toy = variant.startswith("toy")
    if toy:
        names = (("transformer.h.", "blocks."), ("transformer.wte.", "tok_embed."))
        state = {functools.reduce(lambda n, r: n.replace(*r), names, n): t for n, t in state.items()}
    header = header_of({**arguments_of(variant), **more}, state, format="nanogpt")
    return NANOGPT.build(header, state, device=CPU)


def epsilon(variant):
    return 1e-6 if variant == "8" else 2.0**-23


class Collected:
    """Per-sequence gradients, summed from what the taps show."""

    def __init__(self, model):
        self.views = tuple(model.matrices)
        self.found = {v.site.name: torch.zeros(B, *v.shape, dtype=torch.float64) for v in self.views}

    def observe(self, view, inputs, delta, batch):
        for row in range(len(inputs)):
            mine = self.found[view.site.name][batch.start + row]
            if view.kind == "embedding":
                mine.index_add_(0, inputs[row], delta[row])
            else:
                mine += delta[row].T @ inputs[row]


@pytest.mark.parametrize("variant", [*VARIANTS, *TOYS])
def test_losses_and_tapped_gradients_equal_the_equations(header_of, streams, variant):
    state = state_of(variant)
    model = build(header_of, variant, state)
    model.module.double()
    tokens, targets = streams[:, :-1], streams[:, 1:]
    collected, clock = Collected(model), Clock(batch=Batch(start=0, stop=B, length=T, tokens=tokens))
    with tapped_gradients(model, collected, clock), torch.enable_grad():
        losses = sequence_losses(model.head, model.trunk(tokens), targets, V, clock)

    names = {v.site.name: v.site.name for v in model.matrices}
    if variant.startswith("toy"):
        renamed = (("blocks.", "transformer.h."), ("tok_embed.", "transformer.wte."))
        names = {n: functools.reduce(lambda m, r: m.replace(*r), renamed, n) for n in names}
    for row in range(B):
        weights = {n: t.double().requires_grad_() for n, t in state.items()}
        logits = reference_logits(weights, tuple(tokens[row].tolist()), variant, epsilon(variant))
        loss = F.cross_entropy(logits, targets[row])
        # float64 in another order of summation
        torch.testing.assert_close(losses[row], loss.detach(), rtol=1e-10, atol=1e-10)
        loss.backward()
        for own, name in names.items():
            expected = weights[name].grad
            # e5m2 underflows elsewhere with another power of two: far below the largest entry
            floor = 1e-7 if variant in SPARSE[3:] else 1e-10
            atol = floor * expected.abs().max().item()
            torch.testing.assert_close(collected.found[own][row], expected, rtol=1e-8, atol=atol, msg=own)


@pytest.mark.parametrize("variant", ["8", "12", "14", "17", "19"])
def test_float32_and_bfloat16_stay_close_and_keep_a_float32_stream(header_of, streams, variant):
    model = build(header_of, variant, state_of(variant))
    tokens, streams_seen = streams[:, :-1], []
    model.blocks[-1].register_forward_hook(lambda _m, _i, out: streams_seen.append(out.dtype))
    with torch.no_grad():
        single = model.module(tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model.module(tokens)
        double = model.module.double()(tokens)
    assert streams_seen == [torch.float32, torch.float32, torch.float64]
    assert half.dtype == torch.bfloat16
    # logits of the FP8 head are bfloat16 numbers, where a last bit may fall the other way
    atol = 2.0**-7 * double.abs().max().item() if variant in SPARSE[3:] else 1e-4
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=atol)
    # twelve layers of 8-bit numbers; logits of 19 lie about 15, where bfloat16 steps by 1/16
    step = 2.0**-4 if variant == "19" else 0.0
    assert (half.double() - double).std() < 0.1 * double.std() + step


@pytest.mark.parametrize(
    ("variant", "num_keys"), [("7", 98), ("8", 99), ("11", 100), ("12", 100), ("13", 97)]
)
def test_names_and_shapes_are_the_checkpoints(header_of, variant, num_keys):
    state = state_of(variant)
    loaded = build(header_of, variant, state).module.state_dict()
    assert len(state) == num_keys
    assert {n: t.shape for n, t in loaded.items()} == {n: t.shape for n, t in state.items()}
    assert all(torch.equal(t, state[n]) for n, t in loaded.items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_sites_are_canonical_and_the_attention_free_block_says_so(header_of, variant):
    state = state_of(variant)
    model = build(header_of, variant, state)
    skeleton = NANOGPT.build(header_of(arguments_of(variant), state, format="nanogpt"), None, device=CPU)
    addresses = [v.site.address for v in model.matrices]
    assert [(v.site.address, v.site.name, v.shape) for v in skeleton.matrices] == [
        (v.site.address, v.site.name, v.shape) for v in model.matrices
    ]
    extra = {"11": ["value_embed"], "12": ["value_embed"]}.get(variant, [])
    extra = [f"value_embed.{j}" for j in range(3)] if variant in SPARSE else extra
    outside = [a for a in addresses if not a.startswith("blocks")]
    assert outside == ["embed", *extra, "lm_head"]
    absent = {s.address: reason for s, reason in model.absent.items() if s.component != "mlp.gate"}
    free = {f"blocks.7.attn.{c}": "this block has no attention" for c in "qkvo"}
    assert absent == (free if variant in SPARSE else {})
    assert skeleton.architecture == model.architecture
    assert f"variant {variant} " in model.architecture
    assert model.max_length is None


def test_a_scalar_saved_by_fsdp_as_one_element_is_read(header_of, streams):
    state = state_of("12")
    saved = {n: t.reshape(1) if n.endswith("lamb") else t for n, t in state.items()}
    models = [build(header_of, "12", s) for s in (state, saved)]
    outputs = [m.module(streams) for m in models]
    assert torch.equal(*outputs)


def test_zero_gradients_are_where_the_inference_looks_for_them(header_of, streams):
    for variant, names in {
        "13": [f"transformer.h.{i}.attn.mix" for i in (3, 4, 5, 6, 8)],
        "8": ["transformer.h.0.attn.lamb"],
    }.items():
        module = build(header_of, variant, state_of(variant)).module.requires_grad_(True)
        F.cross_entropy(module(streams[:, :-1]).flatten(0, 1), streams[:, 1:].flatten()).backward()
        for name in names:
            gradient = module.get_parameter(name).grad
            assert gradient is None or not gradient.reshape(-1)[-1]


def test_windows_that_differ_give_other_logits(header_of, streams):
    """12 is tighter than its token window, 17 than 16adj."""
    state = state_of("12")
    as_token = build(header_of, "12", state, mask="doc_token").module(streams)
    assert not torch.allclose(build(header_of, "12", state).module(streams), as_token)
    sparse = state_of("17")
    long_only = build(header_of, "17", sparse, mask="doc_block").module(streams)
    assert not torch.allclose(build(header_of, "17", sparse).module(streams), long_only)


@pytest.mark.parametrize(("layers", "free", "reach"), [(24, 13, 6), (36, 19, 9), (48, 25, 12)])
def test_scale_models_differ_in_sizes_alone(header_of, layers, free, reach):
    state = state_of("16", layers=layers, reach=reach)
    model = build(header_of, "16", state)
    config = model.module.config
    assert config.attention_free == {free}
    assert config.value_reach == reach
    partners = [config.value_partner(i) for i in range(layers)]
    assert partners[:reach] == partners[-reach:] == [j % 3 for j in range(reach)]
    assert set(partners[reach:-reach]) == {None}
    assert model.module(torch.zeros(1, 5, dtype=torch.int64)).isfinite().all()
