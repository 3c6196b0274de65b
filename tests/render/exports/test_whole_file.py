"""A target is there whole, or as it was; what is there is replaced only when that was asked for."""

from __future__ import annotations

import errno
import os

import pytest

from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.render.exports.whole_file import check_target, whole_file


def write(path, *, overwrite=False, then=lambda: None):
    with whole_file(path, "-o", overwrite=overwrite) as stream:
        stream.write(b"new")
        then()


def test_a_new_file_stands_alone(tmp_path):
    write(tmp_path / "a.csv")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.csv", b"new")]


def test_a_file_that_is_there_is_replaced_when_asked(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match="exists; --overwrite replaces it"):
        check_target(path, "-o", overwrite=False)
    check_target(path, "-o", overwrite=True)
    write(path, overwrite=True)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
def test_one_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch, links):
    path = tmp_path / "a.csv"
    if not links:

        def no_links(*_):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", no_links)
    check_target(path, "-o", overwrite=False)
    with pytest.raises(UsageError, match="exists"):
        write(path, then=lambda: path.write_bytes(b"theirs"))
    assert path.read_bytes() == b"theirs"
    assert [*tmp_path.iterdir()] == [path]
    path.unlink()
    write(path)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_inside_leaves_what_was_there(tmp_path, failure):
    def fail():
        raise failure

    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with pytest.raises(failure):
        write(path, overwrite=True, then=fail)
    assert (path.read_bytes(), [*tmp_path.iterdir()]) == (b"old", [path])


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "Free space there"), (errno.EACCES, "Check that the folder")]
)
def test_a_disk_that_takes_no_more_is_an_error_and_no_half_file(tmp_path, monkeypatch, number, advice):
    def full(_):
        raise OSError(number, "why")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=rf"cannot write .*a\.csv: why\. .*{advice}.*-o"):
        write(tmp_path / "a.csv")
    assert [*tmp_path.iterdir()] == []


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"is a folder; name a file in it"):
        check_target(tmp_path, "-o", overwrite=True)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match=r"is no plain file.*-o - "):
        check_target(tmp_path / "pipe.csv", "-o", overwrite=True)
    (tmp_path / "dead.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"):
        check_target(tmp_path / "dead.csv", "-o", overwrite=False)


def test_a_folder_that_is_not_there_is_made(tmp_path):
    path = tmp_path / "new" / "inner" / "a.csv"
    check_target(path, "-o", overwrite=False)
    assert [*tmp_path.iterdir()] == [], "looking leaves nothing"
    write(path)
    assert path.read_bytes() == b"new"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        write(tmp_path / "file" / "a.csv")
