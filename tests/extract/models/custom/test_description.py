"""Mixtures of experts in a user's own model: packed as transformers does, and as modules of their own."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, MixtralConfig

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.models.custom.family import custom_family
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.verification import verify_gradients
from spectra_cli.extract.planning.plan import plan_scan

VOCAB, WIDTH, NUM_EXPERTS = 61, 16, 4
CPU, META = torch.device("cpu"), torch.device("meta")


class Expert(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Linear(WIDTH, 24, bias=False)
        self.w2 = nn.Linear(24, WIDTH, bias=False)

    def forward(self, rows):
        return self.w2(torch.relu(self.w1(rows)))


class Mixture(nn.Module):
    """Top-1 routing, every expert a module that is shown the rows routed to it."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, NUM_EXPERTS, bias=False)
        self.experts = nn.ModuleList(Expert() for _ in range(NUM_EXPERTS))

    def forward(self, x):
        shares = self.router(x).softmax(-1)
        rows, (top, chosen) = x.flatten(0, 1), shares.flatten(0, 1).max(-1)
        out = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            mine = (chosen == number).nonzero()[:, 0]
            if len(mine):
                out = out.index_add(0, mine, expert(rows[mine]) * top[mine, None])
        return x + out.view_as(x)


class Routed(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(Mixture() for _ in range(2))
        self.unembed = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens)
        x = x + x.cumsum(1) / 8
        for layer in self.layers:
            x = layer(x)
        return self.unembed(x)


@pytest.fixture
def model_of(monkeypatch, header_of):
    def build(make, *, device=CPU, **description):
        torch.manual_seed(1)
        state = {n: t + 0.4 * torch.randn_like(t) for n, t in make().state_dict().items()}
        header = header_of({}, state, format="nanogpt")

        def builder(state, metadata):
            module = make()
            module.load_state_dict(state)
            return {"module": module, **description}

        monkeypatch.setitem(sys.modules, "users_model", SimpleNamespace(build=builder))
        return custom_family("users_model:build").build(
            header, None if device == META else state, device=device
        )

    return build


def verified(model, probe, settings):
    """The model with what its session would find out about its taps."""
    with numerics(model, settings):
        found = verify_gradients(model, probe, settings)
    return replace(model, untappable=found.untappable, alone=found.alone)


def test_experts_that_are_modules_are_measured_one_sequence_at_a_time(
    model_of, make_probe, scan, spectra_of, slow_reference
):
    probe = make_probe(6, 9)
    settings = ScanSettings(matrices=("all",), sequence_length=9, dtype="float64")
    model = verified(model_of(Routed), probe, settings)
    experts = {f"experts.{i}.{w}" for i in range(NUM_EXPERTS) for w in ("w1", "w2")}
    assert (model.untappable, model.alone) == ({}, experts)
    assert plan_scan(model, settings, device=CPU).batch_size == 1
    found = spectra_of(scan(model, probe, dtype="float64", batch_size=4), "gradient_matrix")
    reference = model_of(Routed)
    # experts that a sequence does not reach are part of its graph all the same
    reference.module.register_forward_hook(lambda m, _, out: out + 0 * sum(p.sum() for p in m.parameters()))
    addresses = [v.site.address for v in reference.matrices if v.site.layer is not None]
    assert found.keys() == set(addresses)
    assert len(addresses) == 2 * (1 + 2 * NUM_EXPERTS)
    truth = slow_reference(reference, probe, addresses)
    for address, spectrum in found.items():
        expected = truth.singular_values(address)
        # float64; the Gram matrix squares the rounding
        torch.testing.assert_close(
            torch.tensor(spectrum.values)[: len(expected)],
            expected,
            rtol=1e-6,
            atol=1e-7 * float(expected[0]),
        )


def test_other_matrices_of_such_a_model_still_go_in_batches(model_of, make_probe):
    probe, settings = make_probe(4, 9), ScanSettings(matrices=("router",), sequence_length=9)
    model = verified(model_of(Routed), probe, settings)
    assert model.alone == frozenset()
    assert plan_scan(model, settings, device=CPU, batch_size=3).batch_size == 3


def mixtral():
    return AutoModelForCausalLM.from_config(
        MixtralConfig(
            vocab_size=VOCAB,
            hidden_size=WIDTH,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            num_local_experts=NUM_EXPERTS,
            num_experts_per_tok=2,
        ),
        dtype=torch.float32,
    )


@pytest.mark.parametrize("with_loss", [False, True])
def test_packed_experts_are_taken_apart(with_loss, model_of, make_probe, scan, spectra_of, slow_reference):
    def loss(module, tokens, targets):
        logits = module(tokens).logits.transpose(1, 2)
        each = nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="none")
        return each.sum(1) / (targets != -100).sum(1)

    description = {"loss": loss} if with_loss else {}
    model = model_of(mixtral, **description)
    names = [v.site.component for v in model.matrices if v.site.layer == 1]
    assert names[:4] == ["attn.q", "attn.k", "attn.v", "attn.o"]
    routed = {f"experts.{i}.{part}" for i in range(NUM_EXPERTS) for part in ("gate", "up", "down")}
    assert set(names[4:]) == {"mlp.router", *routed}
    assert {v.share for v in model.matrices if v.expert is not None} == {0.5}
    skeleton = model_of(mixtral, device=META, **description)
    assert [v.site for v in skeleton.matrices] == [v.site for v in model.matrices]
    probe = make_probe(5, 7)
    found = spectra_of(scan(model, probe, dtype="float64", batch_size=2), "gradient_matrix")
    reference = model_of(mixtral)
    packed = "model.layers.1.mlp.experts"
    up = reference.module.get_submodule(packed).up.weight
    truth = slow_reference(reference, probe, ["blocks.1.attn.q"])
    up.requires_grad_()
    rows = []
    for tokens, targets in zip(probe.tokens, probe.targets, strict=True):
        logits = reference.module(tokens[None]).logits[0]
        rows.append(
            torch.autograd.grad(nn.functional.cross_entropy(logits, targets), up)[0][2, :24].flatten()
        )
    for address, expected in (
        ("blocks.1.attn.q", truth.singular_values("blocks.1.attn.q")),
        ("blocks.1.experts.2.gate", torch.linalg.svdvals(torch.stack(rows))),
    ):
        torch.testing.assert_close(
            torch.tensor(found[address].values)[: len(expected)],
            expected,
            rtol=1e-6,
            atol=1e-7 * float(expected[0]),
        )
