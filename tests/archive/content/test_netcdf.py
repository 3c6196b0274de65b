"""xarray and plain h5py find labelled dimensions."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray

from spectra_cli.archive.writer import write_archive


@pytest.fixture
def path(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series)
    return path


def test_the_root_opens_with_steps(path):
    with xarray.open_dataset(path, engine="h5netcdf") as root:
        assert root.step.dims == ("checkpoint",)
        np.testing.assert_array_equal(root.step, [0, 5, 10, np.nan])
        assert root.key.values.tolist() == ["step0", "step5", "step10", "nostep"]
        assert set(root.coords) >= {"checkpoint", "step", "key"}
        assert root.probe_start.values.tolist() == [16, 0, 64, 32]
        assert root.attrs["format"] == "spectra-archive"


def test_a_measurement_opens_with_labels(path, series):
    with xarray.open_dataset(path, engine="h5netcdf", group="gradient_matrix") as group:
        assert group.singular_values.dims == ("checkpoint", "site", "rank")
        assert group.block_profile.dims == ("checkpoint", "site", "block", "rank")
        assert group.block_profile.attrs["units"] == "(nats/param)^2"
        written = series[1].select("gradient_matrix")[3]
        found = group.sel(site=written.site.address).isel(checkpoint=1)
        assert found.site_name == written.site.name
        np.testing.assert_array_equal(found.singular_values.sel(rank=[1, 2]), written.values[:2])
        np.testing.assert_array_equal(found.block_sizes, written.block_sizes)


def test_the_tree_opens_whole(path):
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert {"activation_covariance", "gradient_matrix", "weight", "scalars"} == set(tree.children)
        assert tree["scalars/loss/probe_loss/value"].sel(site="").values.tolist() == [3.5] * 4
        assert tree["scalars/gradient_matrix/noise_scale/status"].values[0, 0] == "unresolved"


def test_every_variable_is_labelled(path):
    def check(name, node):
        if isinstance(node, h5py.Dataset):
            assert "long_name" in node.attrs, name
            assert node.is_scale or all(len(axis) == 1 for axis in node.dims), name

    with h5py.File(path) as root:
        root.visititems(check)
