"""Notices that differ in their numbers alone: one of them is shown, with how many there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# as many are shown one by one
_FEW = 2
_NUMBER = re.compile(r"-?(?:\d+(?:[.,]\d+)*(?:e[+-]?\d+)?|\b(?:nan|inf)\b)")


def alike(notices: Iterable[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Pairs of a checkpoint's key and a notice on it, in groups whose notices differ in numbers alone.

    >>> alike([("a", "loss 3.5"), ("a", "no step"), ("b", "loss 1e-3")])
    [[('a', 'loss 3.5'), ('b', 'loss 1e-3')], [('a', 'no step')]]
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, notice in notices:
        groups.setdefault(_NUMBER.sub("0", notice), []).append((key, notice))
    return list(groups.values())


def gathered(notices: Iterable[str]) -> tuple[str, ...]:
    """The notices in order, each once; of more than two that differ in numbers alone the first and the last.

    >>> gathered(f"step{n}: loss {n}.5" for n in range(100))
    ('100 notices, from "step0: loss 0.5" to "step99: loss 99.5"',)
    >>> gathered(["a is 1", "b", "a is 2", "b"])
    ('a is 1', 'a is 2', 'b')
    """
    shown: list[str] = []
    for group in alike(("", notice) for notice in dict.fromkeys(notices)):
        texts = [notice for _, notice in group]
        shown += (
            texts if len(texts) <= _FEW else [f'{len(texts)} notices, from "{texts[0]}" to "{texts[-1]}"']
        )
    return tuple(shown)


def gathered_by_checkpoint(notices: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """One line a checkpoint with its notices, and one for each notice that more than two checkpoints have.

    >>> gathered_by_checkpoint([("step1", "loss 1 of 2"), ("step2", "loss 2 of 3"), ("step3", "loss 3 of 4")])
    ('3 checkpoints, step1 to step3, the first: loss 1 of 2',)
    >>> gathered_by_checkpoint([("a", "one"), ("a", "other"), ("b", "one")])
    ('a: one; other', 'b: one')
    """
    few: dict[str, list[str]] = {}
    many: list[str] = []
    for group in alike(notices):
        keys = list(dict.fromkeys(key for key, _ in group))
        if len(keys) <= _FEW:
            for key, notice in group:
                few.setdefault(key, []).append(notice)
            continue
        same = len({notice for _, notice in group}) == 1
        many.append(
            f"{len(keys)} checkpoints, {keys[0]} to {keys[-1]}{'' if same else ', the first'}: {group[0][1]}"
        )
    order = {key: place for place, key in enumerate(dict.fromkeys(key for key, _ in notices))}
    lines = [f"{key}: {'; '.join(few[key])}" for key in sorted(few, key=order.__getitem__)]
    return (*lines, *many)
