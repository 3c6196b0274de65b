"""Many small factorisations at once: one a core, each with a single thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

Heard = Callable[[int, int], None]
"""Hears how many of how many items are done, in the thread that waits for them."""

# Beyond this size one factorisation keeps all cores busy by itself, and several would need the memory.
LARGEST_APART = 1024
MOST_WORKERS = 4


def nobody(done: int, total: int) -> None:
    """A `Heard` that does nothing."""


def num_workers(size: int) -> int:
    """How many factorisations of (size, size) matrices run at once."""
    return 1 if size > LARGEST_APART else min(torch.get_num_threads(), MOST_WORKERS)


def each_on_a_core(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    size: int,
    cost: Callable[[Item], float] = lambda _: 0.0,
    heard: Heard = nobody,
) -> list[Result]:
    """`[function(item) for item in items]`, side by side where the matrices are small.

    LAPACK gains little from a second thread on matrices of a few hundred rows.

    Args:
        function: works in numpy on the CPU.
        items: in the order of the results.
        size: rows of the largest matrix that is factorised.
        cost: of an item, in any unit: the dearest go first, so that no core is left with one at the end.
        heard: is told after each item; what it raises ends the work.
    """
    workers, results = num_workers(size), dict[int, Result]()
    if workers == 1:
        for place, item in enumerate(items):
            results[place] = function(item)
            heard(len(results), len(items))
        return list(results.values())
    order = sorted(range(len(items)), key=lambda place: -cost(items[place]))
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=workers) as pool:
        found = pool.map(function, (items[place] for place in order))
        for place, result in zip(order, found, strict=True):
            results[place] = result
            heard(len(results), len(items))
    return [results[place] for place in range(len(items))]
