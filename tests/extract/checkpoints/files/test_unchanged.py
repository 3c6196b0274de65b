import os

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.series.found import fingerprint

CHANGED = "it changed while it was being read"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    os.utime(path, ns=(1, 1))
    return path


def replaced(path):
    """Another file of the same size and time takes its place."""
    other = path.with_name("other")
    other.write_bytes(b"new")
    os.utime(other, ns=(1, 1))
    other.replace(path)


def overwritten(path):
    """The same file, of the same size and time of change of its content."""
    with path.open("r+b") as stream:
        stream.write(b"new")
    os.utime(path, ns=(1, 1))


def removed(path):
    path.unlink()


def refused():
    return pytest.raises(CheckpointError, match=rf"weights: {CHANGED}")


def read(path):
    with StoredFile(path) as file:
        return file.read(0, file.size)


def test_the_same_files(file):
    with one_reading():
        assert read(file) == read(file) == b"old"


@pytest.mark.parametrize("change", [replaced, overwritten, removed])
def test_a_change_after_the_last_look(file, change):
    with refused(), one_reading():
        read(file)
        change(file)


@pytest.mark.parametrize("change", [replaced, overwritten])
def test_a_change_between_two_looks(file, change):
    with one_reading() as reading:
        read(file)
        change(file)
        with pytest.raises(CheckpointError, match=CHANGED):
            read(file)
        reading.states.clear()


def test_an_open_file_stays_the_one_that_was_opened(file):
    with StoredFile(file) as stored:
        replaced(file)
        assert stored.read(0, 3) == b"old"


def test_the_fingerprint_is_that_of_what_was_read(file):
    with one_reading():
        before = fingerprint(file.parent, [file])
    file.write_bytes(b"another")
    os.utime(file, ns=(1, 1))
    assert fingerprint(file.parent, [file]) != before
    with refused(), one_reading():
        with StoredFile(file):
            file.write_bytes(b"old")
            os.utime(file, ns=(1, 1))
        # of the seven bytes that were opened, not of the three that are there
        assert fingerprint(file.parent, [file]) != before


def test_a_reading_inside_another_is_a_part_of_it(file):
    with refused(), one_reading():
        with one_reading():
            read(file)
        replaced(file)
        with one_reading():
            read(file)


def test_what_made_no_sense_since_a_file_changed_is_said_to_have_changed(file):
    with refused(), one_reading():
        read(file)
        replaced(file)
        raise CheckpointError("it is damaged")


def test_a_log_may_grow_and_not_be_replaced(file):
    def log():
        with StoredFile(file, may_grow=True) as stored:
            return stored.read(0, stored.size)

    with one_reading():
        log()
        file.write_bytes(b"older")
        assert log() == b"older"
    with refused(), one_reading():
        log()
        replaced(file)
