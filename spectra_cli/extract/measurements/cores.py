"""Many small factorisations at once: one a core, each with a single thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

# Beyond this size one factorisation keeps all cores busy by itself, and several would need the memory.
LARGEST_APART = 1024
MOST_WORKERS = 4


def num_workers(size: int) -> int:
    """How many factorisations of (size, size) matrices run at once."""
    return 1 if size > LARGEST_APART else min(torch.get_num_threads(), MOST_WORKERS)


def each_on_a_core(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    size: int,
    cost: Callable[[Item], float] = lambda _: 0.0,
) -> list[Result]:
    """`[function(item) for item in items]`, side by side where the matrices are small.

    LAPACK gains little from a second thread on matrices of a few hundred rows.

    Args:
        function: works in numpy on the CPU.
        items: in the order of the results.
        size: rows of the largest matrix that is factorised.
        cost: of an item, in any unit: the dearest go first, so that no core is left with one at the end.
    """
    workers = num_workers(size)
    if workers == 1:
        return [function(item) for item in items]
    order = sorted(range(len(items)), key=lambda place: -cost(items[place]))
    with threadpool_limits(limits=1), ThreadPoolExecutor(max_workers=workers) as pool:
        results = dict(zip(order, pool.map(function, (items[place] for place in order)), strict=True))
    return [results[place] for place in range(len(items))]
