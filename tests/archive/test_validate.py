from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectra_cli.archive.validate import Severity, validate
from spectra_cli.archive.writer import write_archive, write_part
from spectra_cli.core.types import SpectrumKind


@pytest.fixture
def path(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, series)
    return path


def messages(path, severity=Severity.ERROR):
    return [f"{f.where}: {f.message}" for f in validate(path) if f.severity == severity]


def test_a_good_archive_has_no_findings(path):
    assert validate(path) == ()


def resized(root, name, shape):
    data = np.zeros(shape)
    del root[name]
    root[name] = data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda g: g["eigenvalues"].__setitem__((0, 0, 1), 1e9),
            "[0, blocks.0.resid_post]: values are not in desc",
        ),
        (lambda g: g["eigenvalues"].__setitem__((0, 0, 4), -1.0), "values are negative"),
        (lambda g: g["eigenvalues"].__setitem__((0, 0, 2), np.inf), "values are not all finite"),
        (lambda g: g["eigenvalues"].__setitem__((0, 0, -1), 0.0), "num_values is 5, but 6 values"),
        (lambda g: g["block_profile"].__setitem__((0, 0, 1, 0), 99.0), "at rank 1 the block profile's mean"),
        (lambda g: g.__delitem__("zero_threshold"), "no variable zero_threshold"),
        (lambda g: resized(g, "centered", (2, 2)), "centered has shape (2, 2)"),
        (lambda g: resized(g, "centered", g["num_values"].shape), "centered is not attached"),
        (lambda g: g["rank"].attrs.__delitem__("CLASS"), "no dimension scale rank"),
        (lambda g: g.attrs.modify("kind", "density"), "attribute kind is 'density'"),
        (lambda g: g["num_samples"].__setitem__((0, 0), 1), "step0 does not match its digest"),
        (lambda g: g.parent["scalars/loss/probe_loss"].pop("value"), "no variable value"),
        (lambda g: g.parent.attrs.pop("complete"), "incomplete"),
    ],
)
def test_each_break_of_the_format_is_an_error_with_its_place(path, edited, change, message):
    with edited(path) as root:
        change(root["activation_covariance"])
    assert any(message in found for found in messages(path)), messages(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda g: g["left_vectors"].__setitem__((0, 0, 0, 0), 2.0),
            "[0, embed]: left_vectors: the vectors are not orthonormal",
        ),
        (lambda g: g["right_vectors"].__setitem__((0, 0, 0, 0), np.inf), "vectors of 8 finite entries"),
        (lambda g: g["num_vectors"].__setitem__((0, 0), 2), "expected exactly 2 vectors"),
        (lambda g: g["num_vectors"].__setitem__((0, 0), 9), "9 vectors of 8 entries for 6 values"),
        (lambda g: g.__delitem__("left_vectors"), "no variable left_vectors"),
        (lambda g: g.__delitem__("vectors_digest"), "no variable vectors_digest"),
    ],
)
def test_each_break_of_the_vectors_is_an_error(
    tmp_path, make_checkpoint, make_spectrum, make_vectors, edited, change, message
):
    path, rng = tmp_path / "a.spectra.h5", np.random.default_rng(0)
    spectra = tuple(
        make_spectrum(rng, a, measurement="weight", kind=SpectrumKind.SINGULAR_VALUES)
        for a in ("embed", "lm_head")
    )
    write_archive(path, [make_vectors(make_checkpoint(0, spectra=spectra))])
    assert messages(path) == []
    with edited(path) as root:
        change(root["weight"])
    assert any(message in found for found in messages(path)), messages(path)


def test_no_archive_is_one_error(tmp_path):
    (found,) = validate(tmp_path / "none.spectra.h5")
    assert found.severity == Severity.ERROR


def test_what_deserves_a_look(path, series, make_checkpoint):
    twin = make_checkpoint(20, info=series[0].info)
    write_part(path, twin)
    warnings = messages(path, Severity.WARNING)
    assert messages(path) == []
    assert len(warnings) == 2
    assert "step0, step20 have identical tensors" in warnings[0]
    assert "finished but not merged" in warnings[1]


def test_a_synthetic_probe_and_a_damaged_part(tmp_path, make_checkpoint, make_provenance):
    path = tmp_path / "a.spectra.h5"
    provenance = make_provenance()
    provenance = replace(provenance, probe=replace(provenance.probe, synthetic=True, starts=()))
    write_archive(path, [make_checkpoint(0, provenance=provenance)])
    part = write_part(path, make_checkpoint(1, provenance=provenance))
    part.write_bytes(b"x")
    assert any(part.name in found for found in messages(path))
    assert any("synthetic" in found for found in messages(path, Severity.WARNING))
