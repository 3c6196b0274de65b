from __future__ import annotations

import os

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.checkpoints.series.run_file import RunFile, read_run_file

TEXT = """
name = "muon-2"
log = "metrics.csv"
batch_size_tokens = 524288
sequence_length = 1024
dataset = "FineWeb"
notes = "restarted once"

[model]
num_heads = 12
windows = [128, 256]
"""


def test_everything_it_can_say(tmp_path):
    (tmp_path / "run.toml").write_text(TEXT)
    assert read_run_file(str(tmp_path)) == RunFile(
        path=tmp_path / "run.toml",
        name="muon-2",
        log=str(tmp_path / "metrics.csv"),
        batch_size_tokens=524_288,
        model={"num_heads": 12, "windows": [128, 256]},
        facts={"dataset": "FineWeb", "notes": "restarted once", "sequence_length": "1024"},
    )


def test_it_is_found_from_inside_the_run(tmp_path):
    (tmp_path / "run.toml").write_text('name = "a"')
    for inside in ("checkpoints", "checkpoint-500", "step10"):
        (tmp_path / inside).mkdir()
        assert read_run_file(str(tmp_path / inside)).name == "a"
    (tmp_path / "checkpoints" / "ckpt.pt").touch()
    assert read_run_file(str(tmp_path / "checkpoints" / "ckpt.pt")).name == "a"
    (tmp_path / "another-run").mkdir()
    assert read_run_file(str(tmp_path / "another-run")) == RunFile()


def test_what_is_no_file_is_not_passed_over(tmp_path):
    os.mkfifo(tmp_path / "run.toml")
    with pytest.raises(UsageError, match=r"run\.toml: not a regular file"):
        read_run_file(str(tmp_path))
    (tmp_path / "run.toml").unlink()
    (tmp_path / "run.toml").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"run\.toml: No such file"):
        read_run_file(str(tmp_path))


def test_a_name_on_the_hub_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_run_file("org/name@step*") == RunFile()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "is not TOML"),
        ("notes = " + "[" * 100_000, "is not TOML"),
        ("batch_size_tokens = " + "9" * 5000, "is not TOML"),
        (f"batch_size_tokens = {2**63}", r"batch_size_tokens is 9223372036854775808; expected"),
        ("nmae = 'x'", r"unknown key nmae \(did you mean name\?\); keys: name, log"),
        ("batch_size_tokens = 0", "batch_size_tokens is 0; expected a whole number of at least 1"),
        ("batch_size_tokens = true", "batch_size_tokens is True"),
        ("log = '/dev/zero'", "log '/dev/zero' lies outside the folder; give it with --log"),
        ("log = '../other/log.csv'", "lies outside the folder"),
        ("model = 3", r"model is 3; expected a table \[model\]"),
    ],
)
def test_what_it_cannot_say(tmp_path, text, words):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        read_run_file(str(tmp_path))
