"""Contenders take turns, and ratios are taken inside each round."""

from benchmarks.memory import smallest_that_works
from benchmarks.timing import Spread, interleave


def test_contenders_take_turns():
    order = []
    interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, warm_up=False)
    assert order == ["a", "b", "a", "b"]


def test_ratios_are_taken_inside_each_round():
    # a takes 2, 8 and 3 seconds, b takes 1, 2 and 3
    ticks = iter([0, 2, 2, 3, 3, 11, 11, 13, 13, 16, 16, 19])
    timings = interleave(
        {"a": lambda: "A", "b": lambda: "B"}, rounds=3, warm_up=False, clock=lambda: float(next(ticks))
    )
    assert timings.ratio("a", "b") == Spread(median=2.0, smallest=1.0, largest=4.0, rounds=3)
    assert timings.results == {"a": "A", "b": "B"}


def test_the_budget_a_refusal_names_is_read():
    assert smallest_that_works("the smallest plan needs 12.5 MiB (model ...)") == round(12.5 * 2**20)
