"""An archive with every kind of spectra and statuses, and a tiny run to scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectra_cli.api import shown
from spectra_cli.api.values.run import MeasuredRun
from spectra_cli.api.values.run import open as open_run
from spectra_cli.archive.writer import write_archive
from tests.builders.seeded import seeded_checkpoint
from tests.workflows.conftest import numbers_of, place, pristine, whole

__all__ = ["numbers_of", "place", "pristine", "whole"]
assert shown.WRITERS  # results show themselves from here on


@pytest.fixture(scope="session")
def seeded(tmp_path_factory) -> Path:
    """An archive of steps 0, 10 and 15; tests read it and leave it alone."""
    path = tmp_path_factory.mktemp("seeded") / "a.spectra.h5"
    write_archive(path, [seeded_checkpoint(step) for step in (0, 10, 15)])
    return path


@pytest.fixture
def run(seeded) -> MeasuredRun:
    return open_run(seeded)
