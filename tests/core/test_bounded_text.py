import os
import tracemalloc

import pytest

from spectra_cli.core.bounded_text import parse_json, read_bounded
from spectra_cli.core.errors import UsageError


def test_what_is_within_the_limit(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert read_bounded(tmp_path / "f", 3, UsageError) == b"abc"


def test_a_larger_file_is_refused_with_name_size_and_limit(tmp_path):
    (tmp_path / "f").write_bytes(b"abcd")
    with pytest.raises(
        UsageError, match=r"--log \S*f: 4 bytes, where at most 3 are read of such a file; cut it"
    ):
        read_bounded(tmp_path / "f", 3, UsageError, where="--log ", advice="cut it")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "f")
    with pytest.raises(UsageError, match="not a regular file"):
        read_bounded(tmp_path / "f", 3, UsageError)


@pytest.mark.parametrize("content", [b"[" + b"[]," * 2**21 + b"[]]", "[" + "1.5," * 2**22 + "2]"])
def test_millions_of_values_are_refused_before_they_are_made(content):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"\d+ lists and objects and \d+ values, where at most"):
        parse_json(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_json_as_ever():
    assert parse_json(b'{"a": [1, 2.5]}') == parse_json('{"a": [1, 2.5]}') == {"a": [1, 2.5]}
    assert parse_json("7", parse_int=str) == "7"
