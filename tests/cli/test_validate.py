from __future__ import annotations

import json

import h5py


def test_a_fresh_archive_is_valid(spectra, place):
    found = spectra("validate", "run")
    assert (found.code, found.err) == (0, "")
    assert "run.spectra.h5 is valid" in found.out


def test_json_of_a_valid_archive(spectra, place):
    found = spectra("validate", "run", "--json")
    document = json.loads(found.out)
    assert document["schema"].startswith("spectra.validate/")
    assert document["valid"] is True
    assert document["findings"] == []


def test_a_changed_number_is_found_named_and_ends_in_3(spectra, place):
    with h5py.File("run.spectra.h5", "r+") as file:
        file["activation_covariance/eigenvalues"][0, 0, 0] *= 2
    found = spectra("validate", "run")
    assert found.code == 3
    words = " ".join(found.out.split())  # paths of the test's folder decide where lines break
    verdict, _, findings = words.partition(" error: ")
    assert verdict.endswith("run.spectra.h5 is not valid: 1 error, 0 warnings")
    assert "run.spectra.h5 was cut off" in findings
    assert words.count("run.spectra.h5") == 2  # in the verdict and in the finding, once each
    assert "\x1b" not in found.out
    document = json.loads(spectra("validate", "run", "--json").out)
    assert document["valid"] is False
    assert {f["severity"] for f in document["findings"]} >= {"error"}


def test_what_is_no_archive_ends_in_3(spectra, place):
    for path in ("nowhere", "probe.npy"):
        found = spectra("validate", path)
        assert found.code == 3
        assert path in found.out + found.err
        assert "Traceback" not in found.err
