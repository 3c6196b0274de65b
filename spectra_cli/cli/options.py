"""Options that more than one command takes, and how their words become values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from spectra_cli.cli.groups.output import OutputOptions
from spectra_cli.core.errors import UsageError

CheckpointsArgument = Annotated[
    str,
    typer.Argument(
        metavar="CKPT_DIR",
        help="A run folder, one checkpoint, or org/name@revision in the hub's cache.",
    ),
]
ArchiveArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="An archive, or the checkpoint folder that was scanned in this directory."
    ),
]

QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=OutputOptions.panel),
]

_Choice = TypeVar("_Choice", bound=StrEnum)

# Exit code where some checkpoints were left out.
DONE_IN_PART = 4


def ranges(words: str | None, flag: str) -> tuple[range, ...] | None:
    """A list such as `0,3,6-9` as ranges.

    >>> ranges("0,6-9", "--step")
    (range(0, 1), range(6, 10))
    """
    if words is None:
        return None
    found: list[range] = []
    for word in words.split(","):
        first, _, last = word.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError:
            raise UsageError(f"{flag} {words}: {word!r} is not a number or a range such as 6-9") from None
        if not span:
            raise UsageError(f"{flag} {words}: {word!r} runs backwards; write {last}-{first}")
        found.append(span)
    return tuple(found)


def integers(words: str | None, flag: str) -> tuple[int, ...] | None:
    """A list such as `0,3,6-9` as integers.

    >>> integers("0,3,6-9", "--layer")
    (0, 3, 6, 7, 8, 9)
    """
    found = ranges(words, flag)
    return None if found is None else tuple(number for span in found for number in span)


def words(text: str | None) -> tuple[str, ...] | None:
    """A list such as `probe, dtype` as its words.

    >>> words("probe, dtype")
    ('probe', 'dtype')
    """
    return None if text is None else tuple(word for word in text.replace(" ", "").split(",") if word)


def one_of(kind: type[_Choice], word: str, flag: str) -> _Choice:
    """The member that a word names.

    Raises:
        UsageError: there is none.
    """
    try:
        return kind(word)
    except ValueError:
        raise UsageError(f"{flag} {word}: expected one of {', '.join(kind)}") from None
