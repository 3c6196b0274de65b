import os

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.json_object import read_json_object


def test_object_is_read(tmp_path):
    (tmp_path / "c.json").write_text('{"a": NaN, "b": [1]}')
    assert read_json_object(tmp_path / "c.json")["b"] == [1]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_anything_else_names_the_file(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c\.json: .*copy or save it again"):
        read_json_object(tmp_path / "c.json")


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"c\.json"):
        read_json_object(tmp_path / "c.json")


def test_numbers_that_64_bits_do_not_hold_become_floats(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(f'{{"most": {2**63 - 1}, "least": {-(2**63)}, "more": {2**63}, "endless": {"9" * 400}}}')
    found = read_json_object(path)
    assert (found["most"], found["least"]) == (2**63 - 1, -(2**63))
    assert isinstance(found["more"], float)
    assert found["endless"] == float("inf")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c.json")
    with pytest.raises(CheckpointError, match=r"c\.json: no regular file .* mode p"):
        read_json_object(tmp_path / "c.json")


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "c.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match=r"c\.json: 1099511627776 bytes, where at most"):
        read_json_object(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, r"nested too deeply; it is damaged"),
        ('{"a": ' + "9" * 5000 + "}", r"a number of 5000 digits, where at most 4300 are read; it is damaged"),
    ],
)
def test_the_reason_is_about_the_file_and_not_about_python(tmp_path, content, message):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_json_object(tmp_path / "c.json")


def test_a_link_to_itself_is_no_damaged_json(tmp_path):
    (tmp_path / "c.json").symlink_to("c.json")
    with pytest.raises(
        CheckpointError, match=r"c\.json: cannot be read: Too many levels of symbolic links; "
    ):
        read_json_object(tmp_path / "c.json")
