from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Site, SpectrumKind, Status
from spectra_cli.extract.measurements.algebra.singular import NonFiniteWeightError
from spectra_cli.extract.measurements.scope import Memory, Scope
from spectra_cli.extract.measurements.weight_update import (
    WEIGHT_UPDATE,
    UpdateSpectra,
    low_rank_singular_values,
)
from spectra_cli.extract.protocols import MatrixView, Model, Rescaling, WeightUpdate


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def view_of(weight, component="attn.q", **changes):
    module = nn.Linear(1, 1, bias=False)
    module.weight = nn.Parameter(weight, requires_grad=False)
    site = Site(layer=0, component=component, name=f"model.layers.0.{component}.weight")
    return MatrixView(site=site, module=module, **changes)


def model_of(views, updates):
    return Model(
        module=nn.Identity(),
        family="test",
        architecture="test",
        recognised=True,
        width=1,
        vocab_size=1,
        max_length=None,
        blocks=(),
        matrices=tuple(views),
        final_norm=None,
        trunk=nn.Identity(),
        head=nn.Identity(),
        updates=updates,
    )


def measured(view, update):
    name = view.site.name
    return UpdateSpectra(model=model_of([view], {name: update}), views=(view,)).finish()


@pytest.mark.parametrize(
    ("rows", "rank", "columns"), [(9, 2, 7), (7, 3, 20), (20, 5, 5), (3, 8, 4), (6, 1, 1)]
)
def test_the_product_formed_whole(rows, rank, columns):
    left, right = random(rows, rank), random(rank, columns, seed=1)
    expected = np.linalg.svd(0.7 * (left.double() @ right.double()).numpy(), compute_uv=False)
    found = low_rank_singular_values(left, right, 0.7)
    size = min(rows, rank, columns)
    assert found.shape == (size,)
    # the two decompositions differ by float64 rounding of the largest value
    np.testing.assert_allclose(found, expected[:size], rtol=0, atol=1e-13 * expected[0])
    assert (expected[size:] < 1e-13 * expected[0]).all()


def test_values_far_below_the_largest_are_exact():
    # orthogonal factors plant them; the product formed in float64 would lose those below 1e-16
    planted = np.geomspace(1, 1e-12, 4)
    q, p = (torch.linalg.qr(random(n, 4, seed=n).double()).Q for n in (30, 40))
    found = low_rank_singular_values(q * torch.from_numpy(planted), p.T, 1.0)
    np.testing.assert_allclose(found, planted, rtol=1e-3, atol=1e-16)


def test_an_untrained_adapter_adds_nothing():
    weight = random(5, 4)
    found = measured(view_of(weight), WeightUpdate(left=torch.zeros(5, 2), right=random(2, 4), scale=2.0))
    (spectrum,) = found.spectra
    assert not spectrum.values.any()
    assert spectrum.num_zero == 2


def test_a_spectrum_says_what_it_is_of():
    (spectrum,) = measured(
        view_of(random(5, 4)), WeightUpdate(left=random(5, 2), right=random(2, 4), scale=2.0)
    ).spectra
    assert (spectrum.measurement, spectrum.kind) == ("weight_update", SpectrumKind.SINGULAR_VALUES)
    assert (spectrum.num_samples, spectrum.ambient_dim, spectrum.unit) == (5, 4, "weight_unit")
    assert spectrum.values.size == 2
    assert not spectrum.centered


@pytest.mark.parametrize("rows", [slice(2, 5), torch.tensor([0, 3, 4])])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_view_takes_its_rows_of_a_fused_update(rows, transposed):
    left, right = random(6, 2), random(2, 4, seed=1)
    whole = left @ right
    if transposed:
        left, right = right.T, left.T  # as the parameter is stored
    view = view_of(random(4, 6) if transposed else random(6, 4), rows=rows, transposed=transposed)
    (spectrum,) = measured(view, WeightUpdate(left=left, right=right, scale=3.0)).spectra
    expected = np.linalg.svd(3 * whole[rows].double().numpy(), compute_uv=False)[:2]
    np.testing.assert_allclose(spectrum.values, expected, rtol=1e-6)  # float32 product in the reference
    assert (spectrum.num_samples, spectrum.ambient_dim) == (3, 4)


@pytest.mark.parametrize("by_rows", [True, False])
def test_dora_is_the_actual_difference(by_rows):
    base, left, right = random(6, 4), random(6, 2, seed=1), random(2, 4, seed=2)
    magnitude = (1 + random(6, 1, seed=3).abs()) if by_rows else (1 + random(1, 4, seed=3).abs())
    update = WeightUpdate(
        left=left, right=right, scale=0.5, rescaling=Rescaling(magnitude=magnitude, base=base.bfloat16())
    )
    summed = base.bfloat16().double() + 0.5 * left.double() @ right.double()
    norms = summed.norm(dim=1 if by_rows else 0, keepdim=True)
    difference = (magnitude.double() / norms * summed - base.bfloat16().double()).numpy()
    (spectrum,) = measured(view_of(base), update).spectra
    expected = np.linalg.svd(difference, compute_uv=False)
    np.testing.assert_allclose(spectrum.values, expected, rtol=1e-12)
    assert spectrum.values.size == 4  # rescaled rows are of full rank


def test_what_has_no_update_is_named():
    q, k = view_of(random(5, 4)), view_of(random(5, 4), "attn.k")
    (skipped,) = UpdateSpectra(model=model_of([q, k], {}), views=(q,)).finish().skipped
    assert (skipped.site, skipped.status) == (q.site, Status.NOT_APPLICABLE)
    assert "no adapter" in skipped.reason
    update = WeightUpdate(left=random(5, 1), right=random(1, 4), scale=1.0)
    found = UpdateSpectra(model=model_of([q, k], {q.site.name: update}), views=(q, k)).finish()
    assert [s.site for s in found.spectra] == [q.site]
    assert [(s.site, s.reason) for s in found.skipped] == [
        (k.site, "the adapter has no low-rank update of this matrix")
    ]


def test_an_update_of_what_is_no_matrix_of_the_model_is_named():
    q = view_of(random(5, 4))
    update = WeightUpdate(left=random(5, 1), right=random(1, 4), scale=1.0)
    updates = {
        "layers.0.attn.q.weight": update,
        "model.conv.weight": update,
    }  # a bare decoder's path, another
    found = UpdateSpectra(model=model_of([q], updates), views=(q,)).finish()
    assert [s.site.address for s in found.spectra] == ["blocks.0.attn.q"]
    assert [(s.site.address, s.reason) for s in found.skipped] == [
        ("model.conv.weight", "adapted, but no matrix of this model goes by such a name")
    ]


def test_tied_and_packed_matrices():
    update = WeightUpdate(left=random(5, 1), right=random(1, 4), scale=1.0)
    embed = view_of(random(5, 4), "embed", aliases=("lm_head.weight",))
    found = UpdateSpectra(model=model_of([embed], {"lm_head.weight": update}), views=(embed,)).finish()
    assert len(found.spectra) == 1
    expert = view_of(random(2, 5, 4), expert=1)
    assert measured(expert, update).skipped[0].status is Status.NOT_APPLICABLE


def test_non_finite_factors():
    left = random(5, 2)
    left[0, 0], left[1, 1] = float("nan"), float("inf")
    with pytest.raises(NonFiniteWeightError, match="2 of 18"):
        low_rank_singular_values(left, random(2, 4), 1.0)
    found = measured(view_of(random(5, 4)), WeightUpdate(left=left, right=random(2, 4), scale=1.0))
    assert (found.spectra, found.skipped[0].status) == ((), Status.NONFINITE)


def test_memory_is_that_of_the_factors_and_of_a_matrix_that_is_rescaled():
    update = WeightUpdate(left=random(50, 2), right=random(2, 40), scale=1.0)
    rescaling = Rescaling(magnitude=random(50, 1), base=random(50, 40))

    def memory(*updates):
        model = model_of([], {f"{number}.weight": one for number, one in enumerate(updates)})
        scope = Scope(model=model, settings=ScanSettings(), layers=(), device=torch.device("cpu"))
        return WEIGHT_UPDATE.memory(scope)

    assert memory() == Memory()
    one, two = memory(update), memory(update, update)
    factors = (50 + 40) * 2
    assert (one.throughout, two.throughout) == ({"updates": 4 * factors}, {"updates": 8 * factors})
    # reduced one after the other: both factors in float64, as copied and as factorised
    assert two.afterwards == one.afterwards >= 2 * 8 * factors
    whole = memory(replace(update, rescaling=rescaling))
    assert whole.throughout["updates"] == 4 * (factors + 50 + 50 * 40)
    assert whole.afterwards >= one.afterwards + 8 * (4 * 50 * 40 + 8 * 40**2)
