"""Wheel and sdist hold all that the package is, and the installed wheel works far from its sources."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from spectra_cli import __version__
from tests.builders.installed import needs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path, **environment: str) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=variables | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def sources() -> set[str]:
    """The files of the package, as git knows them."""
    told = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "spectra_cli", cwd=ROOT)
    return {name for name in told.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist, built from a copy: nothing is left in the checkout."""
    needs("build", "setuptools")
    copy = tmp_path_factory.mktemp("sources")
    for name in sources() | {"pyproject.toml", "README.md", "LICENSE"}:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", ".", cwd=copy)
    return copy / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The wheel alone, unpacked as pip does; what it depends on is that of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-warn-script-location",
    ]
    run(*pip, "--disable-pip-version-check", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == sources()


def test_the_sdist_can_be_built_from(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert held >= sources() | {"pyproject.toml", "README.md", "LICENSE"}


def test_what_pypi_would_show_is_sound(built):
    needs("twine")
    told = run(sys.executable, "-m", "twine", "check", "--strict", *sorted(built.iterdir()), cwd=built)
    assert told.count("PASSED") == 2


def test_the_installed_command_works(installed, pristine, tmp_path):
    """From a folder that knows nothing of the sources: the package that answers is the installed one."""
    command = installed / "bin" / "spectra"
    where = {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    found = run(
        sys.executable, "-c", "import spectra_cli; print(spectra_cli.__file__)", cwd=tmp_path, **where
    )
    assert Path(found.strip()).is_relative_to(installed)
    assert run(sys.executable, command, "--version", cwd=tmp_path, **where) == f"spectra {__version__}\n"
    assert "contradiction: " in run(
        sys.executable, command, "explain", "contradiction", cwd=tmp_path, **where
    )
    archive = pristine / "run.spectra.h5"
    assert "step" in run(sys.executable, command, "show", archive, cwd=tmp_path, **where)
    scanned = (
        "scan",
        pristine / "run",
        "--probe",
        pristine / "probe.npy",
        "-T",
        "8",
        "--sequences",
        "8",
        "-q",
    )
    assert "RankMe" in run(sys.executable, command, *scanned, cwd=tmp_path, **where)
