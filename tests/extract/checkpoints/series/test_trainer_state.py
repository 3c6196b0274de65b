import json

import pytest

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.series.trainer_state import read_trainer_state

HISTORY = [
    {"step": 2, "loss": 4.0, "epoch": 0.1},
    {"step": 2, "eval_loss": 3.9},
    {"step": 4, "loss": 3.0},
    {"step": 4, "train_loss": 3.5, "total_flos": 1.0},
]


def _read(folder, **content):
    (folder / "trainer_state.json").write_text(json.dumps(content))
    return read_trainer_state(folder)


def test_values_of_the_step(tmp_path):
    state = _read(tmp_path, global_step=2, num_input_tokens_seen=640, log_history=HISTORY)
    assert (state.step, state.tokens_seen, state.train_loss, state.eval_loss) == (2, 640, 4.0, 3.9)
    assert state.notices == ()


def test_losses_of_earlier_steps_are_left_out_and_said(tmp_path):
    state = _read(tmp_path, global_step=5, num_input_tokens_seen=640, log_history=HISTORY)
    assert (state.train_loss, state.eval_loss) == (None, None)
    assert state.notices == (
        "loss was last logged at step 4, not at step 5: left out",
        "eval_loss was last logged at step 2, not at step 5: left out",
    )


def test_the_mean_over_the_run_is_not_the_loss_of_the_step(tmp_path):
    state = _read(tmp_path, global_step=4, num_input_tokens_seen=1, log_history=HISTORY[3:])
    assert state.train_loss is None


def test_a_resumed_run_counts_its_last_entry(tmp_path):
    history = [{"step": 2, "loss": 4.0}, {"step": 2, "loss": 3.0}]
    assert _read(tmp_path, global_step=2, log_history=history).train_loss == 3.0


@pytest.mark.parametrize("counted", [{}, {"num_input_tokens_seen": 0}])
def test_uncounted_tokens_stay_unknown(tmp_path, counted):
    state = _read(tmp_path, global_step=2, log_history=[], **counted)
    assert state.tokens_seen is None
    assert "include_num_input_tokens_seen" in state.notices[0]


def test_a_loss_that_is_not_a_number(tmp_path):
    state = _read(
        tmp_path, global_step=1, num_input_tokens_seen=1, log_history=[{"step": 1, "loss": float("nan")}]
    )
    assert state.train_loss is None
    assert state.notices == ("loss logged at step 1 is nan: left out",)


@pytest.mark.parametrize("value", [True, "3,1", None, [3.1]])
def test_a_loss_that_is_no_number_is_left_out(tmp_path, value):
    entry = {"step": 1, "loss": value}
    state = _read(tmp_path, global_step=1, num_input_tokens_seen=1, log_history=[entry])
    assert (state.train_loss, state.notices) == (None, (f"loss logged at step 1 is {value}: left out",))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"global_step": "2"},
        {"global_step": -1},
        {"global_step": 2**63},
        {"global_step": 2, "log_history": {"a": 1}},
    ],
)
def test_malformed_state(tmp_path, content):
    with pytest.raises(CheckpointError, match=r"trainer_state\.json"):
        _read(tmp_path, **content)


def test_a_link_that_leads_nowhere_is_not_passed_over(tmp_path):
    (tmp_path / "trainer_state.json").symlink_to("nowhere")
    with pytest.raises(CheckpointError, match=r"trainer_state\.json: it is not there"):
        read_trainer_state(tmp_path)


def test_no_state(tmp_path):
    assert read_trainer_state(tmp_path) is None
