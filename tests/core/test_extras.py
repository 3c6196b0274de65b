from __future__ import annotations

import sys

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.extras import from_extra


def test_a_module_that_is_there_is_given():
    assert from_extra("json.decoder", "any", "x") is sys.modules["json.decoder"]


def test_a_package_that_is_not_there_is_named_with_what_installs_it():
    message = (
        r"Parquet needs the package no_such, which is not installed: pip install 'llm-spectra\[parquet\]'"
    )
    with pytest.raises(UsageError, match=message):
        from_extra("no_such.inner", "parquet", "Parquet")


def test_a_package_that_lacks_something_itself_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        from_extra("broken_package", "any", "x")
