"""What tests of every room are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.builders.archives import write_planted_run

# how fast an example runs says how busy the machine is
settings.register_profile("spectra", deadline=None)
settings.load_profile("spectra")


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    return write_planted_run
