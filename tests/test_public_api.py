"""The public Python API: pinned, sorted, and free until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import spectra_cli

HOMES = {
    "CheckpointRef": "spectra_cli.core.types",
    "ScanRequest": "spectra_cli.workflows.scan",
    "ScanSettings": "spectra_cli.core.settings",
    "Site": "spectra_cli.core.types",
    "Spectrum": "spectra_cli.core.types",
    "inspect": "spectra_cli.workflows.inspect",
    "open_archive": "spectra_cli.archive.reader",
    "resolve_settings": "spectra_cli.core.settings",
    "scan": "spectra_cli.workflows.scan",
    "show": "spectra_cli.workflows.show",
    "summarise": "spectra_cli.statistics.summarise",
    "validate": "spectra_cli.workflows.validate",
}


def test_the_names_are_pinned_and_sorted():
    assert spectra_cli.__all__ == sorted([*HOMES, "__version__"])


@pytest.mark.parametrize(("name", "home"), HOMES.items())
def test_a_name_is_the_object_of_its_home(name, home):
    assert getattr(spectra_cli, name) is getattr(import_module(home), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'spectrum'"):
        getattr(spectra_cli, "spectrum")  # noqa: B009 - mypy knows too that there is none


def test_dir_lists_the_names():
    assert set(spectra_cli.__all__) <= set(dir(spectra_cli))


def test_star_import_gives_exactly_the_names():
    namespace: dict[str, object] = {}
    exec("from spectra_cli import *", namespace)  # noqa: S102 - a star import must stand at module level
    assert set(namespace) - {"__builtins__"} == set(spectra_cli.__all__)


@pytest.mark.parametrize("heavy", ["torch", "numpy", "h5py", "typer", "rich"])
def test_importing_the_package_imports_nothing_heavy(heavy):
    program = f"import sys, spectra_cli; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_workflows_on_archives_do_not_import_torch():
    program = (
        "import sys, spectra_cli as s; s.open_archive, s.show, s.validate, s.summarise, s.scan, s.inspect;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
