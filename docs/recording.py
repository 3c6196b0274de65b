"""A recording of a terminal as one SVG: a scene a command, one after the other, without end.

Nothing is fetched, and the same outputs give the same bytes: times, which no two runs measure alike, are
written as N.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

WIDTH = 100
_SECONDS_A_SCENE = 9
_TIME = re.compile(r"\d+(?:\.\d+)? (s|min|h)\b")
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def recording(scenes: Sequence[tuple[str, str]], *, title: str) -> str:
    """The SVG of commands and of what each printed, with its colours as a terminal is told of them.

    Args:
        scenes: command line and output.
    """
    drawn = [_scene(f"scene-{place}", *scene, title=title) for place, scene in enumerate(scenes)]
    found = [_SIZE.search(one) for one in drawn]
    sizes = [(float(match[1]), float(match[2])) for match in found if match]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    shown, turn = 100 / len(drawn), len(drawn) * _SECONDS_A_SCENE
    rules = "".join(
        f"#scene-{place} {{ animation-delay: {place * _SECONDS_A_SCENE}s }}\n" for place in range(len(drawn))
    )
    inner = "".join(
        f'<g id="scene-{place}" class="scene">'
        + one.replace("<svg ", f'<svg width="{w:g}" height="{h:g}" ', 1)
        + "</g>\n"
        for place, (one, (w, h)) in enumerate(zip(drawn, sizes, strict=True))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">\n<style>\n'
        f"@keyframes turn {{ 0%, {shown:.3f}% {{ visibility: visible }} "
        f"{shown + 0.001:.3f}%, 100% {{ visibility: hidden }} }}\n"
        f".scene {{ visibility: hidden; animation: turn {turn}s step-end infinite }}\n"
        f"{rules}"
        "@media (prefers-reduced-motion: reduce) { .scene { animation: none } "
        f"#scene-{len(drawn) - 1} {{ visibility: visible }} }}\n"
        f"</style>\n{inner}</svg>\n"
    )


def _scene(name: str, command: str, output: str, *, title: str) -> str:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold green"))
    console.print(Text.from_ansi(_TIME.sub(r"N \1", output).rstrip()))
    return _FONT.sub("", console.export_svg(title=title, unique_id=f"{name}-text"))
