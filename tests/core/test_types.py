import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import (
    CheckpointRef,
    Scalar,
    Site,
    Spectrum,
    SpectrumKind,
    StatisticValue,
    Status,
    Vectors,
)

SITE = Site(layer=1, component="attn.q", name="h.1.q.weight")


def spectrum(values=(4.0, 1.0, 0.0), **changes):
    given = {
        "site": SITE,
        "measurement": "weight",
        "kind": SpectrumKind.SINGULAR_VALUES,
        "values": np.array(values),
        "num_samples": 3,
        "ambient_dim": 5,
        "centered": False,
        "unit": "weight_unit",
    }
    return Spectrum(**(given | changes))


def test_vectors_stand_beside_a_spectrum_that_they_fit():
    left, right = np.eye(2, 3), np.eye(2, 5)
    found = spectrum(vectors=Vectors(left=left, right=right)).vectors
    assert found.num_vectors == 2
    assert found.right.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        found.right[0, 0] = 2
    eigen = {"kind": SpectrumKind.EIGENVALUES}
    assert spectrum(**eigen, vectors=Vectors(right=right)).vectors.left is None
    for vectors, changes, message in (
        (Vectors(left=left, right=np.eye(2, 4)), {}, r"right vectors of shape \(2, 4\)"),
        (Vectors(left=np.eye(2, 4), right=right), {}, r"left vectors of shape \(2, 4\)"),
        (Vectors(left=np.eye(4, 3), right=np.eye(4, 5)), {}, "at most 3"),
        (Vectors(right=right), {}, "beside singular values"),
        (Vectors(left=left, right=right), eigen, "beside singular values"),
    ):
        with pytest.raises(ValueError, match=message):
            spectrum(vectors=vectors, **changes)
    for sides in ({"left": np.eye(1, 3), "right": right}, {"right": np.eye(0, 5)}, {"right": np.ones(5)}):
        with pytest.raises(ValueError, match="vectors of shapes"):
            Vectors(**sides)


@given(layer=st.none() | st.integers(0, 200), component=st.sampled_from(["attn.q", "mlp.down", "resid_post"]))
def test_an_address_and_its_site(layer, component):
    site = Site(layer=layer, component=component)
    assert Site.parse(site.address) == site


def test_the_checkpoints_own_name_takes_no_part_in_comparisons():
    assert Site.parse("blocks.1.attn.q") == SITE
    assert hash(Site.parse("blocks.1.attn.q")) == hash(SITE)
    assert Site.parse("lm_head", name="head").name == "head"


def test_keys_of_checkpoints():
    ref = CheckpointRef(run="r", step=100, uri="/r", format="f")
    assert ref.key == "step100"
    assert dataclasses.replace(ref, label="target_reached").key == "step100-target_reached"
    assert dataclasses.replace(ref, step=None).key == "nostep"


def test_values_are_copied_and_frozen():
    values = np.array([2.0, 1.0], dtype=np.float32)
    found = spectrum(values)
    values[0] = 9
    assert found.values.dtype == np.float64
    assert found.values[0] == 2
    with pytest.raises(ValueError, match="read-only"):
        found.values[0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.unit = "other"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "non-empty vector"),
        ([[1.0]], "non-empty vector"),
        ([1.0, 2.0], "descending"),
        ([1.0, -1e-300], "non-negative"),
        ([np.nan, 1.0], "finite"),
        ([np.inf, 1.0], "finite"),
    ],
)
def test_values_that_are_no_spectrum(values, message):
    with pytest.raises(ValueError, match=rf"weight at blocks\.1\.attn\.q: .*{message}"):
        spectrum(values)


def test_block_profile_has_a_row_a_block():
    found = spectrum(block_profile=np.ones((2, 3)), block_sizes=(5, 6))
    assert found.block_profile.dtype == np.float32
    assert not found.block_profile.flags.writeable
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(3 blocks, 3 values\)"):
        spectrum(block_profile=np.ones((2, 3)), block_sizes=(5, 6, 7))
    with pytest.raises(ValueError, match="without a block profile"):
        spectrum(block_sizes=(5,))


def test_the_one_conversion_between_kinds():
    np.testing.assert_array_equal(spectrum().eigenvalues(), [16, 1, 0])
    np.testing.assert_array_equal(spectrum(kind=SpectrumKind.EIGENVALUES).eigenvalues(), [4, 1, 0])


def test_numerically_zero_values_are_counted():
    assert spectrum(zero_threshold=1.0).num_zero == 2
    assert spectrum().num_zero == 1


@pytest.mark.parametrize("status", list(Status))
def test_a_number_stands_exactly_where_its_status_says(status):
    right, wrong = (1.0, float("nan")) if status.has_value else (float("nan"), 1.0)
    common = {"name": "x", "site": SITE, "measurement": "m", "status": status}
    statistic = common | {"step": 1, "stderr": float("nan"), "reason": "because"}
    Scalar(**common, value=right, unit="1")
    StatisticValue(**statistic, value=right)
    with pytest.raises(ValueError, match="contradicts"):
        Scalar(**common, value=wrong, unit="1")
    with pytest.raises(ValueError, match="contradicts"):
        StatisticValue(**statistic, value=wrong)


def test_which_statuses_have_a_value():
    assert {s for s in Status if s.has_value} == {Status.OK, Status.PARTIAL, Status.BELOW_FLOOR}


def test_every_status_but_ok_needs_a_reason():
    with pytest.raises(ValueError, match="without a reason"):
        StatisticValue(
            name="x", measurement="m", site=None, step=1, value=1.0, stderr=0.1, status=Status.PARTIAL
        )


def test_replicates_of_a_scalar_go_with_its_blocks():
    with pytest.raises(ValueError, match="replicates for 3 blocks"):
        Scalar(
            name="x",
            site=None,
            measurement="m",
            value=1.0,
            unit="1",
            delete_one_block=np.ones(2),
            block_sizes=(1, 1, 1),
        )
