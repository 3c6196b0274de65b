"""Pairs of checkpoints made by hand: what is compared, what is missing, what has no directions."""

import numpy as np
import pytest

from spectra_cli.analysis.drift.change import ChangeReading
from spectra_cli.analysis.drift.pairs import compare, similarity, sine_bound
from spectra_cli.analysis.drift.prepared import is_reference, prepare
from spectra_cli.core.types import Scalar, Site, Spectrum, SpectrumKind, Vectors
from tests.builders import checkpoints as builders
from tests.builders.provenance import provenance

M, N, K = 6, 9, 3
VALUES = np.array([9.0, 7.0, 5.0, 1.0, 0.5, 0.2])


def weight(address="blocks.0.attn.q", values=VALUES, *, turned=0.0, shape=(M, N), measurement="weight"):
    """The leading axes, of which the last is turned towards the next one behind them on the right side."""
    right = np.eye(shape[1])[: K + 1]
    last, following = right[K - 1].copy(), right[K].copy()
    right[K - 1] = np.cos(turned) * last + np.sin(turned) * following
    return Spectrum(
        site=Site.parse(address),
        measurement=measurement,
        kind=SpectrumKind.SINGULAR_VALUES,
        values=np.asarray(values),
        num_samples=shape[0],
        ambient_dim=shape[1],
        centered=False,
        unit="weight_unit",
        vectors=Vectors(left=np.eye(shape[0])[:K], right=right[:K]),
    )


def change(address="blocks.0.attn.q", **numbers):
    given = {
        "relative_change": 0.1,
        "visible_share": 0.5,
        "visible_share_float32": 0.6,
        f"energy_on_principal_{K}": 0.5,
        **{
            f"mask_lift_{name}{end}": value
            for name in ("principal", "small", "principal_not_small")
            for end, value in (("", 1.0), ("_null_sd", 0.1))
        },
    } | numbers
    return tuple(
        Scalar(name=n, site=Site.parse(address), measurement="weight_drift", value=v, unit="1")
        for n, v in given.items()
    )


def checkpoint(step, *spectra, reference="", scalars=()):
    execution = {"reference": {"checkpoint": "step0", "digest": reference}} if reference else {}
    made = builders.checkpoint(
        spectra, scalars, step=step, digest=f"digest {step}", provenance=provenance(execution=execution)
    )
    return prepare(made, [K])


def test_a_planted_turn_is_found_on_its_side():
    pair = compare(checkpoint(0, weight()), checkpoint(1, weight(turned=0.2)), "first", [K])
    (site,) = pair.sites
    (rank,) = site.ranks
    assert (pair.before, pair.after, site.shift) == ("step0", "step1", 0.0)
    # E7: O_k = 1 - sin^2 theta / k, rounded to float32 in the archive
    assert rank.right.turned == pytest.approx(np.sin(0.2) ** 2 / K, rel=1e-6)
    assert rank.left.turned < 1e-12
    assert (rank.reading, site.change, pair.reading(0)) == (None, None, None)


def test_the_change_is_judged_only_against_its_own_reference():
    before = checkpoint(0, weight())
    moved = weight(values=[1.0, 0, 0, 0, 0, 0], measurement="weight_drift")
    after = checkpoint(1, weight(turned=0.2), moved, reference="digest 0", scalars=change())
    assert is_reference(before, after)
    pair = compare(before, after, "first", [K])
    ((rank,),) = (site.ranks for site in pair.sites)
    assert pair.sites[0].change.relative == 0.1
    assert rank.sine_bound == pytest.approx(1.0 / 4.0)  # |D|_2 over the gap of 5 and 1
    assert rank.energy.value == pytest.approx(0.5 * M * N / K**2)
    assert isinstance(rank.reading, ChangeReading)
    other = checkpoint(1, weight(turned=0.2), moved, reference="another", scalars=change())
    assert compare(before, other, "first", [K]).reading(0) is None


def test_what_only_one_has_or_has_in_another_shape_is_named():
    before = checkpoint(0, weight(), weight("blocks.0.mlp.up"), weight("blocks.1.attn.q"))
    after = checkpoint(1, weight(), weight("blocks.0.mlp.up", shape=(M, N + 1)), weight("blocks.2.attn.q"))
    pair = compare(before, after, "previous", [K])
    assert [site.site.address for site in pair.sites] == ["blocks.0.attn.q"]
    assert dict(pair.missing) == {
        "blocks.0.mlp.up": "of another shape there, at step0",
        "blocks.2.attn.q": "not measured there, at step0",
        "blocks.1.attn.q": "not measured at step1",
    }


def test_a_zero_weight_has_no_directions_and_no_shift():
    zero = weight(values=np.zeros(M))
    (site,) = compare(checkpoint(0, zero), checkpoint(1, weight()), "first", [K]).sites
    assert site.ranks == ()
    assert np.isnan(site.shift)


def test_a_reference_that_is_archived_stands_in_for_the_first():
    after = checkpoint(
        1, weight(turned=0.2), weight(measurement="weight_reference"), reference="base", scalars=change()
    )
    pair = compare(after.reference, after, "first", [K])
    assert (pair.before, [site.measurement for site in pair.sites]) == ("step0", ["weight"])
    assert pair.sites[0].ranks[0].right.turned > 0


def test_similarity_is_of_the_right_side():
    found = similarity(checkpoint(0, weight()), checkpoint(1, weight(turned=0.2)))
    assert found == {"blocks.0.attn.q": pytest.approx(1 - np.sin(0.2) ** 2 / K, rel=1e-6)}


def test_wedins_bound_holds_where_the_gap_inside_one_matrix_does_not():
    before, moved = np.diag([2.0, 1.0]), np.array([[-0.32, 0.24], [0.24, 0.32]])
    left, values, _ = np.linalg.svd(before + moved)
    size = np.linalg.norm(moved, 2)
    sine = abs(left[1, 0])
    assert size / (2.0 - 1.0) < sine  # 0.4 < 0.447: the gap of the first matrix alone bounds nothing
    assert sine_bound(np.array([2.0, 1.0]), values, 1, size) == pytest.approx(0.5)
    assert sine < 0.5
    assert np.isinf(sine_bound(np.array([2.0, 1.9]), values, 1, size))
