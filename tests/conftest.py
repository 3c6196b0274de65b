"""What tests of every room are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders.archives import write_planted_run


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    return write_planted_run
