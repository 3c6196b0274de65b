"""What every measurement of the registry keeps to.

It finishes, its sites are canonical, it holds no more memory than it states, and what several observers saw
in parts is what one saw whole.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Site
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.measurement import (
    Batch,
    BlockMeasurement,
    GradientMeasurement,
    ParameterMeasurement,
    Subject,
)
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.registry import MEASUREMENTS
from spectra_cli.extract.measurements.scope import Planned, Scope
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.losses import model_losses
from spectra_cli.extract.passes.taps import Clock, tapped_blocks, tapped_gradients
from spectra_cli.extract.planning.cost import PARTS
from spectra_cli.extract.protocols import WeightUpdate
from tests.builders.held import held_bytes

CPU = torch.device("cpu")
NUM, LENGTH = 8, 6
# each of two of the four jackknife blocks of two sequences, or of one
SHARDS = (range(2), range(2, 4), range(4, 8))


@pytest.fixture(scope="module")
def scope(model_of):
    model = model_of("llama")
    generator = torch.Generator().manual_seed(3)
    updates = {}
    for view in model.matrices[:2]:
        left = torch.randn(view.shape[0], 2, generator=generator)
        right = torch.randn(2, view.shape[1], generator=generator)
        updates[view.site.name] = WeightUpdate(left=left, right=right, scale=0.5)
    settings = ScanSettings(
        measurements=tuple(name for name, kind in MEASUREMENTS.items() if kind.comes_with is None),
        matrices=("all",),
        num_sequences=NUM,
        num_gradient_sequences=NUM,
        sequence_length=LENGTH,
        num_blocks=4,
        num_vectors=2,
    )
    return Scope.of(replace(model, updates=updates), settings, CPU)


@pytest.fixture(scope="module")
def observed(scope, make_probe):
    """An observer of a measurement that saw some sequences, of some of its matrices."""
    probe = make_probe(NUM, LENGTH)
    tapped = {BlockMeasurement: tapped_blocks, GradientMeasurement: tapped_gradients}

    def observe(kind, sequences=range(NUM), views=None):
        views = kind.views(scope)[0] if views is None else views
        waits = {view: kind.waits(scope, view) for view in views if isinstance(kind, GradientMeasurement)}
        subject = Subject(
            model=scope.model,
            settings=scope.settings,
            layers=scope.layers,
            device=CPU,
            views=views,
            factored=frozenset(view for view, member in waits.items() if member.factored),
            num_gradient_sequences=NUM,
            length=LENGTH,
            arena=Arena(CPU),
            reference=another_one(scope.model),
        )
        observer, clock = kind.start(subject), Clock()
        if type(kind) in tapped:
            with numerics(scope.model, scope.settings), tapped[type(kind)](scope.model, observer, clock):
                for start in sequences[::2]:
                    tokens, targets = (t[start : start + 2] for t in (probe.tokens, probe.targets))
                    clock.batch = Batch(start=start, stop=start + 2, length=LENGTH, tokens=tokens)
                    with torch.set_grad_enabled(isinstance(kind, GradientMeasurement)):
                        model_losses(scope.model, tokens, targets, clock)
        return observer

    return observe


def another_one(model):
    """A reference whose weights are near those of the model."""
    generator = torch.Generator().manual_seed(4)
    weights = {
        view.site.address: view.weight().detach() + 0.1 * torch.randn(view.shape, generator=generator)
        for view in model.matrices
    }
    return Reference(weights=weights, archived=True)


@pytest.fixture(params=MEASUREMENTS.values(), ids=MEASUREMENTS)
def kind(request):
    return request.param


def test_it_finishes_with_canonical_sites(kind, observed, scope):
    found = observed(kind).finish()
    views = {view.site for view in kind.views(scope)[0]}
    sites = views or {Site(layer=layer, component="resid_post") for layer in scope.layers}
    assert {spectrum.site for spectrum in found.spectra} | {left.site for left in found.skipped} == sites
    assert found.spectra
    for spectrum in found.spectra:
        parsed = Site.parse(spectrum.site.address)
        assert (parsed.layer, parsed.component) == (spectrum.site.layer, spectrum.site.component)


def test_it_states_no_less_memory_than_it_holds(kind, observed, scope):
    observer = observed(kind)
    stated = sum(kind.memory(scope).throughout.values())
    if isinstance(kind, GradientMeasurement):
        stated += sum(kind.waits(scope, view).memory_bytes for view in kind.views(scope)[0])
    held = held_bytes(observer)
    assert held <= stated
    assert held > stated / 20 or isinstance(kind, ParameterMeasurement)


class Watched:
    """Settings that note which of them are read."""

    def __init__(self, settings):
        self.settings, self.read = settings, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.settings, name)


def test_it_reads_its_own_settings_and_none_of_another(kind, scope):
    names = {field.name for field in dataclasses.fields(ScanSettings)}
    assert names >= set(kind.settings)
    watched = Watched(scope.settings)
    own = replace(scope, settings=watched)
    views = kind.views(own)[0]
    members = [kind.waits(own, view) for view in views] if isinstance(kind, GradientMeasurement) else ()
    kind.memory(own)
    kind.work(own, Planned(members=tuple(members)))
    kind.start(
        Subject(
            model=scope.model,
            settings=watched,
            layers=scope.layers,
            device=CPU,
            views=views,
            num_gradient_sequences=NUM,
            length=LENGTH,
            arena=Arena(CPU),
            reference=another_one(scope.model),
        )
    )
    somebodys = {name for one in MEASUREMENTS.values() for name in one.settings}
    assert watched.read & somebodys == set(kind.settings)


def test_its_work_is_of_kinds_that_time_is_estimated_for(kind, scope):
    members = ()
    if isinstance(kind, GradientMeasurement):
        members = tuple(kind.waits(scope, view) for view in kind.views(scope)[0])
    works = kind.work(scope, Planned(members=members, batch_size=2))
    assert {work.kind for work in works} <= set(PARTS)
    assert sum(work.amount for work in works) > 0
    assert all(math.isfinite(work.amount) and work.at_once >= 1 for work in works)


def test_parts_merged_in_any_order_are_the_whole(kind, observed, scope):
    if isinstance(kind, ParameterMeasurement):
        views = kind.views(scope)[0]
        parts = [{"views": part} for part in (views[:2], views[2:3], views[3:])]
    else:
        parts = [{"sequences": shard} for shard in SHARDS]

    def of(*chosen):
        return reduce(lambda one, other: one.merge(other), [observed(kind, **part) for part in chosen])

    whole = observed(kind).finish()
    first, second, third = parts
    for merged in (of(*parts), of(first).merge(of(second, third)), of(third, first, second)):
        assert_same(merged.finish(), whole)


def assert_same(found, expected):
    """Up to rounding in float64, in whatever order."""
    assert len(found.spectra) == len(expected.spectra)
    assert set(found.skipped) == set(expected.skipped)
    by_place = {(s.measurement, s.site.address): s for s in found.spectra}
    for spectrum in expected.spectra:
        own = by_place[spectrum.measurement, spectrum.site.address]
        np.testing.assert_allclose(own.values, spectrum.values, rtol=1e-9, atol=1e-12 * spectrum.values[0])
        assert (own.num_samples, own.block_sizes) == (spectrum.num_samples, spectrum.block_sizes)
        if spectrum.block_profile is not None:
            profile, largest = spectrum.block_profile, spectrum.block_profile.max()
            np.testing.assert_allclose(own.block_profile, profile, rtol=1e-5, atol=1e-6 * largest)
    scalars = {(s.name, s.site): s for s in found.scalars}
    for scalar in expected.scalars:
        own = scalars[scalar.name, scalar.site]
        np.testing.assert_allclose(own.value, scalar.value, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(own.delete_one_block, scalar.delete_one_block, rtol=1e-9, atol=1e-15)
