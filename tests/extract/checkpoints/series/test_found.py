import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.series.found import (
    FoundRun,
    find_run,
    fingerprint,
    in_series_order,
    natural_key,
    parse_step,
    step_notices,
    training_values,
)
from spectra_cli.extract.checkpoints.series.trainer_state import read_trainer_state


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-500", 500),
        ("step500", 500),
        ("step_500", 500),
        ("step-500", 500),
        ("global_step500", 500),
        ("iter_0000500", 500),
        ("rev-step1000", 1000),
        ("step1000-tokens4B", 1000),
        ("stage1-step5000-tokens21B", 5000),
        ("ckpt_1000", 1000),
        ("ckpt-1000", 1000),
        ("ckpt_step_0000100", 100),
        ("checkpoint_target_reached_step000100", 100),
        ("model_step_000100", 100),
        ("checkpoint-3_step700", 700),
        ("rev-main", None),
        ("ckpt", None),
        ("step10k", None),
        ("step1.5B", None),
        ("model-00001-of-00002", None),
        ("footstep5", None),
        ("step" + "9" * 18, 10**18 - 1),
        ("step" + "9" * 19, None),
    ],
)
def test_parse_step(name, step):
    assert parse_step(name) == step


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_natural_order_is_numeric_order(numbers):
    names = [f"part{number}-x" for number in numbers]
    assert sorted(names, key=natural_key) == [f"part{number}-x" for number in sorted(numbers)]


def _ref(name, step, label=""):
    return CheckpointRef(run="r", step=step, uri=f"/r/{name}", format="f", label=label)


def test_series_is_ordered_by_step_and_every_key_is_its_own():
    refs = [
        _ref("rev-b10", None),
        _ref("rev-b9", None),
        _ref("step10", 10),
        _ref("target_step5.pt", 5, "target"),
        _ref("step5.pt", 5),
        _ref("ckpt.pt", 10),
    ]
    keys = [ref.key for ref in in_series_order(refs)]
    assert keys == [
        "step5",
        "step5-target",
        "step10-ckpt",
        "step10-step10",
        "nostep-rev-b9",
        "nostep-rev-b10",
    ]


def test_fingerprint_depends_on_name_size_and_time_but_not_on_place(tmp_path):
    def folder(name, content="abc", file="w", time=10**18):
        (tmp_path / name).mkdir()
        path = tmp_path / name / file
        path.write_text(content)
        os.utime(path, ns=(time, time))
        return fingerprint(tmp_path / name, [path])

    first = folder("a")
    assert folder("b") == first
    others = [folder("c", content="abcd"), folder("d", file="v"), folder("e", time=10**18 + 1)]
    assert len({first, *others}) == 4


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
    # a run folder's own weights: the run is called as the folder is
    run = name if label == "final" else "run"
    ref = CheckpointRef(run=run, step=4, uri=str(folder), format="made-up", label=label)
    found = step_notices(ref, read_trainer_state(folder))
    assert len(found) == said
    assert all("name says step 5, its trainer_state.json step 4" in notice for notice in found)
    assert step_notices(ref, None) == ()
