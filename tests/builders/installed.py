"""Packages that a user may do without: where one is missing, what reads with it is skipped, save in CI."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def needs(*packages: str) -> None:
    """Skip the test where one of the packages is not installed; fail in CI, which installs all."""
    lacking = [package for package in packages if find_spec(package) is None]
    if lacking and os.environ.get("CI"):
        pytest.fail(f"CI has no {', '.join(lacking)}: `make setup` installs it")
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
