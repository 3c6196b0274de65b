"""How many layers are stated, against those whose tensors are there: which are missing, which too many."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice

_NUM_LISTED = 20


def layers_apart(names: Collection[str], in_layer: re.Pattern[str], *, stated: int) -> str:
    """The tensors that are missing or unexpected in words; empty where the layers are as many as stated.

    Args:
        names: of all tensors; those of layers are numbered from 0 on, without a gap.
        in_layer: matches a tensor of a layer: what stands before its number, the number, and the rest.
        stated: layers of the whole model; may be any number, since nothing loops over it.

    >>> layers_apart(["h.0.w", "h.1.w", "head"], re.compile(r"(h\\.)(\\d+)(\\..+)"), stated=4)
    '2 missing: h.2.w, h.3.w'
    """
    numbered = [match for name in sorted(names) if (match := in_layer.fullmatch(name))]
    found = len({int(match[2]) for match in numbered})
    if stated < found:
        beyond = [match[0] for match in numbered if int(match[2]) >= stated]
        return _listed("unexpected", len(beyond), beyond)
    first = [(match[1], match[3]) for match in numbered if int(match[2]) == 0]
    lost = (f"{before}{layer}{rest}" for layer in range(found, stated) for before, rest in first)
    return _listed("missing", (stated - found) * len(first), list(islice(lost, _NUM_LISTED)))


def _listed(what: str, number: int, names: list[str]) -> str:
    more = f" and {number - _NUM_LISTED} more" if number > _NUM_LISTED else ""
    return f"{number} {what}: {', '.join(names[:_NUM_LISTED])}{more}" if number else ""
