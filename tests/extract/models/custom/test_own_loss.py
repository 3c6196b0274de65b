"""A loss of the user's own: what it must be, and that gradients under it are those of single sequences."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from spectra_cli.core.errors import ModelError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.models.custom.family import custom_family
from spectra_cli.extract.passes.verification import verify_gradients
from spectra_cli.extract.planning.plan import plan_scan

VOCAB, WIDTH = 61, 16
CPU, META = torch.device("cpu"), torch.device("meta")


class Two(nn.Module):
    """Two heads: the second predicts the token after next, so that no one map makes the logits."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.next_but_one = nn.Linear(WIDTH, VOCAB, bias=False)
        self.next = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens, *, scaled):
        x = self.tokens(tokens)
        x = x + x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        for layer in self.layers:
            x = torch.tanh(layer(x)) if scaled else x
        return self.next(x) + self.next_but_one(torch.tanh(x))


def two_losses(module, tokens, targets):
    """The next token's, and with half the weight that of the token after it, over its own targets."""
    logits = module(tokens, scaled=True)
    one = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    later = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), targets[:, 1:], ignore_index=-100, reduction="none"
    )
    return one.sum(1) / (targets != -100).sum(1) + 0.5 * later.sum(1) / (targets[:, 1:] != -100).sum(1)


def load(state):
    module = Two()
    module.load_state_dict(state)
    return module


@pytest.fixture
def built(monkeypatch, header_of):
    """The model that a builder with this loss makes, with weights or on the meta device."""
    torch.manual_seed(5)
    state = {name: 0.4 * torch.randn_like(tensor) for name, tensor in Two().state_dict().items()}
    header = header_of({}, state, format="nanogpt")

    def build(loss=two_losses, *, device=CPU, **more):
        module = SimpleNamespace(build=lambda state, metadata: {"module": load(state), "loss": loss, **more})
        monkeypatch.setitem(sys.modules, "users_model", module)
        family = custom_family("users_model:build")
        return family.build(header, None if device == META else state, device=device)

    return build


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-6), ("float32", 1e-3)])
def test_gradients_are_those_of_one_sequence_at_a_time(
    dtype, rtol, built, make_probe, scan, spectra_of, scalar_of
):
    # float64: the Gram matrix squares the rounding; float32: a thousandth of the largest value
    probe = make_probe(7, 9, targets="ignore_last")
    found = scan(built(), probe, dtype=dtype, batch_size=3, matrices=("all", "embed", "lm_head"))
    model = built()
    module = model.module.double()
    values = spectra_of(found, "gradient_matrix")
    names = {
        "embed": "tokens",
        "lm_head": "next",
        "blocks.0.linear": "layers.0",
        "blocks.1.linear": "layers.1",
    }
    assert values.keys() == names.keys()
    module.requires_grad_()
    losses, stacks = [], {address: [] for address in names}
    for number in range(len(probe.tokens)):
        module.zero_grad()
        loss = two_losses(module, probe.tokens[number : number + 1], probe.targets[number : number + 1]).sum()
        loss.backward()
        losses.append(float(loss.detach()))
        for address, name in names.items():
            stacks[address].append(module.get_submodule(name).weight.grad.flatten().clone())
    for address, rows in stacks.items():
        expected = torch.linalg.svdvals(torch.stack(rows))
        torch.testing.assert_close(
            torch.tensor(values[address].values)[: len(expected)],
            expected,
            rtol=rtol,
            atol=rtol * 0.1 * float(expected[0]),
        )
    loss = scalar_of(found, "probe_loss")
    assert loss.value == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert (loss.unit, scalar_of(found, "dropped_sequences").value) == ("nats/token", 0)


def test_its_taps_are_checked_and_nothing_is_left_behind(built, make_probe):
    model = built()
    settings = ScanSettings(matrices=("all", "embed", "lm_head"))
    verified = verify_gradients(model, make_probe(2, 10), settings)
    assert (verified.untappable, verified.alone) == ({}, frozenset())
    assert not any(p.requires_grad or p.grad is not None for p in model.module.parameters())


def test_sites_are_found_without_a_trunk_or_head(built):
    for device in (CPU, META):
        model = built(device=device)
        assert [v.site.address for v in model.matrices] == [
            "embed",
            "blocks.0.linear",
            "blocks.1.linear",
            "lm_head",
        ]
        assert (model.width, model.vocab_size) == (WIDTH, VOCAB)
        with pytest.raises(AssertionError, match="has no head"):
            model.head(torch.zeros(1, 1, WIDTH))


def test_the_plan_counts_its_logits_with_each_sequence(built):
    settings = ScanSettings(sequence_length=8, num_sequences=8, num_gradient_sequences=8)
    own = plan_scan(built(device=META), settings, device=CPU, batch_size=2)
    chunked = plan_scan(replace(built(device=META), loss=None), settings, device=CPU, batch_size=2)
    assert own.memory_bytes["logits"] == 0
    difference = own.memory_bytes["activations"] - chunked.memory_bytes["activations"]
    assert difference == chunked.memory_bytes["logits"] == 2 * 3 * 8 * VOCAB * 4


def scalar(module, tokens, targets):
    return two_losses(module, tokens, targets).mean()


def batch_mean(module, tokens, targets):
    losses = two_losses(module, tokens, targets)
    return losses.mean().expand_as(losses)


def not_a_number(module, tokens, targets):
    return two_losses(module, tokens, targets) * float("nan")


def takes_no_minus_100(module, tokens, targets):
    logits = module(tokens, scaled=True).log_softmax(-1)
    return -logits.gather(-1, targets[..., None]).squeeze(-1).mean(1)


def minus_100_counts(module, tokens, targets):
    logits = module(tokens, scaled=True)
    found = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return (found / (targets != -100)).mean(1)


def without_gradient(module, tokens, targets):
    with torch.no_grad():
        return two_losses(module, tokens, targets)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (scalar, r"its loss returned a tensor of shape \(\) and type float32 for tokens of shape \(1, 4\)"),
        (lambda m, x, y: two_losses(m, x, y)[:, None], r"shape \(1, 1\).*expected .* shape \(1,\)"),
        (lambda m, x, y: 1.0, "its loss returned a float"),
        (lambda m, x, y: two_losses(m, x, y).long(), "type int64"),
        (batch_mean, "must not depend on the others of its batch"),
        (not_a_number, r"its loss is \[nan, nan\].*though all weights are finite"),
        (minus_100_counts, r"its loss is \[nan, .*Targets are -100 where a position has none"),
        (takes_no_minus_100, r"its loss raised RuntimeError: .*test_own_loss.py, line \d+, in takes_no"),
        (without_gradient, "its loss carries no gradient"),
        (lambda m, x: 1, r"its loss raised TypeError: .*takes 2 positional arguments but 3 were given"),
        (lambda m, x, y: m(x), r"its loss raised TypeError: .*missing 1 required keyword-only"),
        (lambda m, x, y: m.tokens(x).mean((1, 2)), "never called the last of the blocks"),
        ("cross_entropy", "a str as loss, which cannot be called"),
    ],
)
def test_a_loss_that_cannot_be_used_is_told_why(loss, message, built):
    with pytest.raises(ModelError, match=f"(?s)--model users_model:build: .*{message}"):
        built(loss)
    assert torch.is_grad_enabled()


def test_a_loss_beside_trunk_and_head(built):
    with pytest.raises(ModelError, match="a loss beside trunk and head; a loss takes their place"):
        built(trunk=len, head=len)


def test_weights_that_are_not_finite_are_left_to_be_found_by_name(built):
    def spoiled(module, tokens, targets):
        with torch.no_grad():
            module.next.weight[0, 0] = float("nan")
        return two_losses(module, tokens, targets)

    assert built(spoiled).loss is not None


EXAMPLE = Path(__file__).parents[4] / "docs" / "how-to" / "scan-your-own-model.md"


def test_the_documented_loss_works(tmp_path, monkeypatch, header_of):
    example = re.findall(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)[2]
    (tmp_path / "my_run.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "my_model", SimpleNamespace(load=load))
    state = Two().state_dict()
    header = header_of({}, state, format="nanogpt")
    family = custom_family("my_run:build")
    assert family.build(header, None, device=META).width == WIDTH
    model = family.build(header, state, device=CPU)
    tokens = torch.arange(10).view(2, 5)
    targets = tokens.roll(-1, 1)
    targets[1, 2:] = -100
    with torch.no_grad():
        logits = model.module(tokens, scaled=True)
        whole = functional.cross_entropy(logits[0], targets[0])
        part = functional.cross_entropy(logits[1, :2], targets[1, :2])
        # a mean of five numbers, in another order
        torch.testing.assert_close(model.loss(tokens, targets), torch.stack([whole, part]), rtol=1e-6, atol=0)
    sys.modules.pop("my_run")
