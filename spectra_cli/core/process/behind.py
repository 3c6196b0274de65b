"""Work that goes on while what it is done to is still being read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")
Made = TypeVar("Made")


def behind(work: Callable[[Read], Made], read: Iterable[Read]) -> Iterator[Made]:
    """`map`, where the work on one item goes on in a thread while the next is read; two are held at a time.

    Worth it where the work is numpy's, which lets other threads go on.

    >>> list(behind(lambda number: number**2, range(4)))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        last = None
        for item in read:
            submitted = thread.submit(work, item)
            if last is not None:
                yield last.result()
            last = submitted
        if last is not None:
            yield last.result()
