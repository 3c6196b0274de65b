import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.json_object import read_json_object


def test_object_is_read(tmp_path):
    (tmp_path / "c.json").write_text('{"a": NaN, "b": [1]}')
    assert read_json_object(tmp_path / "c.json")["b"] == [1]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_anything_else_names_the_file(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"c\.json"):
        read_json_object(tmp_path / "c.json")


def test_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"c\.json"):
        read_json_object(tmp_path / "c.json")
