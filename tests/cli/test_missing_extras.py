"""Without the extras, every command that needs one says which, and all others work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spectra_cli.render.exports.registry import FILES, TRACKERS
from tests.cli.conftest import ENVIRONMENT

# the packages that extras bring, and none of which a plain installation has
EXTRAS = "matplotlib,gguf,h5netcdf,pyarrow,pandas,polars,xarray,tensorboard,wandb"
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
absent = {EXTRAS.split(",")!r}
PathFinder.find_spec = lambda name, *where: None if name.partition(".")[0] in absent else find(name, *where)
"""
COMMAND = WITHOUT + "from spectra_cli.__main__ import main\nmain()\n"


def without_extras(folder, *words):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


NEEDED = {
    "a picture": (["plot", "spectrum", "run", "-o", "a.png"], "plot"),
    "every picture": (["plot", "--all", "run", "-o", "figures"], "plot"),
    "Parquet": (["export", "run", "-o", "a.parquet"], "parquet"),
    "NetCDF": (["export", "run", "-o", "a.nc"], "netcdf"),
    "TensorBoard": (["export", "run", "--to", "tensorboard", "logs"], "tensorboard"),
}


@pytest.mark.parametrize("what", NEEDED)
def test_what_needs_an_extra_says_which(what, place):
    words, extra = NEEDED[what]
    before = set(place.iterdir())
    code, out, err = without_extras(place, *words)
    assert (code, out) == (2, "")
    assert f"pip install 'llm-spectra[{extra}]'" in err
    assert err.endswith("more: spectra explain missing-extra\n")
    assert {path.name for path in set(place.iterdir()) - before} <= {"figures"}


@pytest.mark.parametrize(
    "words",
    [
        ["show", "run", "--plot"],
        ["export", "run", "-o", "a.npz", "--spectra"],
        ["inspect", "run", "-T", "8"],
    ],
)
def test_what_needs_none_works(words, place):
    code, _, err = without_extras(place, *words)
    assert code == 0, err


def test_every_export_that_needs_a_package_is_among_them():
    from importlib import import_module

    modules = [f"spectra_cli.render.exports.{name}" for name in (*FILES.values(), *TRACKERS.values())]
    found = [import_module(name) for name in modules]
    needing = {
        (getattr(one, "TARGET", None) or one.TRACKER).needs[1]
        for one in found
        if (getattr(one, "TARGET", None) or one.TRACKER).needs
    }
    assert needing <= {extra for _, extra in NEEDED.values()}
