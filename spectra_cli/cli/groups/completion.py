"""What the shell offers behind an option: its names, or the next name of a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Complete = Callable[[str], list[str]]


def one_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """One of the names; a function of them is called only when the shell asks."""

    def complete(incomplete: str) -> list[str]:
        known = names() if callable(names) else names
        return [name for name in known if name.startswith(incomplete)]

    return complete


def some_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """Names with commas between, none of them twice.

    >>> some_of(("probe", "dtype", "pool"))("dtype,p")
    ['dtype,probe', 'dtype,pool']
    """
    one = one_of(names)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in one(last) if name not in before.split(",")]

    return complete


def statistics() -> Iterable[str]:
    """The names of the statistics."""
    from spectra_cli.statistics.registry import DEFINITIONS

    return DEFINITIONS
