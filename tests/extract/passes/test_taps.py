import contextlib
import dataclasses

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.algebra.gram import ShiftedSums
from spectra_cli.extract.measurements.gradient_store import DenseGradients, FactoredGradients
from spectra_cli.extract.measurements.measurement import Batch
from spectra_cli.extract.passes.losses import CHUNK_BYTES, sequence_losses
from spectra_cli.extract.passes.taps import Clock, holders, tapped_blocks, tapped_gradients
from spectra_cli.extract.protocols import MatrixView, Model


class Stacks:
    """A `GradientObserver` that adds every gradient up densely."""

    def __init__(self, views, num, *, dtype=torch.float32, device="cpu"):
        self.views = tuple(views)
        self.calls = []
        self.stores = {
            v: DenseGradients(num, v.shape, dtype=dtype, arena=Arena(torch.device(device))) for v in views
        }

    def observe(self, view, inputs, delta, batch, counts=None):
        self.calls.append((view.site.address, batch.start, batch.stop))
        self.stores[view].add(batch.start, inputs, delta, counts)


class Streams:
    """A `BlockObserver` that keeps what it is shown."""

    def __init__(self, layers):
        self.layers = tuple(layers)
        self.seen = []

    def observe(self, layer, hidden_BTD, batch):
        assert not torch.is_grad_enabled()
        self.seen.append((layer, hidden_BTD, batch))


def run(model, probe, observer):
    """The whole probe as one batch, forward and backward."""
    num, length = probe.tokens.shape
    clock = Clock(batch=Batch(start=0, stop=num, length=length, tokens=probe.tokens))
    device = next(model.module.parameters()).device
    with tapped_gradients(model, observer, clock), torch.enable_grad():
        hidden = model.trunk(probe.tokens.to(device))
        return sequence_losses(model.head, hidden, probe.targets.to(device), model.vocab_size, clock)


@pytest.mark.parametrize("chunk_sequences", [1, 2, 100])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "gpt_neox", "variant-3", "variant-6"])
def test_gradients_are_autograds(name, chunk_sequences, model_of, make_probe, slow_reference, monkeypatch):
    """Embedding and head included: one matrix with the summed gradient where they are tied."""
    probe, model = make_probe(5, 8), model_of(name)
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 4 * model.vocab_size * 8 * chunk_sequences)
    observer = Stacks(model.matrices, 5)
    run(model, probe, observer)
    addresses = [v.site.address for v in model.matrices]
    assert ("lm_head" in addresses) is (name in ("llama", "gpt_neox", "variant-6"))
    truth = slow_reference(model_of(name), probe, addresses)
    for view in model.matrices:
        expected = truth.gradients[view.site.address]
        found = observer.stores[view].rows().double()
        # float32 backward passes: a few 1e-7 of the largest entry a layer
        assert (found - expected).abs().max() <= 2e-5 * expected.abs().max(), view.site.address


def test_a_tied_embedding_is_held_twice_and_an_untied_one_once(model_of):
    tied, untied = model_of("gpt2"), model_of("llama")
    assert len(holders(tied.module, tied.matrices[0])) == 2
    assert [len(holders(untied.module, v)) for v in untied.matrices] == [1] * len(untied.matrices)


def test_backward_stays_above_the_lowest_measured_matrix(model_of, make_probe, monkeypatch):
    model = model_of("variant-3")
    view = next(v for v in model.matrices if v.site.address == "blocks.1.mlp.down")
    sizes = []
    original = torch.Tensor.backward

    def watched(tensor, *args, **kwargs):
        nodes, queue = set(), [tensor.grad_fn]
        while queue:
            node = queue.pop()
            if node is not None and node not in nodes:
                nodes.add(node)
                queue += [parent for parent, _ in node.next_functions]
        sizes.append(len(nodes))
        return original(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "backward", watched)
    run(model, make_probe(3, 8), Stacks([view], 3))
    # residual addition, final norm and the head: no attention, no lower block
    assert 0 < max(sizes) < 12


@pytest.mark.parametrize("name", ["llama", "opt", "variant-5"])
def test_block_taps_see_the_residual_stream(name, model_of, make_probe, slow_reference):
    model, probe, observer, clock = model_of(name), make_probe(3, 8), Streams([1]), Clock()
    batch = clock.batch = Batch(start=4, stop=7, length=8, tokens=probe.tokens)
    with tapped_blocks(model, observer, clock):
        model.trunk(probe.tokens)
    ((layer, hidden, seen),) = observer.seen
    assert (layer, seen) == (1, batch)
    expected = slow_reference(model_of(name), probe, ["blocks.0.attn.o"], num_gradients=0).hidden[1]
    assert (hidden - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_hooks_are_gone_even_after_an_interruption(model_of, make_probe):
    model = model_of("llama")

    def count():
        return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.module.modules())

    def interrupt(stop):
        assert count() > before
        raise stop

    before = count()
    for stop in (RuntimeError, KeyboardInterrupt):
        with (
            pytest.raises(stop),
            tapped_blocks(model, Streams([0, 1]), Clock()),
            tapped_gradients(model, Stacks(model.matrices, 3), Clock()),
        ):
            interrupt(stop)
        assert count() == before


def test_a_tap_outside_a_batch_is_a_mistake_of_ours(model_of, make_probe):
    model = model_of("variant-3")
    with pytest.raises(AssertionError, match="outside a batch"), tapped_blocks(model, Streams([0]), Clock()):
        model.trunk(make_probe(2, 4).tokens)


def test_without_gradients_the_gradient_taps_are_silent(model_of, make_probe):
    model = model_of("variant-3")
    observer = Stacks(model.matrices, 2)
    with tapped_gradients(model, observer, Clock()), torch.no_grad():
        model.trunk(make_probe(2, 4).tokens)
    assert observer.calls == []


class _Flat(nn.Module):
    """A map that sees (B T) rows, as mixtures of experts and some norms do, or rows of no batch."""

    def __init__(self, rows):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.linear = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 7, bias=False)
        self.rows = rows
        self.requires_grad_(False)

    def trunk(self, tokens):
        hidden = self.embed(tokens)
        flat = self.linear(hidden.flatten(0, 1)[: self.rows])
        return hidden + (flat.reshape(hidden.shape) if self.rows is None else flat.sum(0))


def flat_model(rows):
    torch.manual_seed(0)
    module = _Flat(rows)
    view = MatrixView(
        site=Site(layer=0, component="mlp.up", name="linear.weight"), module=module.linear, aliases=()
    )
    return Model(
        module=module,
        family="flat",
        architecture="Flat",
        recognised=False,
        width=4,
        vocab_size=7,
        max_length=None,
        blocks=(module.linear,),
        matrices=(view,),
        final_norm=None,
        trunk=module.trunk,
        head=module.head,
    )


def test_rows_of_a_flattened_batch_are_told_apart(make_probe):
    model, probe = flat_model(None), make_probe(3, 5, vocab=7)
    observer = Stacks(model.matrices, 3)
    run(model, probe, observer)
    weight = model.module.linear.weight.requires_grad_()
    for i in range(3):
        logits = model.head(model.trunk(probe.tokens[i : i + 1]))[0]
        loss = nn.functional.cross_entropy(logits, probe.targets[i])
        torch.testing.assert_close(
            observer.stores[model.matrices[0]].rows()[i], torch.autograd.grad(loss, weight)[0]
        )


class _Heads(_Flat):
    """A map applied to (B, H, T, D): twice for every token."""

    def trunk(self, tokens):
        hidden = self.embed(tokens)
        return hidden + self.linear(torch.stack([hidden, hidden.square()], 1)).sum(1)


def test_a_map_applied_more_than_once_a_token_adds_its_applications(make_probe):
    torch.manual_seed(0)
    module, flat = _Heads(None), flat_model(None)
    view = dataclasses.replace(flat.matrices[0], module=module.linear)
    model = dataclasses.replace(flat, module=module, matrices=(view,), trunk=module.trunk, head=module.head)
    probe, observer = make_probe(3, 5, vocab=7), Stacks([view], 3)
    run(model, probe, observer)
    weight = module.linear.weight.requires_grad_()
    for i in range(3):
        logits = model.head(model.trunk(probe.tokens[i : i + 1]))[0]
        expected = torch.autograd.grad(nn.functional.cross_entropy(logits, probe.targets[i]), weight)[0]
        torch.testing.assert_close(observer.stores[view].rows()[i], expected)


def test_rows_that_belong_to_no_sequence_are_refused(make_probe):
    model = flat_model(4)
    with pytest.raises(ModelError, match=r"linear.weight sees a tensor of shape \(4, 4\).*--matrices"):
        run(model, make_probe(3, 5, vocab=7), Stacks(model.matrices, 3))


# ------------------------------------------------------------------- placement, on the meta device


class _OnlyOn(TorchDispatchMode):
    """Fails where an operation makes a tensor on another device, or reads a value from one."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("a value was read from the device")
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != self.device:
                raise AssertionError(
                    f"{func} made a tensor on {tensor.device}, the model is on {self.device}"
                )
        return out


@pytest.mark.parametrize("name", ["nanogpt-biases", "variant-3", "variant-5", "variant-6"])
def test_a_batch_stays_on_the_models_device(name, skeleton_of, make_probe, monkeypatch):
    # autocast knows no meta device, and nothing is cast here
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_kwargs: contextlib.nullcontext())
    model, probe = skeleton_of(name), make_probe(3, 8)
    observer, streams = Stacks(model.matrices, 3, device="meta"), Streams([0, 1])
    tokens, targets = probe.tokens.to("meta"), probe.targets.to("meta")
    clock = Clock(batch=Batch(start=0, stop=3, length=8, tokens=tokens))
    with (
        _OnlyOn("meta"),
        tapped_blocks(model, streams, clock),
        tapped_gradients(model, observer, clock),
        torch.enable_grad(),
    ):
        losses = sequence_losses(model.head, model.trunk(tokens), targets, model.vocab_size, clock)
    assert losses.device.type == "meta"
    assert {address for address, *_ in observer.calls} == {v.site.address for v in model.matrices}
    assert [layer for layer, *_ in streams.seen] == [0, 1]


def test_sums_and_stores_stay_on_their_device():
    meta = torch.device("meta")
    with _OnlyOn("meta"):
        sums = ShiftedSums(torch.zeros(4, dtype=torch.float64, device=meta))
        sums.add(
            torch.empty(6, 4, dtype=torch.float64, device=meta), torch.empty(6, dtype=torch.bool, device=meta)
        )
        other = ShiftedSums(sums.mean)
        other.take(sums)
        assert {x.device for x in (other.moment(), other.packed_moment(), other.trace())} == {meta}
        inputs, delta = torch.empty(2, 5, 3, device=meta), torch.empty(2, 5, 4, device=meta)
        for store in (
            DenseGradients(6, (4, 3), dtype=torch.float32, arena=Arena(meta)),
            FactoredGradients(6, 5, (4, 3), dtype=torch.float32, arena=Arena(meta)),
        ):
            store.add(2, inputs, delta)
            assert store.gram().device == meta


def test_the_guard_sees_a_tensor_of_another_device():
    with pytest.raises(AssertionError, match="made a tensor on cpu"), _OnlyOn("meta"):
        torch.zeros(2)
