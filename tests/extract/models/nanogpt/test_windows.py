import math

import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.windows import WindowSchedule, window_at

TOKENS = WindowSchedule(rule="tokens", warmup_steps=2000, by_epochs=True)
BLOCKS = WindowSchedule(rule="blocks", warmup_steps=3000)
CEILING = WindowSchedule(rule="ceiling", warmup_steps=3000)


def size(schedule, step, **arguments):
    return window_at(schedule, arguments, step=step, where="/runs/a.pt").size


def test_a_fixed_window_needs_no_step():
    fixed = WindowSchedule(rule="fixed", window=1024)
    assert size(fixed, None) == size(fixed, 5000) == 1024


@pytest.mark.parametrize("step", [0, 1, 37, 500, 999, 1000, 1999, 2000, 2999, 3000, 10**6])
def test_schedules_are_those_of_the_equations(step):
    f2, f3 = min(step / 2000, 1), min(step / 3000, 1)
    assert size(TOKENS, step) == 64 * math.floor((64 + f2 * 1728) / 64)
    assert size(BLOCKS, step) == max(1, math.floor(int(64 + f3 * 1728) / 128))
    assert size(CEILING, step) == min(max(math.ceil(1728 * f3 / 128), 1), 14)


def test_ends_of_the_schedules():
    assert (size(TOKENS, 0), size(TOKENS, 2000)) == (64, 1792)
    assert (size(BLOCKS, 0), size(BLOCKS, 3000)) == (1, 14)
    # 1728 tokens are 13.5 blocks
    assert (size(CEILING, 0), size(CEILING, 1), size(CEILING, 3000)) == (1, 1, 14)
    # ceil(1728 f / 128) leaves 1 just above f = 128 / 1728
    assert (size(CEILING, 222), size(CEILING, 223)) == (1, 2)


def test_arguments_go_before_the_trainers_defaults():
    assert size(TOKENS, 500, window_warmup_steps=1000) == size(TOKENS, 1000) == 896
    assert size(TOKENS, 2000, window_min=128, window_max=512) == 512
    assert size(CEILING, 3000, window_min=128, window_max=512) == 14
    assert size(TOKENS, 0, window_warmup_steps=0) == 1792


def test_the_source_is_said():
    default = window_at(BLOCKS, {}, step=5, where="").source
    assert "over 3000, the trainer's default: no argument states window_warmup_steps" in default
    stated = window_at(BLOCKS, {"window_warmup_steps": 750}, step=5, where="")
    assert (stated.source, stated.step) == ("a warm-up over 750", 5)


def test_epochs_go_before_steps_where_the_trainer_knows_them():
    arguments = {"window_warmup_epochs": 0.5, "window_warmup_steps": 10}
    with pytest.raises(ModelError, match=r"--set model\.epoch_steps=VALUE or --set model\.window_tokens="):
        size(TOKENS, 100, **arguments)
    assert size(TOKENS, 100, **arguments, epoch_steps=400) == size(TOKENS, 1000)
    assert size(BLOCKS, 5, **arguments) == size(BLOCKS, 1500)


@pytest.mark.parametrize(
    ("step", "arguments", "message"),
    [
        (None, {}, "grows with the step, which neither"),
        (5, {"window_warmup_steps": "many"}, "window_warmup_steps is 'many'; expected a number"),
        (
            0,
            {"window_min": 10},
            r"give a window of 0 tokens at step 0; say it with --set model\.window_tokens=",
        ),
    ],
)
def test_what_gives_no_window_is_refused(step, arguments, message):
    with pytest.raises(ModelError, match=message):
        size(TOKENS, step, **arguments)
