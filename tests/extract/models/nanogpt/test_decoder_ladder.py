"""Variants 7 to 19 against a float64 forward written out from the paper's equations, pair by pair."""

import functools

import pytest
import torch
from torch.nn import functional as F

from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.models.decoder import masks as decoder_masks
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from spectra_cli.extract.passes.losses import sequence_losses
from spectra_cli.extract.passes.taps import Clock, tapped_gradients
from tests.extract.writers.ladder import (
    EOT,
    SPARSE,
    TOYS,
    VARIANTS,
    B,
    T,
    V,
    arguments_of,
    epsilon,
    reference_logits,
    state_of,
)

CPU = torch.device("cpu")


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
    model = build(header_of, "12", state)
    assert not torch.allclose(model.module(streams), as_token)
    assert model.kernels == {"fused attention under masks": ""}
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
