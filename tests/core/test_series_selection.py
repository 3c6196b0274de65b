from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.errors import UsageError
from spectra_cli.core.series_selection import SeriesSelection, select
from spectra_cli.core.types import CheckpointRef


def series(*steps: int | None) -> list[CheckpointRef]:
    return [CheckpointRef(run="a", step=step, uri=f"/a/{step}", format="hf") for step in steps]


REFS = series(0, 500, 1000, 2000, 2500, 3000)


def chosen(refs=REFS, **choice) -> list[int | None]:
    return [ref.step for ref in select(refs, SeriesSelection(**choice))[0]]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, [0, 500, 1000, 2000, 2500, 3000]),
        ({"steps": "0:3000:1000"}, [0, 1000, 2000, 3000]),  # the stop is included
        ({"steps": "500,2000:2500"}, [500, 2000, 2500]),
        ({"steps": " 2500, 0 "}, [0, 2500]),  # in the order of the series
        ({"steps": "1000:"}, [1000, 2000, 2500, 3000]),
        ({"steps": ":1000"}, [0, 500, 1000]),
        ({"steps": "0::1000"}, [0, 1000, 2000, 3000]),
        ({"every": 2}, [0, 1000, 2500]),
        ({"last": 2}, [2500, 3000]),
        ({"last": 99}, [0, 500, 1000, 2000, 2500, 3000]),
        ({"limit": 2}, [0, 500]),
        ({"last": 3, "limit": 1}, [2000]),
        ({"steps": "500:", "every": 2, "last": 2, "limit": 1}, [2000]),  # 500 2000 3000 -> 2000 3000
    ],
)
def test_what_is_chosen(choice, expected):
    assert chosen(**choice) == expected


def test_an_absent_step_is_an_error_with_its_neighbours():
    for word, nearest in (("700", "500 and 1000"), ("9000", "is 3000$")):
        with pytest.raises(UsageError, match=f"no step {word}; the nearest {'.*' + nearest}"):
            chosen(steps=f"0,{word}")


def test_absent_steps_of_a_grid_are_named_and_the_rest_is_taken():
    refs, notices = select(REFS, SeriesSelection(steps="0:3000:500"))
    assert [ref.step for ref in refs] == [0, 500, 1000, 2000, 2500, 3000]
    assert notices[0] == "--steps 0:3000:500: 1 of 7 steps has no checkpoint: 1500"


@pytest.mark.parametrize("steps", ["3001:", "600:700", "1:9:2"])
def test_a_range_without_any_checkpoint_is_an_error(steps):
    with pytest.raises(UsageError, match="no checkpoint in"):
        chosen(steps=steps)


def test_checkpoints_without_a_step_are_left_out_by_name():
    refs, notices = select(series(5, None), SeriesSelection(steps="5"))
    assert [ref.step for ref in refs] == [5]
    assert "--steps leaves out checkpoints without a step: nostep" in notices
    with pytest.raises(UsageError, match="none of 1 checkpoint has a step"):
        chosen(series(None), steps="0")


@pytest.mark.parametrize("steps", ["x", "1-5", "5:1", "0:9:0", ",", "1,,2", "-3", "1:2:3:4"])
def test_words_that_are_no_steps_are_refused_before_anything_is_looked_at(steps):
    with pytest.raises(UsageError, match="--steps"):
        SeriesSelection(steps=steps)


@pytest.mark.parametrize("name", ["every", "last", "limit"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(UsageError, match=f"--{name} 0"):
        SeriesSelection(**{name: 0})


@given(
    st.lists(st.integers(0, 50), unique=True, min_size=1).map(sorted),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 9),
)
def test_a_grid_is_what_range_says(steps, start, length, stride):
    wanted = [step for step in steps if step in range(start, start + length + 1, stride)]
    if wanted:
        assert chosen(series(*steps), steps=f"{start}:{start + length}:{stride}") == wanted
    else:
        with pytest.raises(UsageError):
            chosen(series(*steps), steps=f"{start}:{start + length}:{stride}")
