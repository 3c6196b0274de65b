"""Signs that a probe's tokens are not the model's: the words by which they are known in an archive."""

from __future__ import annotations

from collections.abc import Iterable

ABOVE_UNIFORM = "is above that of uniform guesses"
NOT_ITS_OWN = "is not the checkpoint's own tokenizer"


def signs_of_wrong_tokens(probe: Iterable[str], checkpoints: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Of the notices of a probe and of checkpoints, those that say so; of the checkpoints' one, with a count.

    >>> signs_of_wrong_tokens([], [[f"loss 9.1 {ABOVE_UNIFORM}"], [], [f"loss 9.0 {ABOVE_UNIFORM}"]])
    ('loss 9.1 is above that of uniform guesses (so at 2 of 3 checkpoints; this is the first)',)
    """
    rows = [list(notices) for notices in checkpoints]
    losses = [notice for notices in rows for notice in notices if ABOVE_UNIFORM in notice]
    found = tuple(notice for notice in probe if NOT_ITS_OWN in notice)
    if len(losses) > 1:
        return (*found, f"{losses[0]} (so at {len(losses)} of {len(rows)} checkpoints; this is the first)")
    return (*found, *losses)
