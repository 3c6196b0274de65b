"""The change of a weight since the reference: closed forms, and what chance does."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from spectra_cli.core.measurements import WEIGHT_DRIFT
from spectra_cli.core.types import Site, Status
from spectra_cli.extract.measurements.reference import Reference, reference_of
from spectra_cli.extract.measurements.registry import MEASUREMENTS
from spectra_cli.extract.measurements.weight_drift import (
    REFERENCE,
    ladder,
    mask_lift,
    visible,
    weight_drift,
)
from spectra_cli.extract.protocols import MatrixView


def view_of(weight):
    module = nn.Linear(1, 1, bias=False)
    module.weight = nn.Parameter(weight, requires_grad=False)
    return MatrixView(site=Site(layer=0, component="attn.q", name="q.weight"), module=module)


def drift(before, after, num_vectors=16):
    reference = reference_of((view_of(before),), "digest")
    measured = weight_drift(view_of(after), reference=reference, num_vectors=num_vectors)
    (spectrum,) = measured.spectra
    assert {s.measurement for s in measured.scalars} == {spectrum.measurement} == {WEIGHT_DRIFT}
    return spectrum, {s.name: s.value for s in measured.scalars}, {s.name: s.status for s in measured.scalars}


def gaussian(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_nothing_changed():
    weight = gaussian(20, 30)
    spectrum, numbers, statuses = drift(weight, weight)
    assert not spectrum.values.any()
    assert (numbers["relative_change"], numbers["visible_share"], numbers["visible_share_float32"]) == (
        0,
        0,
        0,
    )
    assert statuses["mask_lift_principal"] is statuses["energy_on_principal_16"] is Status.ZERO


def test_a_scaled_weight_changes_along_itself():
    weight = gaussian(20, 30).double()
    spectrum, numbers, _ = drift(weight, 1.5 * weight)
    assert numbers["relative_change"] == pytest.approx(0.5, rel=1e-12)
    values = np.linalg.svd(weight.numpy(), compute_uv=False)
    np.testing.assert_allclose(spectrum.values, 0.5 * values, rtol=1e-10)
    for k in ladder(16):
        share = (values[:k] ** 2).sum() / (values**2).sum()
        assert numbers[f"energy_on_principal_{k}"] == pytest.approx(share, rel=1e-10)
    assert numbers["visible_share"] == 1.0
    # every entry moved: no mask can be preferred
    assert numbers["mask_lift_principal"] == pytest.approx(1.0)
    assert numbers["mask_lift_principal_null_sd"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_random_sparse_change_is_at_chance(seed):
    # I7: lift 1 +- 3 SE, energy k^2 / (m n). 2 % of 200 x 300 entries.
    m, n, k = 200, 300, 20
    rng = np.random.default_rng(seed)
    weight = gaussian(m, n, seed=seed)
    sparse = torch.from_numpy(rng.standard_normal((m, n)) * (rng.random((m, n)) < 0.02))
    _, numbers, _ = drift(weight, weight + sparse, num_vectors=k)
    for name in ("principal", "small", "principal_not_small"):
        lift, spread = numbers[f"mask_lift_{name}"], numbers[f"mask_lift_{name}_null_sd"]
        # 1 200 entries on half of all: sqrt(0.25 / 1200) / 0.5 = 0.029 were they independent
        assert 0.02 < spread < 0.06
        assert abs(lift - 1) < 3 * spread
    assert numbers[f"energy_on_principal_{k}"] == pytest.approx(k**2 / (m * n), rel=3 * np.sqrt(2) / k * 1.5)


def test_changes_of_small_and_of_principal_entries_are_told_apart():
    left, right = torch.linalg.qr(gaussian(120, 4)).Q, torch.linalg.qr(gaussian(160, 4, seed=1)).Q
    weight = 20 * left @ right.T + 0.1 * gaussian(120, 160, seed=2)
    small = weight.abs() <= weight.abs().quantile(0.1)
    _, off, _ = drift(weight, weight + 0.05 * small, num_vectors=4)
    _, on, _ = drift(weight, weight + 0.05 * ~small, num_vectors=4)
    assert off["mask_lift_principal"] < 0.5 < 1.5 < off["mask_lift_small"]
    assert on["mask_lift_principal"] > 1.02
    assert on["mask_lift_small"] < 0.98


def test_the_spread_of_a_lift_is_that_of_shuffled_rows_and_columns():
    # the slow reference: 4 000 shuffles know a standard deviation to 1 / sqrt(8000) = 1.1 %, times 4
    rng = np.random.default_rng(0)
    mask = rng.random((12, 20)) < np.linspace(0.1, 0.9, 20)
    moved = rng.random((12, 20)) < np.linspace(0.05, 0.5, 12)[:, None]
    lift, spread = mask_lift(mask, moved)
    expected = mask.sum() * moved.sum() / mask.size
    assert lift == pytest.approx((mask & moved).sum() / expected)
    shuffled = [
        (mask & moved[rng.permutation(12)][:, rng.permutation(20)]).sum() / expected for _ in range(4000)
    ]
    assert np.mean(shuffled) == pytest.approx(1.0, abs=4 * spread / np.sqrt(4000))
    assert np.std(shuffled) == pytest.approx(spread, rel=0.045)


def test_every_step_of_bfloat16_is_visible_and_nothing_smaller():
    values = torch.cat([torch.logspace(-6, 3, 200), -torch.logspace(-6, 3, 200)]).bfloat16()
    following = (values.view(torch.int16) + 1).view(torch.bfloat16)
    assert visible(values.float(), following.float()).all()
    # a fifth of the smallest relative step, from a number that bfloat16 holds: rounds back
    assert not visible(values.float(), values.float() * (1 + 2.0**-11)).any()


def test_a_matrix_of_lower_rank_than_vectors_keeps_to_its_rank():
    before = torch.outer(gaussian(10), gaussian(12, seed=1)).double()
    _, numbers, _ = drift(before, 2 * before, num_vectors=8)
    assert numbers["energy_on_principal_8"] == pytest.approx(1.0)


def test_what_cannot_be_compared_is_skipped_with_its_reason():
    view = view_of(gaussian(3, 4))
    cases = {
        "has no such matrix": Reference(digest="d"),
        "one of shape (3, 5)": reference_of((view_of(gaussian(3, 5)),), "d"),
        "it cannot be read": Reference(problem="it cannot be read"),
        "1 of 12": reference_of((view_of(gaussian(3, 4).index_fill(0, torch.tensor(0), 1.0)),), "d"),
    }
    spoiled = gaussian(3, 4)
    spoiled[0, 0] = float("nan")
    cases["1 of 12"] = reference_of((view_of(spoiled),), "d")
    for reason, reference in cases.items():
        measured = weight_drift(view, reference=reference, num_vectors=2)
        (skipped,) = measured.skipped
        assert not measured.spectra
        assert reason in skipped.reason
    # a matrix of zeros has no principals to be near to
    _, _, statuses = drift(torch.zeros(3, 4), gaussian(3, 4), num_vectors=2)
    assert statuses["relative_change"] is Status.ZERO


def test_a_reference_of_no_series_is_archived_beside_the_drift():
    def measured(views, reference):
        subject = SimpleNamespace(views=views, reference=reference, settings=SimpleNamespace(num_vectors=2))
        return MEASUREMENTS[WEIGHT_DRIFT].start(subject).finish().spectra

    before, after = (view_of(torch.eye(3) / 2),), (view_of(torch.eye(3)),)
    for archived in (False, True):
        reference = reference_of(before, "digest", archived=archived)
        found = measured(after, reference)
        assert [s.measurement for s in found] == [WEIGHT_DRIFT, REFERENCE][: 1 + archived]
    np.testing.assert_allclose(found[-1].values, 0.5)
    assert measured(after, None) == ()
