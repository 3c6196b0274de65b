import copy
import json
import pickle

from spectra_cli.core.notices import (
    Notice,
    NoticeKind,
    alike,
    gathered,
    gathered_by_checkpoint,
    kind_of,
    tokens_unknown,
)


def contradiction(step):
    return f"train_loss is {step / 7:.12g} by log.csv: loss, and {-step / 9:.12g} by trainer_state.json"


def test_a_hundred_that_differ_in_numbers_are_one_with_a_count():
    texts = [contradiction(step) for step in range(1, 101)]
    assert gathered(texts) == (f'100 notices, from "{texts[0]}" to "{texts[-1]}"',)
    assert gathered([*texts, "another"])[1:] == ("another",)


def test_names_are_not_numbers():
    texts = ["a is gone", "b is gone", "c is gone"]
    assert gathered(texts) == tuple(texts)


def test_not_a_number_and_infinity_are_numbers():
    assert len(alike([("a", "loss nan"), ("b", "loss inf"), ("c", "loss 1.5e-3"), ("d", "infinite")])) == 2


def test_the_checkpoints_that_a_notice_is_on_are_counted_and_ranged():
    notices = [(f"step-{step}", contradiction(step)) for step in (100, 200, 300)]
    assert gathered_by_checkpoint([*notices, ("step-200", "no step"), ("step-100", "no rate")]) == (
        "step-100: no rate",
        "step-200: no step",
        f"3 checkpoints, step-100 to step-300, the first: {contradiction(100)}",
    )


def test_equal_notices_need_no_example():
    assert gathered_by_checkpoint([(key, "no step") for key in "abcd"]) == ("4 checkpoints, a to d: no step",)


def test_a_kind_survives_copies_and_is_not_in_the_words():
    said = Notice(NoticeKind.TAKEN_OVER, "a holds the tensors of b")
    for other in (copy.deepcopy(said), pickle.loads(pickle.dumps(said))):  # noqa: S301 - our own bytes
        assert (other, kind_of(other)) == (said, NoticeKind.TAKEN_OVER)
    assert json.dumps([said]) == '["a holds the tensors of b"]'
    assert kind_of(str(said)) is kind_of(tokens_unknown("x").upper()) is NoticeKind.OTHER
