import threading

import numpy as np
import pytest
import torch

from spectra_cli.extract.measurements.algebra.cores import LARGEST_APART, each_on_a_core, num_workers


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_large_matrices_are_taken_one_by_one(two_threads):
    assert num_workers(LARGEST_APART) == 2
    assert num_workers(LARGEST_APART + 1) == 1


@pytest.mark.parametrize("size", [10, LARGEST_APART + 1])
def test_results_come_in_the_order_of_the_items(size, two_threads):
    assert each_on_a_core(lambda item: item**2, range(20), size=size) == [i**2 for i in range(20)]


def test_small_matrices_are_taken_side_by_side(two_threads):
    meeting = threading.Barrier(2, timeout=10)
    assert sorted(each_on_a_core(lambda _: meeting.wait(), range(2), size=10)) == [0, 1]


def test_the_dearest_go_first(two_threads):
    taken, pair = [], threading.Barrier(2, timeout=10)

    def take(item):
        taken.append(item)
        pair.wait()
        return -item

    assert each_on_a_core(take, [1, 5, 2, 4], size=10, cost=lambda item: item) == [-1, -5, -2, -4]
    assert (set(taken[:2]), set(taken[2:])) == ({5, 4}, {2, 1})


def test_side_by_side_gives_the_same_numbers(two_threads):
    matrices = [m @ m.T for m in np.random.default_rng(0).normal(size=(6, 40, 50))]
    apart = each_on_a_core(np.linalg.eigvalsh, matrices, size=40)
    together = [np.linalg.eigvalsh(m) for m in matrices]
    # two ways of threading one LAPACK routine: rounding only
    assert all(np.allclose(a, b, rtol=1e-12) for a, b in zip(apart, together, strict=True))


def test_an_error_is_not_swallowed(two_threads):
    with pytest.raises(ZeroDivisionError):
        each_on_a_core(lambda item: 1 // item, [1, 0], size=10)
