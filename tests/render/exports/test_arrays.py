"""Spectra as arrays: labelled, every value to the last bit, and where nothing was measured, why."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import SpectrumKind
from spectra_cli.render.exports.columns import OF_SERIES, OF_SPECTRUM
from spectra_cli.render.exports.registry import FILES, file_target
from spectra_cli.render.outputs import export
from spectra_cli.statistics.jackknife import standard_errors_of_values
from spectra_cli.workflows.export import Selection, choose
from tests.builders.checkpoints import checkpoint
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED
from tests.builders.spectra import spectrum


def exported(archives, word, folder, **selection):
    runs = choose(archives, Selection(**selection))
    path = folder / f"spectra.{word}"
    with path.open("wb") as stream:
        done = export.write(file_target(word), runs, stream, spectra=True)
    return path, done


def from_netcdf(path):
    """Group -> name -> (dims, values, attributes), as xarray has them."""
    import xarray

    found = {}
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        for group, node in tree.children.items():
            dataset = node.to_dataset()
            assert {"archive", "step", "layer"} <= set(dataset.coords), "labels, not data"
            assert dataset.step.encoding["_FillValue"] == dataset.num_samples.encoding["_FillValue"] == -1
            found[group] = {
                name: (one.dims, one.values, (one.attrs["long_name"], one.attrs.get("units", "")))
                for name, one in dataset.variables.items()
            }
    return found


def from_npz(path):
    found = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name, about in json.loads(str(arrays["attributes"])).items():
            group, _, variable = name.partition(".")
            attributes = (about["long_name"], about["units"])
            found.setdefault(group, {})[variable] = (tuple(about["dims"]), arrays[name], attributes)
    return found


READERS = {"nc": from_netcdf, "npz": from_npz}


@pytest.fixture(params=READERS)
def word(request):
    needs(*NEEDED.get(request.param, ()))
    return request.param


def test_every_format_with_arrays_has_a_reader():
    needs(*(package for packages in NEEDED.values() for package in packages))
    assert READERS.keys() == {word for word in FILES if file_target(word).write_arrays}


def test_every_spectrum_is_there_as_the_archive_has_it(two_archives, tmp_path, word):
    path, done = exported(two_archives, word, tmp_path)
    groups = READERS[word](path)
    checkpoints = [one for archive in two_archives for one in open_archive(archive)]
    assert groups.keys() == {"activation_covariance", "weight", "gradient_matrix"}
    for name, group in groups.items():
        dims, labels, _ = group["archive"]
        assert (dims, [*labels]) == (("checkpoint",), ["one/a"] * 3 + ["two/a"] * 3)
        assert [*group["key"][1]] == [one.ref.key for one in checkpoints]
        for each in OF_SERIES:
            *_, attributes = group["key" if each.name == "checkpoint" else each.name]
            assert attributes == (each.meaning, each.unit)
        steps = [-1 if one.ref.step is None else one.ref.step for one in checkpoints]
        np.testing.assert_array_equal(np.nan_to_num(group["step"][1], nan=-1), steps)
        spectra = [(place, s) for place, one in enumerate(checkpoints) for s in one.select(name)]
        kind = "eigenvalues" if spectra[0][1].kind is SpectrumKind.EIGENVALUES else "singular_values"
        dims, values, (_, unit) = group[kind]
        assert (dims, unit) == (("checkpoint", "site", "rank"), spectra[0][1].unit)
        assert group["rank"][1].tolist() == list(range(1, values.shape[-1] + 1))
        sites = [*group["site"][1]]
        assert len(set(sites)) == len(sites)
        for place, one in spectra:
            at = (place, sites.index(one.site.address))
            size = one.values.size
            assert values[at][:size].tobytes() == one.values.tobytes()
            assert np.isnan(values[at][size:]).all()
            np.testing.assert_array_equal(group["stderr"][1][at][:size], standard_errors_of_values(one))
            assert (group["num_values"][1][at], group["status"][1][at]) == (size, "ok")
            for each in OF_SPECTRUM:
                assert group[each.name][1][at] == getattr(one, each.name)
        assert np.isfinite(values).sum() == sum(one.values.size for _, one in spectra)
    weights = groups["weight"]
    skipped = [*weights["site"][1]].index("blocks.1.mlp.up")
    assert {*weights["status"][1][:, skipped]} == {"nonfinite"}
    assert {*weights["reason"][1][:, skipped]} == {"3 of 64 values are NaN"}
    assert np.isnan(weights["singular_values"][1][:, skipped]).all()
    assert (done.num, done.noun) == (sum(len(one.spectra) for one in checkpoints), "spectrum")
    assert done.withheld == {"nonfinite": len(checkpoints)}


def test_what_was_nowhere_measured_has_its_reasons_and_no_values(two_archives, tmp_path, word):
    archive = tmp_path / "skipped.spectra.h5"
    bare = [
        replace(one, spectra=one.select("activation_covariance")) for one in open_archive(two_archives[0])
    ]
    write_archive(archive, bare)
    path, done = exported([archive], word, tmp_path, measurements=["weight"])
    (group,) = READERS[word](path).values()
    assert {"singular_values", "stderr", "rank"}.isdisjoint(group)
    assert group["reason"][1].tolist() == [["3 of 64 values are NaN"]] * 3
    assert (done.num, done.withheld) == (0, {"nonfinite": 3})


def test_xarray_selects_by_label(two_archives, tmp_path):
    needs(*NEEDED["nc"])
    import xarray

    path, _ = exported(two_archives, "nc", tmp_path)
    with xarray.open_dataset(path, group="activation_covariance", engine="h5netcdf") as spectra:
        one = spectra.sel(site="blocks.0.resid_post", rank=1).swap_dims(checkpoint="step")
        first = next(iter(open_archive(two_archives[0]))).spectra[0]
        assert float(one.eigenvalues.sel(step=0)[0]) == first.values[0]
        layers = spectra.eigenvalues.where(spectra.layer == 1, drop=True)
        assert [*layers.site.values] == ["blocks.1.resid_post"]


def test_spectra_of_two_units_cannot_share_an_array(tmp_path):
    paths = []
    for name in "ab":
        paths.append(tmp_path / f"{name}.spectra.h5")
        write_archive(paths[-1], [checkpoint([spectrum([2.0, 1.0], unit=name)], run=name, digest=name)])
    with pytest.raises(UsageError, match=r"activation_covariance are not of one kind and unit .*'a'.*'b'"):
        exported(paths, "npz", tmp_path)
    rows = file_target("csv")
    with (tmp_path / "a.csv").open("wb") as stream:
        assert export.write(rows, choose(paths, Selection()), stream, spectra=True).num == 4
