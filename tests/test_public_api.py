"""The public Python API: pinned, sorted, and free until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import spectra_cli

HOMES = {
    "MeasuredRun": "spectra_cli.api.values.run",
    "MeasuredSpectrum": "spectra_cli.api.values.spectrum",
    "MeasurementOptions": "spectra_cli.api.asked.options",
    "ScanOptions": "spectra_cli.api.asked.options",
    "ScanProgress": "spectra_cli.workflows.scan",
    "SpectraError": "spectra_cli.core.errors",
    "TidyTable": "spectra_cli.api.values.tidy_table",
    "callback": "spectra_cli.api.callback",
    "compare": "spectra_cli.api.compare",
    "document": "spectra_cli.api.shown",
    "drift": "spectra_cli.api.drift",
    "export": "spectra_cli.api.export",
    "forecast": "spectra_cli.api.forecast",
    "inspect": "spectra_cli.api.inspect",
    "open": "spectra_cli.api.values.run",
    "phases": "spectra_cli.api.phases",
    "plot": "spectra_cli.api.plot",
    "report": "spectra_cli.api.report",
    "scan": "spectra_cli.api.scan",
    "show": "spectra_cli.api.show",
    "table": "spectra_cli.api.shown",
    "validate": "spectra_cli.api.validate",
}


def test_the_names_are_pinned_and_sorted():
    assert spectra_cli.__all__ == sorted([*HOMES, "__version__"])


@pytest.mark.parametrize(("name", "home"), HOMES.items())
def test_a_name_is_the_object_of_its_home(name, home):
    assert getattr(spectra_cli, name) is getattr(import_module(home), name)


@pytest.mark.parametrize("name", HOMES)
def test_every_name_is_documented(name):
    assert (getattr(spectra_cli, name).__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'spectrum'"):
        getattr(spectra_cli, "spectrum")  # noqa: B009 - mypy knows too that there is none


def test_dir_lists_the_names():
    assert set(spectra_cli.__all__) <= set(dir(spectra_cli))


def test_star_import_gives_exactly_the_names():
    namespace: dict[str, object] = {}
    exec("from spectra_cli import *", namespace)  # noqa: S102 - a star import must stand at module level
    assert set(namespace) - {"__builtins__"} == set(spectra_cli.__all__)


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("torch", "numpy", "h5py", "typer", "rich", "matplotlib", "pandas")
    program = f"import sys, spectra_cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_takes_less_than_a_tenth_of_a_second():
    # the best of a few, each in a process of its own: a busy machine is not the package
    program = "import time; t = time.perf_counter(); import spectra_cli; print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.1


def test_the_whole_surface_does_not_import_torch():
    program = (
        "import sys, spectra_cli; from spectra_cli import *;"
        "print([name for name in ('torch', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
