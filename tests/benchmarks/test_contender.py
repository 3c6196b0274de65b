"""A contender's process does the work that it is asked for, and says so when it cannot."""

import pytest

from benchmarks import rivals_gradients
from benchmarks.contender import Contender
from benchmarks.ours import largest_error
from benchmarks.rows import _held_to


def test_it_returns_what_the_same_work_returns_here():
    with Contender("gpt2", "spectra", 2, threads=1) as contender:
        contender()
        found = contender.values()
    expected = rivals_gradients.run_ours(rivals_gradients.make_work("gpt2", num_sequences=2))
    assert found.keys() == expected.keys()
    assert largest_error(found, expected) < 1e-6  # other numbers of threads round otherwise


def test_a_process_that_ends_is_no_silence():
    with pytest.raises(rivals_gradients.CannotRun, match="ended"):
        Contender("no such family", "spectra", 2, threads=-1)


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ({0: 10}, (0, 10)),
        ({0: 12, 4: 10}, (4, 10)),
        ({0: 12, 4: 11, 2: 11, 1: 11}, (1, 11)),
    ],
)
def test_spectra_is_held_to_the_memory_of_its_rival_where_it_can_be(peaks, expected):
    assert _held_to(10, peaks.__getitem__) == expected
