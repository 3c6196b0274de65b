"""The decoder against a float64 forward written out from the equations, head by head."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from spectra_cli.extract.models.decoder.masks import Mask, MaskRule
from spectra_cli.extract.models.decoder.module import Decoder
from spectra_cli.extract.models.nanogpt.family import NANOGPT
from tests.extract.writers.decoder import NUM_HEADS, reference, spelled_out

CPU = torch.device("cpu")
VARIANTS = ["n", "nb", "3", "4", "4s", "6"]


def build(header_of, state, **arguments):
    header = header_of({"layout": "spectral-lens", "n_head": NUM_HEADS, **arguments}, state, format="nanogpt")
    return NANOGPT.build(header, state, device=CPU)


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


def test_what_a_pass_holds_is_its_masks_and_the_rounded_head(header_of, decoder_state):
    config = build(header_of, decoder_state("6")).module.config
    rules = {"mask": MaskRule(window_tokens=5, eot=3), "short_mask": MaskRule(window_tokens=2)}
    masked = Decoder(dataclasses.replace(config, head="fp8", **rules))
    tokens = torch.zeros(1, 9, dtype=torch.int64)
    held = {
        name: sum(hidden.nbytes for _, _, hidden in Mask(rule, tokens).pieces(torch.float32))
        for name, rule in rules.items()
    }
    masked.lm_head(torch.zeros(1, config.n_embd))
    _, rounded = masked.lm_head._kept
    assert masked.held_bytes(9, 4) == (rounded.nbytes + held["short_mask"], held["mask"])
    assert Decoder(config).held_bytes(9, 4) == (0, 0)
