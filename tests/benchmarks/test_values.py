"""The benchmarks' contenders give the same values on the tiny workload; times are never asserted."""

import importlib.util

import pytest

from benchmarks import naive, ours, rivals_gradients, rivals_weights
from benchmarks.bare import run_bare
from benchmarks.workloads import WORKLOADS, build

WORK = WORKLOADS["tiny"]
# Issue 3 promises 1e-4 of the largest value; float32 passes on these sizes agree to about 1e-6.
TOLERANCE = 1e-4
TINY = {"width": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 61, "sequence_length": 16}


@pytest.fixture(scope="module")
def measured():
    model, probe = build(WORK)
    return model, probe, ours.scan(model, probe, WORK.settings())


def test_naive_gives_what_the_scan_gives(measured):
    model, probe, found = measured
    expected = naive.run_naive(model, probe, WORK.settings(), batch_size=7)
    kinds = [kind for kind, _ in expected]
    assert kinds.count(ours.COVARIANCE) == WORK.num_layers
    assert kinds.count(ours.GRADIENT) == WORK.num_layers * len(WORK.matrices)
    assert ours.largest_error(ours.values_of(found), expected) < TOLERANCE


def test_values_are_compared_at_every_rank(measured):
    _, _, found = measured
    spectra = ours.values_of(found)
    key = next(iter(spectra))
    moved = spectra | {key: spectra[key] * 1.001}
    assert ours.largest_error(moved, spectra) == pytest.approx(1e-3, rel=1e-6)
    assert ours.largest_error({key: spectra[key][:-1]}, {key: spectra[key]}) > 0


@pytest.mark.parametrize("shared", [False, True])
def test_bare_leaves_the_model_as_it_was(measured, shared):
    model, probe, _ = measured
    run_bare(model, probe, WORK.settings(), batch_size=5, shared=shared)
    assert all(not p.requires_grad and p.grad is None for p in model.module.parameters())


def _rival(name, package):
    missing = importlib.util.find_spec(package) is None
    reason = f"{package} is installed for the benchmark only (benchmarks/requirements.txt)"
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=reason))


RIVALS = [_rival("vmap(grad)", "torch"), _rival("Opacus", "opacus"), _rival("BackPACK", "backpack")]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.filterwarnings("ignore")  # of the rivals' own making
def test_gradient_rivals_give_what_the_scan_gives(name, family):
    if (name, family) == ("BackPACK", "gpt2"):
        pytest.skip("BackPACK has no rule for Conv1D; see the next test")
    work = rivals_gradients.make_work(family, num_sequences=6, **TINY)
    expected = rivals_gradients.RIVALS[name](work, 4)
    assert len(expected) == TINY["num_layers"] * 4
    assert ours.largest_error(rivals_gradients.run_ours(work), expected) < TOLERANCE


@pytest.mark.skipif(importlib.util.find_spec("backpack") is None, reason="BackPACK is not installed")
@pytest.mark.filterwarnings("ignore")
def test_backpack_is_reported_where_it_cannot_run():
    work = rivals_gradients.make_work("gpt2", num_sequences=4, **TINY)
    with pytest.raises(rivals_gradients.CannotRun, match="not one the library knows"):
        rivals_gradients.run_backpack(work, 2)


@pytest.mark.skipif(
    importlib.util.find_spec("weightwatcher") is None, reason="WeightWatcher is not installed"
)
@pytest.mark.filterwarnings("ignore")
def test_weightwatcher_gives_the_same_singular_values():
    work = rivals_weights.make_work(num_layers=1, width=64)
    found, expected = rivals_weights.run_ours(work), rivals_weights.run_weightwatcher(work)
    # Both are float64; the Gram form is exact to 1e-6 at the smallest value that it is used for.
    assert ours.largest_error(found, expected) < 1e-9
