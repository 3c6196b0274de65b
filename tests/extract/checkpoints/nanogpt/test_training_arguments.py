import argparse
import json
import pathlib

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.nanogpt.training_arguments import find_arguments, tokens_per_step


@pytest.mark.parametrize(
    ("arguments", "derived", "expected"),
    [
        ({"total_batch_size": 99}, {"tokens_per_step": 7}, (7, "tokens_per_step")),
        ({"total_batch_size": 99, "batch_size": 2, "sequence_length": 3}, {}, (99, "total_batch_size")),
        (
            {"total_batch_size": None, "batch_size": 2, "sequence_length": 3},
            {},
            (6, "batch_size x sequence_length"),
        ),
        ({"batch_size": 2, "block_size": 128}, {}, None),
        ({"batch_size": True, "sequence_length": 3}, {}, None),
        ({"global_batch_size": 4}, {"tokens_per_step": 0}, None),
    ],
)
def test_tokens_per_step(arguments, derived, expected):
    assert tokens_per_step(arguments=arguments, derived=derived) == expected


@pytest.mark.parametrize("place", ["checkpoints/args.json", "args.json", "logs/args.json"])
def test_args_json_is_looked_for_beside_above_and_in_logs(tmp_path, place):
    file = tmp_path / place
    (tmp_path / "checkpoints").mkdir()
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"n_head": 6}))
    found = find_arguments(tmp_path / "checkpoints" / "ckpt.pt", None)
    assert (found.values, found.file) == ({"n_head": 6}, file)


def test_stored_arguments_come_first(tmp_path):
    (tmp_path / "args.json").write_text(json.dumps({"n_head": 1}))
    checkpoint = tmp_path / "ckpt.pt"
    stored = argparse.Namespace(n_head=6, out=pathlib.PurePosixPath("a/b"))
    found = find_arguments(checkpoint, stored)
    assert (found.values, found.file) == ({"n_head": 6, "out": "a/b"}, checkpoint)


def test_run_config_and_hparams_count_where_args_says_nothing(tmp_path):
    for name, values in {
        "args.json": {"n_head": 6, "lr": 1},
        "run_config.json": {"n_head": 8, "window_size": 3},
        "hparams.json": {"window_size": 3, "attn_scale": 0.12},
    }.items():
        (tmp_path / name).write_text(json.dumps(values))
    found = find_arguments(tmp_path / "checkpoints" / "ckpt.pt", None)
    assert found.values == {"n_head": 6, "lr": 1, "window_size": 3, "attn_scale": 0.12}
    assert found.file == tmp_path / "args.json"
    assert {name: file.name for name, file in found.origins.items()} == {
        "window_size": "run_config.json",
        "attn_scale": "hparams.json",
    }
    assert [file.name for file in found.files] == ["args.json", "run_config.json", "hparams.json"]
    assert found.notices == ("n_head is 6 by args.json, and 8 by run_config.json: the former is taken",)


def test_no_arguments_and_damaged_arguments(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    assert find_arguments(folder / "ckpt.pt", None).file is None
    (folder / "args.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"args\.json"):
        find_arguments(folder / "ckpt.pt", None)
