"""What differs between two archives, or two documents, besides times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# of `execution`: when and for how long
_TIMES = ("seconds", "finished")
# they vouch for all that is stored, times included
_DIGESTS = ("content_digest", "table_digest")
# kinds of notices, beside their texts: archives of before have the texts alone
_LATER = ("notice_kinds", "@probe_notice_kinds")


def archive_differences(first: Path, second: Path) -> list[str]:
    """The places where two archives differ: groups, variables and attributes, bit for bit.

    What came to the format later counts where both have it.
    """
    with h5py.File(first) as one, h5py.File(second) as other:
        found, there = _content(one), _content(other)
    lacking = tuple(name for name in _LATER if name not in found or name not in there)
    return [place for place in _differences(found, there) if not place.startswith(lacking)]


def document_differences(first: str, second: str) -> list[str]:
    """The places where two printed JSON documents differ."""
    return list(_differences(dict(_leaves(json.loads(first))), dict(_leaves(json.loads(second)))))


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for place in sorted(one.keys() | other.keys()):
        if place not in other or place not in one:
            yield f"{place}: only in the {'first' if place in one else 'second'}"
        elif one[place] != other[place]:
            yield f"{place}: {_short(one[place])} against {_short(other[place])}"


def _content(file: h5py.File) -> dict[str, Any]:
    """Place -> dtype, shape and bytes, of every variable and every attribute."""
    found = {f"@{name}": _stored(name, value) for name, value in file.attrs.items()}

    def visit(name: str, item: Any) -> None:
        found[name] = _stored(name, item[()]) if isinstance(item, h5py.Dataset) else "group"
        found.update(
            {
                f"{name}@{key}": _stored(key, value)
                for key, value in item.attrs.items()
                # references between variables are addresses in the file
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST")
            }
        )

    file.visititems(visit)
    return found


def _stored(name: str, value: Any) -> Any:
    if name in _DIGESTS:
        return "digest"
    if name == "execution":
        return [_without_times(json.loads(text)) for text in np.atleast_1d(value)]
    if isinstance(value, str | bytes):
        return value
    array = np.asarray(value)
    content = array.tolist() if array.dtype == object else array.tobytes()
    return array.dtype.str, array.shape, content


def _without_times(execution: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in execution.items() if name not in _TIMES}


def _leaves(document: Any, place: str = "$") -> Iterator[tuple[str, str]]:
    if isinstance(document, dict):
        for name, value in document.items():
            if name not in _TIMES + _DIGESTS:
                yield from _leaves(value, f"{place}.{name}")
    elif isinstance(document, list):
        yield f"{place}.length", str(len(document))
        for number, value in enumerate(document):
            yield from _leaves(value, f"{place}[{number}]")
    else:
        yield place, repr(document)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
