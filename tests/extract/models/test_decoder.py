"""The decoder against a float64 forward written out from the equations, head by head."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional

from spectra_cli.extract.models.nanogpt import NANOGPT

CPU = torch.device("cpu")
VARIANTS = ["n", "nb", "3", "4", "4s", "6"]
EPS = 2.0**-23
NUM_HEADS = 4


def rms(x, eps=EPS):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


def layer_norm(x, w, name):
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return normed * w[f"{name}.weight"] + w.get(f"{name}.bias", 0.0)


def turn(x, *, sign, rounding):
    """One head (T, K): x_j + i x_{j+K/2} at position t, times exp(i t 10000^(-2j/K))."""
    a, b = x.chunk(2, dim=1)
    frequencies = torch.tensor([10000.0 ** (-2 * j / x.shape[1]) for j in range(a.shape[1])], dtype=x.dtype)
    angles = torch.arange(len(x))[:, None] * frequencies
    phase = torch.complex(rounding(angles.cos()), sign * rounding(angles.sin()))
    turned = torch.complex(a, b) * phase
    return torch.cat((turned.real, turned.imag), 1)


def attention(u, w, name, variant):
    """(T, D) -> (T, D)."""
    width, length = u.shape[1], u.shape[0]
    if f"{name}.c_attn.weight" in w:
        rows = (u @ w[f"{name}.c_attn.weight"].T + w.get(f"{name}.c_attn.bias", 0.0)).split(width, dim=1)
    else:
        rows = [u @ w[f"{name}.c_{c}.weight"].T for c in "qkv"]
    size, heads = width // NUM_HEADS, []
    for h in range(NUM_HEADS):
        q, k, v = (r[:, h * size : (h + 1) * size] for r in rows)
        if variant in ("4", "4s", "6"):
            q, k = (
                turn(
                    rms(x),
                    sign=-1 if variant == "4" else 1,
                    rounding=(lambda c: c.bfloat16().double()) if variant == "4" else (lambda c: c),
                )
                for x in (q, k)
            )
        scores = q @ k.T / math.sqrt(size)
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
        heads.append(scores.softmax(-1) @ v)
    return torch.cat(heads, 1) @ w[f"{name}.c_proj.weight"].T + w.get(f"{name}.c_proj.bias", 0.0)


def reference(w, tokens, variant):
    """Logits (T, V) of one sequence (T,)."""
    layered = variant in ("n", "nb")

    def norm(x, name):
        return layer_norm(x, w, name) if layered else rms(x)

    x = w["transformer.wte.weight"][tokens]
    if "transformer.wpe.weight" in w:
        x = x + w["transformer.wpe.weight"][: len(tokens)]
    if variant == "6":
        x = rms(x)
    for layer in range(2):
        block = f"transformer.h.{layer}"
        x = x + attention(norm(x, f"{block}.ln_1"), w, f"{block}.attn", variant)
        hidden = norm(x, f"{block}.ln_2") @ w[f"{block}.mlp.c_fc.weight"].T + w.get(
            f"{block}.mlp.c_fc.bias", 0.0
        )
        hidden = (
            0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))) if layered else hidden.clamp(min=0) ** 2
        )
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T + w.get(f"{block}.mlp.c_proj.bias", 0.0)
    return norm(x, "transformer.ln_f") @ w["lm_head.weight"].T


def build(header_of, state, **arguments):
    header = header_of({"layout": "spectral-lens", "n_head": NUM_HEADS, **arguments}, state, format="nanogpt")
    return NANOGPT.build(header, state, device=CPU)


def spelled_out(state):
    """Weights as float64 leaves, one for a tied pair."""
    leaves = {n: t.double().requires_grad_() for n, t in state.items()}
    if torch.equal(state["lm_head.weight"], state["transformer.wte.weight"]):
        leaves["lm_head.weight"] = leaves["transformer.wte.weight"]
    return leaves


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_equal_the_equations(header_of, decoder_state, tokens, variant):
    state = decoder_state(variant)
    model, weights = build(header_of, state), spelled_out(state)
    expected = torch.stack([reference(weights, t, variant) for t in tokens])
    with torch.no_grad():
        single = model.head(model.trunk(tokens))
        model.module.double()
        double = model.head(model.trunk(tokens))
    # float32 rounding through two layers
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    # the same formulae; bfloat16 tables are rounded from float64 in both
    torch.testing.assert_close(double, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_equal_those_of_the_equations(header_of, decoder_state, tokens, variant):
    state = decoder_state(variant)
    model, weights = build(header_of, state), spelled_out(state)
    model.module.double().requires_grad_(True)
    targets = tokens.roll(-1, 1).flatten()
    functional.cross_entropy(model.module(tokens).flatten(0, 1), targets).backward()
    logits = torch.cat([reference(weights, t, variant) for t in tokens])
    functional.cross_entropy(logits, targets).backward()
    for name, parameter in model.module.named_parameters():
        # float64, summed in another order
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-8, atol=1e-10, msg=name)


def test_directions_differ_and_a_half_swap_turns_one_into_the_other(header_of, decoder_state, tokens):
    plus = decoder_state("4s")
    minus = {**plus, **{f"transformer.h.{i}.attn.c_proj.bias": torch.zeros(32) for i in range(2)}}

    def swapped(name, tensor):
        if not name.endswith(("c_q.weight", "c_k.weight")):
            return tensor
        return tensor.unflatten(0, (NUM_HEADS, 2, -1)).flip(1).flatten(0, 2)

    def logits(state):
        module = build(header_of, state).module
        # the tables of 4 are rounded, those of 4s are not: leave both exact to compare directions alone
        module.config = dataclasses.replace(module.config, rope_table_dtype=None)
        with torch.no_grad():
            return module.double()(tokens)

    r_plus, r_minus = logits(plus), logits(minus)
    assert (r_plus - r_minus).abs().max() > 1e-2
    again = logits({n: swapped(n, t) for n, t in minus.items()})
    torch.testing.assert_close(again, r_plus, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variant", ["3", "4", "6"])
def test_bfloat16_autocast_keeps_a_float32_stream(header_of, decoder_state, tokens, variant):
    model = build(header_of, decoder_state(variant))
    streams = []
    model.blocks[-1].register_forward_hook(lambda _m, _i, out: streams.append(out.dtype))
    with torch.no_grad():
        exact = model.module(tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model.module(tokens)
    assert streams == [torch.float32, torch.float32]
    assert rounded.dtype == torch.bfloat16
    # bfloat16 has 8 bits: a few per cent of the spread after two layers
    assert (rounded.float() - exact).std() < 0.05 * exact.std()


def test_the_meta_device_needs_nothing_from_another(header_of, decoder_state):
    for variant in VARIANTS:
        state = decoder_state(variant)
        header = header_of({"n_head": NUM_HEADS}, state, format="nanogpt")
        model = NANOGPT.build(header, None, device=CPU)
        logits = model.module(torch.zeros(2, 5, dtype=torch.int64, device="meta"))
        assert logits.shape == (2, 5, 61)
        assert logits.device.type == "meta"
