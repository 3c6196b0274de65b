"""What the user must know: sentences, with a kind where code has to tell them from others.

Of notices that differ in their numbers alone one is shown, with how many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self, final


class NoticeKind(StrEnum):
    """What a notice says, where something is decided by it."""

    OTHER = "other"
    TOKENS_UNKNOWN = "tokens_unknown"
    TOKENS_ROUNDED = "tokens_rounded"
    NON_FINITE_WEIGHTS = "non_finite_weights"
    ABOVE_UNIFORM = "loss_above_uniform"  # the tokens are hardly those that the model was trained on
    FOREIGN_TOKENIZER = "foreign_tokenizer"  # of the probe, and it gives other ids than the checkpoint's own
    TAKEN_OVER = "taken_over"  # the numbers of a checkpoint with the same tensors


@final
class Notice(str):
    """A sentence for the user that has a kind; a plain sentence is of the kind `other`.

    >>> said = Notice(NoticeKind.TOKENS_UNKNOWN, "no arguments")
    >>> said, kind_of(said).value, kind_of("no arguments").value
    ('no arguments', 'tokens_unknown', 'other')
    """

    __slots__ = ("kind",)
    kind: NoticeKind

    def __new__(cls, kind: NoticeKind, text: str) -> Self:
        """The sentence `text`, of `kind`."""
        notice = super().__new__(cls, text)
        notice.kind = kind
        return notice

    def __getnewargs__(self) -> tuple[NoticeKind, str]:  # type: ignore[override]  # copies keep the kind
        return self.kind, str(self)


def kind_of(notice: str) -> NoticeKind:
    """What a notice says."""
    return notice.kind if isinstance(notice, Notice) else NoticeKind.OTHER


def tokens_unknown(why: str) -> Notice:
    """That nothing says how many tokens a checkpoint has seen."""
    return Notice(NoticeKind.TOKENS_UNKNOWN, f"tokens seen unknown: {why}")


def signs_of_wrong_tokens(probe: Iterable[str], checkpoints: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Of the notices of a probe and of checkpoints, those that say that its tokens are not the model's.

    Of the checkpoints' the first is given, with a count.

    >>> above = [Notice(NoticeKind.ABOVE_UNIFORM, f"loss {loss} is high") for loss in (9.1, 9.0)]
    >>> signs_of_wrong_tokens([], [above[:1], [], above[1:]])
    ('loss 9.1 is high (so at 2 of 3 checkpoints; this is the first)',)
    """
    rows = [list(notices) for notices in checkpoints]
    losses = [notice for row in rows for notice in row if kind_of(notice) is NoticeKind.ABOVE_UNIFORM]
    found = tuple(notice for notice in probe if kind_of(notice) is NoticeKind.FOREIGN_TOKENIZER)
    if len(losses) > 1:
        counted = f"{losses[0]} (so at {len(losses)} of {len(rows)} checkpoints; this is the first)"
        return (*found, Notice(NoticeKind.ABOVE_UNIFORM, counted))
    return (*found, *losses)


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
