import pytest
import torch
from torch.nn import functional

from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.passes import losses
from spectra_cli.extract.passes.losses import sequence_losses
from spectra_cli.extract.passes.taps import Clock

B, T, D, V = 5, 7, 6, 11


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(B, T, D, generator=generator, dtype=torch.float64)
    weight = torch.randn(V, D, generator=generator, dtype=torch.float64)
    targets = torch.randint(V, (B, T), generator=generator)
    targets[0, -1] = targets[3, 2] = targets[3, 5] = -100
    return hidden, weight, targets


def whole(hidden, weight, targets):
    """Every logit at once, a mean over valid targets for each sequence, plain autograd of their sum."""
    leaf = hidden.clone().requires_grad_()
    each = torch.stack(
        [
            functional.cross_entropy(h @ weight.T, t, ignore_index=-100)
            for h, t in zip(leaf, targets, strict=True)
        ]
    )
    return each.detach(), torch.autograd.grad(each.sum(), leaf)[0]


# One token, a part of a sequence, one sequence, two (the last chunk is short), all.
@pytest.mark.parametrize("chunk_tokens", [1, 3, T, 2 * T + 1, 1000])
def test_losses_and_gradient_are_those_of_all_logits(chunk_tokens, case, monkeypatch):
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", 4 * V * chunk_tokens)
    hidden, weight, targets = case
    sizes = []

    def head(chunk):
        sizes.append(chunk.shape[:-1].numel())
        return chunk @ weight.T

    leaf = hidden.clone().requires_grad_()
    clock = Clock(batch=Batch(start=0, stop=B, length=T, tokens=targets))
    with torch.enable_grad():
        found = sequence_losses(head, leaf * 1.0, targets, V, clock)
    expected, gradient = whole(hidden, weight, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(leaf.grad, gradient, rtol=1e-12, atol=1e-15)
    assert max(sizes) <= max(1, chunk_tokens)
    assert sum(sizes) == B * T
    assert clock.part is None


def test_the_clock_names_the_sequences_of_each_chunk(case, monkeypatch):
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", 4 * V * 2 * T)
    hidden, weight, targets = case
    clock = Clock(batch=Batch(start=10, stop=10 + B, length=T, tokens=targets))
    seen = []

    def head(chunk):
        seen.append((clock.now().start, clock.now().stop))
        return chunk @ weight.T

    with torch.no_grad():
        sequence_losses(head, hidden, targets, V, clock)
    assert seen == [(10, 12), (12, 14), (14, 15)]
    assert (clock.now().start, clock.now().stop) == (10, 15)


def test_closed_form_of_the_softmax_head(case):
    # B11 (i): d loss / dW = (1/T) sum_t (p_t - e_y) h_t^T, so the gradient at the logits is (p - e_y) / T
    hidden, weight, targets = case
    targets = targets.clamp(min=0)
    leaf = hidden.clone().requires_grad_()
    with torch.enable_grad():
        sequence_losses(lambda h: h @ weight.T, leaf * 1.0, targets, V, Clock())
    residual = torch.softmax(hidden @ weight.T, -1) - functional.one_hot(targets, V)
    torch.testing.assert_close(leaf.grad, residual @ weight / T, rtol=1e-12, atol=1e-15)


def test_uniform_logits_cost_the_log_of_the_vocabulary():
    hidden, targets = torch.zeros(2, 3, 4), torch.tensor([[1, 2, 0], [0, 0, -100]])
    found = sequence_losses(lambda h: h.new_zeros(*h.shape[:-1], V), hidden, targets, V, Clock())
    torch.testing.assert_close(found, torch.full((2,), V, dtype=torch.float32).log())


def test_without_gradients_no_graph_is_built(case):
    hidden, weight, targets = case
    with torch.no_grad():
        found = sequence_losses(lambda h: h @ weight.T, hidden, targets, V, Clock())
    assert not found.requires_grad
    torch.testing.assert_close(found, whole(hidden, weight, targets)[0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_large_and_small_logits_in_float32(scale, case):
    # 1e-6 of the loss, a few float32 roundings of the largest logit
    hidden, weight, targets = (t.float() if t.is_floating_point() else t for t in case)
    found = sequence_losses(lambda h: scale * (h @ weight.T), hidden, targets, V, Clock())
    expected = whole(hidden.double() * scale, weight.double(), targets)[0]
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)


def test_a_non_finite_sequence_spoils_no_other(case):
    hidden, weight, targets = case
    expected = whole(hidden, weight, targets)
    hidden = hidden.clone()
    hidden[2, 4, 1] = float("nan")
    leaf = hidden.clone().requires_grad_()
    with torch.enable_grad():
        found = sequence_losses(lambda h: h @ weight.T, leaf * 1.0, targets, V, Clock())
    others = [0, 1, 3, 4]
    assert found[2].isnan()
    torch.testing.assert_close(found[others], expected[0][others], rtol=1e-12, atol=0)
    torch.testing.assert_close(leaf.grad[others], expected[1][others], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "variant-3", "variant-6"])
def test_losses_of_models_in_float32(name, model_of, make_probe, slow_reference):
    probe, model = make_probe(12, 10), model_of(name)
    with torch.no_grad():
        hidden = model.trunk(probe.tokens)
        found = sequence_losses(model.head, hidden, probe.targets, model.vocab_size, Clock())
    expected = slow_reference(model_of(name), probe, ["blocks.0.attn.o"], num_gradients=0).losses
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
