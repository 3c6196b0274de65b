"""Where a run lies: one origin, however much of it is named and however it is spelled."""

from __future__ import annotations

import pytest

from spectra_cli.archive.origin import lies_in, origin_of, origins_of, same_place
from spectra_cli.core.types import CheckpointRef


def ref(uri: str, step: int | None = None) -> CheckpointRef:
    return CheckpointRef(run="", step=step, uri=uri, format="hf")


@pytest.mark.parametrize(
    ("path", "checkpoints", "origin"),
    [
        ("/r/a", [("/r/a/checkpoint-1", 1), ("/r/a/checkpoint-2", 2)], "/r/a"),
        ("/r/a/", [("/r/a/checkpoint-1", 1)], "/r/a"),
        ("/r/a/checkpoint-1", [("/r/a/checkpoint-1", 1)], "/r/a"),
        ("/r/a/checkpoint-1", [("/r/a/checkpoint-1/adapter", 1)], "/r/a"),
        ("/r/iter_0000100", [("/r/iter_0000100", 100)], "/r"),
        # a run's name may end in the number of its only step, and a model's in a number
        ("/r/run1", [("/r/run1/checkpoint-1", 1)], "/r/run1"),
        ("/r/step1", [("/r/step1/checkpoint-1", 1)], "/r/step1"),
        ("/r/Qwen2", [("/r/Qwen2", 2)], "/r/Qwen2"),
        ("/r/model", [("/r/model", None)], "/r/model"),
        ("/r/a/ckpt.pt", [("/r/a/ckpt.pt", 10)], "/r/a"),
        ("/r/a/checkpoints", [("/r/a/checkpoints/ckpt.pt", 10)], "/r/a"),
        ("org/model@step*", [("/h/models--org--model/snapshots/ab12", 1)], "hub:org/model"),
        ("/h/hub/models--org--model/snapshots/ab12", [], "hub:org/model"),
    ],
)
def test_the_run_that_a_path_is_or_is_a_checkpoint_of(path, checkpoints, origin):
    assert origin_of(path, [ref(uri, step) for uri, step in checkpoints]) == origin


def test_links_and_relative_spellings_are_one_place(tmp_path, monkeypatch):
    (tmp_path / "exp" / "out").mkdir(parents=True)
    (tmp_path / "latest").symlink_to(tmp_path / "exp" / "out")
    monkeypatch.chdir(tmp_path / "exp")
    spellings = ["out", "./out/", "../exp/out", "../latest", str(tmp_path / "latest")]
    assert {origin_of(path) for path in spellings} == {str((tmp_path / "exp" / "out").resolve())}
    assert lies_in(str(tmp_path / "latest" / "checkpoint-1"), "out")
    assert not lies_in(str(tmp_path / "latest2"), "../latest")


def test_one_snapshot_in_two_caches_is_one_place():
    one, other = (f"/{cache}/models--org--model/snapshots/{{}}" for cache in "ab")
    assert same_place(one.format("ab12"), other.format("ab12"))
    assert not same_place(one.format("ab12"), one.format("ff00"))


def test_origins_of_checkpoints_alone():
    refs = [ref("/r/a/checkpoint-1", 1), ref("/r/a/checkpoint-2", 2), ref("/r/b/ckpt.pt", 3)]
    assert origins_of(refs) == ("/r/a", "/r/b")
