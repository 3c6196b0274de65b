from __future__ import annotations

import os
import random
import resource
import subprocess
import sys

import pytest

from spectra_cli.archive.file import atomic
from spectra_cli.archive.file.atomic import remove_stale_temporaries, replacing
from spectra_cli.core.errors import ArchiveError

# Every limit stops HDF5 at another place: the first bytes, the data, the structure written on closing.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from spectra_cli.archive.file.atomic import replacing
from spectra_cli.core.errors import ArchiveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, failures = Path(sys.argv[1]), 0
for limit in [0, 1, 100, 800, 2_000, *range(3_000, 120_000, 3_000)]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with replacing(path) as new:
            for i in range(20):
                data = np.random.default_rng(i).random((20, 30))
                new.root.create_dataset(f"d{i}", data=data, compression="gzip", chunks=(5, 30))
    except ArchiveError as error:
        assert "File too large" in str(error) and "Free space" in str(error), error
        failures += 1
        assert path.read_bytes() == b"old", limit
        assert [p.name for p in path.parent.iterdir()] == [path.name]
    else:
        path.write_bytes(b"old")
print(failures)
"""


def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # the whole file takes about 100 kB: nearly every limit stops it
    assert 25 < int(done.stdout) < 44


def test_what_a_full_disk_did_not_take_is_read_back_as_it_was_written(tmp_path):
    """HDF5 reads its own structure again while it writes; anything else than that crashes it."""
    generator = random.Random(0)
    with atomic._Sink(tmp_path / "a.h5") as sink:
        expected = bytearray(6000)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
        try:
            for _ in range(200):
                offset = generator.randrange(5000)
                data = generator.randbytes(generator.randrange(1, 1000))
                sink.seek(offset)
                assert sink.write(data) == len(data)
                assert sink.tell() == offset + len(data)
                expected[offset : offset + len(data)] = data
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        for _ in range(200):
            offset, found = generator.randrange(5000), bytearray(generator.randrange(1, 1000))
            sink.seek(offset)
            assert sink.readinto(found) == len(found)
            assert found == expected[offset : offset + len(found)]
        with pytest.raises(OSError, match="File too large"):
            sink.check()


def test_no_space_when_forced_to_the_disk(tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spectra_cli.archive.file.atomic.os.fsync", full)
    with (
        pytest.raises(ArchiveError, match=r"a\.h5: No space left on device.*Free space"),
        replacing(tmp_path / "a.h5"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_any_failure_inside_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(path) as new:
        new.root["x"] = new.root["not there"]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ArchiveError, match="Permission denied"), replacing(tmp_path / "a.h5"):
        pass


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(ArchiveError, match="cannot write"), replacing(tmp_path / "f" / "a.h5"):
        pass


def test_only_what_dead_writers_left_is_removed(tmp_path):
    with subprocess.Popen(["true"]) as process:
        pass
    host = atomic._host()
    dead = tmp_path / f".a.h5.{host}.{process.pid}.00000000.tmp"
    kept = [
        tmp_path / f".a.h5.{host}.{os.getpid()}.00000000.tmp",
        tmp_path / f".a.h5.elsewhere.{process.pid}.00000000.tmp",
        tmp_path / f".b.h5.{host}.{process.pid}.00000000.tmp",
        tmp_path / "mine.tmp",
    ]
    old = tmp_path / ".a.h5.elsewhere.1.00000000.tmp"
    for path in (dead, old, *kept):
        path.touch()
    os.utime(old, (0, 0))
    remove_stale_temporaries(tmp_path, name_prefix="a.h5.")
    assert set(tmp_path.iterdir()) == set(kept)
