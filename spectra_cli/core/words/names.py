"""Names in a sentence: the first few of a list, and those that somebody may have meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher


def listed(names: Iterable[object], most: int, *, of: str = "") -> str:
    """At most so many names, in order; empty where there are none.

    Args:
        of: what more there are.

    >>> listed(["step1", "step2", "step3"], 2), listed(["w"], 2), listed("abc", 1, of=" tensors")
    ('step1, step2 and 1 more', 'w', 'a and 2 more tensors')
    """
    words = [str(name) for name in names]
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more{of}" if more > 0 else "")


# Share of matching letters from which a name may be a slip of another one, and how near to the best match.
_ALIKE = 0.6
_AS_GOOD = 0.03


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean rankme_cov or rankme_sv?)`, of all names that are equally near; empty where none is.

    A part of known names stands for all of them; otherwise those that differ least by their letters.

    >>> did_you_mean("rankme", ["rankme_cov", "stable_rank", "rankme_sv"])
    ' (did you mean rankme_cov or rankme_sv?)'
    >>> did_you_mean("stable_rnk", ["rankme_cov", "stable_rank"])
    ' (did you mean stable_rank?)'
    >>> did_you_mean("loss", ["rankme_cov", "stable_rank"])
    ''
    """
    near = [one for one in known if name and name.lower() in one.lower()] or _alike(name, known)
    if not near:
        return ""
    *others, last = near
    return f" (did you mean {', '.join(others)}{' or ' * bool(others)}{last}?)"


def _alike(name: str, known: Collection[str]) -> list[str]:
    ratios = {one: SequenceMatcher(None, name.lower(), one.lower()).ratio() for one in known}
    best = max(ratios.values(), default=0.0)
    return [one for one, ratio in ratios.items() if ratio >= max(_ALIKE, best - _AS_GOOD)]
