import json

import pytest

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.series.found import FoundRun
from spectra_cli.extract.checkpoints.series.run_folder import find_run, step_notices, training_values
from spectra_cli.extract.checkpoints.series.trainer_state import read_trainer_state


def has_weights(folder):
    return (folder / "w").is_file()


def find(folder):
    return find_run(
        FoundRun,
        str(folder),
        format_name="made-up",
        is_child=lambda child: child.name.startswith("checkpoint-"),
        has_a_part=has_weights,
        is_checkpoint=has_weights,
    )


@pytest.fixture
def make(tmp_path):
    def folder(name, *, weights=True, **state):
        path = tmp_path / "run" / name
        path.mkdir(parents=True, exist_ok=True)
        if weights:
            (path / "w").touch()
        if state:
            (path / "trainer_state.json").write_text(json.dumps({"log_history": []} | state))
        return path

    return folder


def test_children_by_step_and_the_folder_itself_last(make):
    for name in ("checkpoint-10", "checkpoint-9", "other"):
        make(name)
    make("", global_step=10)
    found = find(make(""))
    assert [(ref.key, ref.format, ref.run) for ref in found.checkpoints] == [
        ("step9", "made-up", "run"),
        ("step10", "made-up", "run"),
        ("step10-final", "made-up", "run"),
    ]
    assert found.notices == ()


def test_a_folder_of_one_checkpoint(make):
    (ref,) = find(make("", global_step=3)).checkpoints
    assert (ref.step, ref.label) == (3, "")


def test_damaged_children_count_only_among_others(make):
    make("checkpoint-1", weights=False)
    assert find(make("", weights=False)) is None
    make("checkpoint-2")
    assert [ref.step for ref in find(make("", weights=False)).checkpoints] == [1, 2]
    assert find(make("") / "w") is None


def test_unfinished_folders_are_named(make):
    for name in ("checkpoint-1", "tmp-checkpoint-2", ".checkpoint-3", "checkpoint-4.tmp", "tmp"):
        make(name)
    found = find(make("", weights=False))
    assert [ref.step for ref in found.checkpoints] == [1]
    assert found.notices == (
        "unfinished folders are not read: .checkpoint-3, checkpoint-4.tmp, tmp-checkpoint-2",
    )


def test_what_the_trainer_says(make):
    log = [{"step": 4, "loss": 2.5, "learning_rate": 1e-3}]
    folder = make("checkpoint-4", global_step=4, num_input_tokens_seen=400, log_history=log)
    state = read_trainer_state(folder)
    values, sources = training_values(state)
    assert values == {
        "tokens_seen": 400,
        "train_loss": 2.5,
        "eval_loss": None,
        "learning_rate": 1e-3,
        "batch_size_tokens": 100,
        "stated_step": 4,
    }
    assert sources.keys() == {"tokens_seen", "train_loss", "learning_rate", "batch_size_tokens"}
    assert sources["batch_size_tokens"].endswith("num_input_tokens_seen / global_step")
    assert training_values(None) == ({}, {})


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [("checkpoint-4", "", 0), ("checkpoint-5", "", 1), ("checkpoint-5", "final", 0)],
)
def test_a_name_that_contradicts_it(make, name, label, said):
    folder = make(name, global_step=4, num_input_tokens_seen=8)
    ref = CheckpointRef(run="run", step=4, uri=str(folder), format="made-up", label=label)
    found = step_notices(ref, read_trainer_state(folder))
    assert len(found) == said
    assert all("name says step 5, its trainer_state.json step 4" in notice for notice in found)
    assert step_notices(ref, None) == ()
