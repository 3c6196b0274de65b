"""A child process reads what nothing vouches for; that it loops, crashes or takes memory is an error here."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from spectra_cli.archive.file.guard import signature_of, walk_in_child
from spectra_cli.core.errors import ArchiveError

OLD = Path(__file__).parents[1] / "formats"


def test_good_files_are_walked_by_one_child(tmp_path):
    paths = [OLD / "1.0.h5", OLD / "1.1.h5"]
    found = walk_in_child(paths)
    for path in paths:
        with path.open("rb") as file:
            assert found[path] == signature_of(file.fileno())


def test_the_first_bad_file_is_named(tmp_path):
    bad = tmp_path / "bad.h5"
    shutil.copy(OLD / "1.0.h5", bad)
    os.truncate(bad, 20_000)
    with pytest.raises(ArchiveError, match=r"bad\.h5 is damaged .*truncated"):
        walk_in_child([OLD / "1.0.h5", bad])


@pytest.mark.parametrize(
    ("what_happens", "message"),
    [
        ("while True: pass", r"came to no end within 1 seconds"),
        ("import os; os.kill(os.getpid(), 11)", r"ended the process that tried it, with code -11"),
        ("bytearray(3 << 30)", "MemoryError"),
    ],
)
def test_what_happens_to_the_child_is_an_error_here(tmp_path, monkeypatch, what_happens, message):
    # the child takes its own h5py from the folder that stands first
    program = f"def {{}}(*_, **__):\n    {what_happens}\n"
    (tmp_path / "sitecustomize.py").write_text(
        "import spectra_cli.archive.file.guard as guard\n"
        + program.format("walk")
        + "guard._walk = lambda path: walk()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with pytest.raises(ArchiveError, match=message):
        walk_in_child([OLD / "1.0.h5"], seconds=1)
