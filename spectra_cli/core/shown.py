"""Results that show themselves: as text where Python prints them, as HTML in a notebook.

A result knows nothing of forms. Which there are, and how a result is written in them, is said once by the
room that has results shown (`api.shown`); until then a result is printed as any other object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Writer = Callable[[object], str]
"""A result in one form."""

TEXT, HTML = "text/plain", "text/html"
_writers: dict[str, Writer] = {}


def show_by(writers: Mapping[str, Writer]) -> None:
    """Have every result written by these, by media type."""
    _writers.update(writers)


class Shown:
    """What a result inherits to be shown; its dataclass leaves `repr` to it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _writers[TEXT](self) if TEXT in _writers else object.__repr__(self)

    def _repr_html_(self) -> str | None:
        """The result for a notebook; None where nobody writes HTML."""
        return _writers[HTML](self) if HTML in _writers else None

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """The result in every form that a notebook may choose from."""
        asked = [kind for kind in _writers if include is None or kind in include]
        return {kind: _writers[kind](self) for kind in asked if kind not in (exclude or ())}
