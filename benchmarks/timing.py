"""Contenders timed in turns (A B C A B C ...), so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median of some repetitions, and the smallest and largest of them."""

    median: float
    smallest: float
    largest: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, smallest=1.0, largest=3.0, rounds=3)
        """
        return cls(
            median=statistics.median(values), smallest=min(values), largest=max(values), rounds=len(values)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds of each contender in each round, and what it returned in the last one."""

    seconds: Mapping[str, tuple[float, ...]]
    results: Mapping[str, Any]

    def spread(self, name: str) -> Spread:
        """Seconds of one contender."""
        return Spread.of(self.seconds[name])

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """Seconds of one over seconds of another, taken inside each round."""
        pairs = zip(self.seconds[numerator], self.seconds[denominator], strict=True)
        return Spread.of([above / below for above, below in pairs])


def interleave(
    contenders: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Run every contender once a round, in the given order.

    Args:
        contenders: name -> what is timed, all of it.
        rounds: how often.
        warm_up: run each once before, untimed: first calls allocate, and choose kernels.
        clock: seconds; a test gives its own.
    """
    results: dict[str, Any] = {}
    if warm_up:
        for run in contenders.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = clock()
            results[name] = run()
            seconds[name].append(clock() - started)
    return Timings(seconds={name: tuple(times) for name, times in seconds.items()}, results=results)
