"""Kinds of archived notices: a list beside the texts, where one of them has a kind.

Files that were written before notices had kinds have texts alone. What these say is told by their words, here
and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from spectra_cli.core.notices import Notice, NoticeKind, kind_of

KINDS = "notice_kinds"

# The words of the writers of that time: a later change of words elsewhere changes nothing here.
_BY_WORDS = {
    NoticeKind.TOKENS_UNKNOWN: re.compile("^tokens seen unknown"),
    NoticeKind.TOKENS_ROUNDED: re.compile("^tokens seen from the revision's name"),
    NoticeKind.NON_FINITE_WEIGHTS: re.compile(": non-finite weights: "),
    NoticeKind.ABOVE_UNIFORM: re.compile("is above that of uniform guesses"),
    NoticeKind.FOREIGN_TOKENIZER: re.compile("is not the checkpoint's own tokenizer"),
    NoticeKind.TAKEN_OVER: re.compile("holds the tensors of .*: its numbers were taken over$"),
}


def kinds_of(notices: Sequence[str]) -> list[str]:
    """The kind of each notice, as archived; empty where all are of the kind `other`."""
    kinds = [kind_of(notice).value for notice in notices]
    return kinds if any(kind != NoticeKind.OTHER for kind in kinds) else []


def with_kinds(texts: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    """Notices from their texts and what `kinds_of` gave; from the texts alone where that is empty.

    >>> kind_of(with_kinds(["tokens seen unknown: no step"], [])[0]).value
    'tokens_unknown'

    Raises:
        ValueError: another number of kinds, or one that is none.
    """
    found = [NoticeKind(kind) for kind in kinds] if kinds else [_by_words(text) for text in texts]
    pairs = zip(found, texts, strict=True)
    return tuple(text if kind is NoticeKind.OTHER else Notice(kind, text) for kind, text in pairs)


def _by_words(text: str) -> NoticeKind:
    return next((kind for kind, words in _BY_WORDS.items() if words.search(text)), NoticeKind.OTHER)
