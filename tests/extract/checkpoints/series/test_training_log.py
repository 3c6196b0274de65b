from __future__ import annotations

import json

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.extract.checkpoints.series.training_log import nearest_step, read_training_log


@pytest.fixture
def log(tmp_path):
    def write(text: str, columns: str = "", name: str = "log.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_training_log(f"{path}{columns}")

    return write


def test_usual_columns_of_a_csv_are_found(log):
    found = log("step,loss,val_loss,lr,tokens\n0,4.5,,1e-4,0\n500,3.25,3.5,6e-4,262144000\n")
    assert found.at(500) == {
        "train_loss": 3.25,
        "eval_loss": 3.5,
        "learning_rate": 6e-4,
        "tokens_seen": 262_144_000,
    }
    assert found.at(0) == {"train_loss": 4.5, "learning_rate": 1e-4, "tokens_seen": 0}
    assert found.at(250) == found.at(None) == {}
    assert found.source("eval_loss").endswith("log.csv: val_loss")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("step,loss\n100,3.5\n300,2", {"train_loss": {100: 3.5}}),
        ("step,loss\n100,3.5\n300,2\r", {"train_loss": {100: 3.5, 300: 2.0}}),
        ("step,loss\n100,3.5\n300,2\n  ", {"train_loss": {100: 3.5, 300: 2.0}}),
        ("step,loss\n300,3.5\n300,2", {"train_loss": {}}),  # the number before is no longer that of the step
        ("step,loss\n300,3.5\n300,", {"train_loss": {300: 3.5}}),
        ("step\tloss\tlr\n300\t2.5\t1", {"train_loss": {300: 2.5}, "learning_rate": {}}),
        ("step,loss,time\n300,2.5,1", {"train_loss": {300: 2.5}}),  # every cell that is taken is whole
        ("step,loss\n300,2.5,", {"train_loss": {300: 2.5}}),
        ("step,loss,lr\n300,2", {"train_loss": {}, "learning_rate": {}}),
        ("loss,step\n3.5,100\n2.5,30", {"train_loss": {100: 3.5}}),
        ('"step","loss"\n"300","2.5"', {"train_loss": {300: 2.5}}),  # the quote ends the number
        ('"step","loss"\n"300","2.', {"train_loss": {}}),
        ('{"step": 100, "loss": 3.5}\n{"step": 300, "loss": 2.5}', {"train_loss": {100: 3.5, 300: 2.5}}),
        ('{"step": 100, "loss": 3.5}\n{"step": 300, "loss": 2', {"train_loss": {100: 3.5}}),
    ],
)
def test_half_a_number_at_the_end_is_not_taken(log, text, values):
    assert log(text).values == values


def test_what_is_left_out_at_the_end_is_said(log):
    found = log("step,loss\n100,3.5\n300,2")
    assert found.unread["train_loss"][300].startswith("is '2' at the end of the file without a line end")
    assert found.notices == ()
    (said,) = log("loss,step\n3.5,100\n2.5,30").notices
    assert "a row is left out, whose step is '30' at the end of the file without a line end" in said
    (said,) = log('{"step": 100, "loss": 3.5}\n{"step": 300, "lo').notices
    assert "its last line has no line end and is not whole: left out" in said


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("step,loss,loss\n100,3.1,9.9\n", ""),
        ("step,nll,nll\n100,3.1,9.9\n", ":loss=nll"),
        ("step,loss,loss\n", ""),
        ('{"step": 1, "loss": 3.1, "loss": 9.9}\n', ""),
        ('{"step": 1, "train/loss": 3.1, "train": {"loss": 9.9}}\n', ""),
    ],
)
def test_two_columns_of_one_name_are_refused(log, text, columns):
    words = r"train_loss could be two columns of the file, both named '\S+', which loss=COLUMN cannot tell"
    with pytest.raises(UsageError, match=words):
        log(text, columns)
    assert log("step,loss,x,x\n1,2.5,1,2\n").at(1) == {"train_loss": 2.5}


def test_a_column_of_steps_that_stands_there_twice_is_refused(log):
    with pytest.raises(UsageError, match="step could be two columns"):
        log("step,step,loss\n1,2,3\n")
    with pytest.raises(UsageError, match="could be any of  loss, loss"):
        log("step, loss,loss\n1,2,3\n")


@pytest.mark.parametrize("cell", ["3,1", "1.234,5", "3.1 nats", "0x3", "#REF!"])
def test_what_is_not_a_number_is_said_to_be_none(log, cell):
    found = log(f"step;loss\n100;{cell}\n200;2.5\n300;NA\n400; \n500;nan\n")
    assert found.values == {"train_loss": {200: 2.5}}
    reason = f"is {cell!r}, which is not a number; expected one such as 3.1, with a point"
    assert found.unread == {"train_loss": {100: reason}}
    assert found.notices == ()


def test_rows_whose_step_is_none_are_counted(log):
    (said,) = log("step;loss\n1,5;2.5\n2,5;2.5\n;3\n").notices
    assert said.endswith(
        "log.csv: 2 rows are left out, whose step is '1,5', which is not a number; expected one such as 3.1, "
        "with a point"
    )


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_delimiters_and_a_byte_order_mark(log, delimiter):
    assert log("\ufeffiter,loss\n1,2.5\n".replace(",", delimiter)).at(1) == {"train_loss": 2.5}


def test_jsonl_as_trainers_write_it(log):
    rows = [
        {"loss": 3.5, "learning_rate": 0.1, "step": 10},
        {"eval_loss": 3.25, "step": 10},
        {"train_loss": 9.0, "step": 10},  # transformers' mean over the whole run
    ]
    found = log("\n".join(map(json.dumps, rows)) + '\n{"loss": 1.0, "st', name="log.jsonl")
    assert found.at(10) == {"train_loss": 3.5, "learning_rate": 0.1, "eval_loss": 3.25}


def test_objects_inside_a_row_and_other_spellings(log):
    row = {"global_step": 3, "train": {"loss": 2.0, "lr": 0.5}, "val": {"loss": 2.5}}
    assert log(json.dumps(row)).at(3) == {"train_loss": 2.0, "eval_loss": 2.5, "learning_rate": 0.5}


WANDB = (
    '"Step","gpt2 - train/loss","gpt2 - train/loss__MIN","gpt2 - train/loss__MAX"\n"100","3.5","3.4","3.6"\n'
)


def test_a_csv_exported_from_wandb(log):
    assert log(WANDB).at(100) == {"train_loss": 3.5}


def test_two_runs_in_one_export_are_asked_about(log):
    text = '"Step","a - loss","b - loss"\n"1","3.5","4.5"\n'
    with pytest.raises(UsageError, match=r"could be any of a - loss, b - loss; name it: .*:loss=COLUMN"):
        log(text)
    assert log(text, ":loss=b - loss").at(1) == {"train_loss": 4.5}


def test_columns_by_name(log):
    text = "update,nll,dev\n7,1.5,2.5\n"
    found = log(text, ":step=update,loss=nll,val_loss=dev")
    assert found.at(7) == {"train_loss": 1.5, "eval_loss": 2.5}
    assert log(text, ":step=update,train_loss=nll").at(7) == {"train_loss": 1.5}


def test_what_is_no_number_is_no_value_and_the_last_row_of_a_step_counts(log):
    found = log("step,loss,tokens\n1,nan,1.5\n2,,x\n3,-inf,7\n4,3.5,8\n4,3.25,\n")
    assert found.at(1) == found.at(2) == {}
    assert found.at(3) == {"tokens_seen": 7}
    assert found.at(4) == {"train_loss": 3.25, "tokens_seen": 8}


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("", "", "it is empty"),
        ("a,loss\n1,2\n", "", r"no column of steps among a, loss; name it: .*:step=COLUMN"),
        ("step,x\n1,2\n", "", "none of step, x is a loss"),
        ("step,x\n1,2\n", ":loss=y", "no column 'y' for train_loss; columns: step, x"),
        ("step,x\n1,2\n", ":loss=x,nonsense=y", "'nonsense=y' names no column"),
        ('{"step": 1}\nnot json\n{"step": 2}\n', "", "line 2 is not JSON"),
        ('{"step": 1}\n\n{"step": 2, "lo\n', "", "line 3 is not JSON"),
        ("step,loss\n100,3,1\n", "", "line 2 has 3 cells under 2 columns; expected numbers with a point"),
        ("step,loss\n\n300,2300,2.8\n", "", "line 3 has 3 cells under 2 columns"),
        ('{"step": 1}\n[1]\n{"step": 2}\n', "", "line 2 is not a JSON object"),
        ('{"step": 1}\n' + "[" * 100_000 + '\n{"step": 2}\n', "", "line 2 is not JSON: maximum recursion"),
        ("step,loss\n" + "1" * 200_000 + ",2\n", "", "is not CSV: field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_named(log, text, columns, words):
    with pytest.raises(UsageError, match=words):
        log(text, columns)


def test_numbers_that_nothing_holds_are_no_values(log):
    rows = [{"step": 1, "loss": 10**400, "tokens": 2**63}, {"step": 10**30, "loss": 2.0, "tokens": 5}]
    found = log("\n".join(map(json.dumps, rows)))
    assert found.values == {"train_loss": {}, "tokens_seen": {}}


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.csv: No such file"):
        read_training_log(str(tmp_path / "absent.csv"))
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not text"):
        read_training_log(str(tmp_path / "x.csv"))


def test_the_nearest_step():
    assert nearest_step([10, 20, 30], 25) == 20
    assert nearest_step([], 5) is None
