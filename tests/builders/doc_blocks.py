"""The blocks of code on the pages of the documentation, and which of them say why they are not run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
SHELLS = ("console", "bash", "sh")
# what no command is: outputs, files of settings, trees
DATA = ("", "text", "toml", "json")
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_NO_BLOCK = re.compile(r"^<!-- no block of this page is run: (.+) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path from the root; line: of its fence, from 1.
        language: of the fence; text: what it holds.
        reason: why it is not run; empty where it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Command lines of a shell's block: those after `$` of a console, all lines of a script."""
        if self.language == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text()
    of_page = _NO_BLOCK.search(text)
    for found in _BLOCK.finditer(text):
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            text=found["text"],
            reason=found["reason"] or (of_page[1] if of_page else ""),
        )


def arguments(command: str) -> list[str]:
    """Words of the first command of a pipe, without its redirection."""
    words = shlex.split(command, comments=True)
    ends = [position for position, word in enumerate(words) if word in ("|", ">")]
    return words[: min(ends, default=len(words))]
