from __future__ import annotations

import os

import h5py
import pytest

from spectra_cli.core.errors import ArchiveError
from spectra_cli.workflows.validate import Validation, validate


def test_what_a_scan_wrote_is_valid_without_a_warning(archive):
    assert validate("run") == validate(str(archive)) == Validation(path=archive, findings=())


def test_a_changed_number_is_found(archive):
    with h5py.File(archive, "r+") as file:
        values = file["activation_covariance/eigenvalues"]
        values[0, 0, 0] *= 2
    assert any(finding.severity == "error" for finding in validate(str(archive)).findings)


def test_half_an_archive_is_not_an_archive(archive):
    os.truncate(archive, archive.stat().st_size // 2)
    try:
        findings = validate(str(archive)).findings
    except ArchiveError as error:
        assert "run.spectra.h5" in str(error)  # noqa: PT017 - either way of telling is right
    else:
        assert any(finding.severity == "error" for finding in findings)


def test_no_archive_is_an_error(place):
    with pytest.raises(ArchiveError, match="nothing-here"):
        validate("nothing-here")
