"""The page: one file with its style, its script, its library and its numbers, and nothing from outside.

No text that comes from an archive is ever markup or script: Python escapes what it writes, the numbers are
JSON in which `<` is written out, and the page's own policy lets run nothing but the scripts hashed here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from spectra_cli.analysis.run import Run, notices_of
from spectra_cli.core.measurements import measurement_words
from spectra_cli.render.report.answer import Sentence
from spectra_cli.render.report.as_json import document
from spectra_cli.render.report.contents import Contents, Section
from spectra_cli.render.report.provenance import SETTINGS_FILE, facts, scan_command, settings_toml
from spectra_cli.render.text.neutral import for_terminal

# in this order: each uses what those before it define
_SCRIPTS = ("numbers", "table", "panels", "measured", "spectra", "training", "page")
_LIBRARY = "echarts.min.js"
_GENERATOR = '<meta name="generator" content="spectra'
_HEAD_BYTES = 2048


def page(contents: Contents, *, command: str) -> str:
    """The whole file.

    Args:
        command: that writes it again.
    """
    library, script, style = _held(_LIBRARY), _script(), _held("page/page.css")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashed(library)} {_hashed(script)}",
            f"style-src {_hashed(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    numbers = json.dumps(document(contents), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'{_GENERATOR} {escape(version("llm-spectra"))}">',
            f"<title>{_text(contents.question)} - spectra</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            *_body(contents, command),
            f'<script type="application/json" id="data">{_inert(numbers)}</script>',
            f"<script>{library}</script>",
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def is_page(path: Path) -> bool:
    """Whether a file is such a page, and so may be replaced by another."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return _GENERATOR.encode() in stream.read(_HEAD_BYTES)


def _body(contents: Contents, command: str) -> Iterator[str]:
    runs = [one.run for one in contents.runs]
    parts = [("spectra", "Spectra"), ("training", "Over training")] if _has_spectra(contents) else []
    named = [(_anchor(contents.sections, place), one.title) for place, one in enumerate(contents.sections)]
    parts = [*(one for one in named if one[0] == "compare"), *parts]
    parts += [one for one in named if one[0] != "compare"]
    parts += [("checkpoints", "Checkpoints"), ("provenance", "How it was measured")]
    yield '<a class="skip" href="#main">Skip to the figures</a>'
    yield "<header>"
    yield f"<h1>{_text(contents.question)}</h1>"
    yield f'<p class="subtitle">{_text(_subtitle(runs))}</p>'
    yield from _answer(contents.answer, {name for name, _ in parts})
    yield "<noscript><p><strong>The figures and tables below need JavaScript.</strong></p></noscript>"
    yield '<nav aria-label="Figures"><ul>'
    yield from (f'<li><a href="#{name}">{_text(title)}</a></li>' for name, title in parts)
    yield "</ul></nav></header>"
    yield '<main id="main" tabindex="-1">'
    for name, title in parts:
        yield f'<section id="{name}" aria-labelledby="{name}-head"><h2 id="{name}-head">{_text(title)}</h2>'
        yield from _inside(contents, name, runs, command)
        yield "</section>"
    yield "</main>"
    yield (
        f"<footer><p>Written by spectra {escape(version('llm-spectra'))}. Nothing is fetched: the page "
        "holds all it shows, and the chart library Apache ECharts (Apache License 2.0).</p></footer>"
    )


def _inside(contents: Contents, name: str, runs: Sequence[Run], command: str) -> Iterator[str]:
    if name in ("spectra", "training", "checkpoints"):
        yield f'<div id="{name}-body"></div>'
        if name == "spectra":
            yield from _paragraphs("note", _left_out(contents))
        return
    if name == "provenance":
        yield from _provenance(runs, command)
        return
    for place, one in enumerate(contents.sections):
        if _anchor(contents.sections, place) == name:
            yield from _section(place, one)


def _section(place: int, one: Section) -> Iterator[str]:
    if one.figure is not None:
        yield f"<h3>{_text(one.figure.title)}</h3>"
    file = f"{one.name}.csv"
    yield f'<div id="section-{place}" data-title="{_text(one.title)}" data-file="{file}">'
    if one.figure is None:
        yield f'<p class="note">Not drawn: {_text(one.reason)}</p>'
    else:
        yield f'<p class="caption">{_text(one.figure.words)}</p>'
    yield "</div>"
    told = one.figure.words.lower() if one.figure is not None else ""
    # what a caption says already is not said twice
    yield from _paragraphs("note", (words for words in one.notices if words.rstrip(".").lower() not in told))


def _answer(answer: Sequence[Sentence], anchors: set[str]) -> Iterator[str]:
    for caveats, kind in ((False, "answer"), (True, "caveats")):
        told = [one for one in answer if one.is_caveat == caveats]
        if told:
            label = ' aria-label="What limits the reading"' if caveats else ' aria-label="Answer"'
            yield f'<ul class="{kind}"{label}>'
            yield from (f"<li>{_linked(one, anchors)}</li>" for one in told)
            yield "</ul>"


def _linked(one: Sentence, anchors: set[str]) -> str:
    if one.section not in anchors:
        return _text(one.text)
    return f'<a href="#{one.section}">{_text(one.text)}</a>'


def _subtitle(runs: Sequence[Run]) -> str:
    probe = runs[0].series.provenance.probe
    many = f"{sum(len(run.series) for run in runs)} checkpoints"
    names = ", ".join(f"{run.name} ({run.infos[-1].architecture or run.infos[-1].family})" for run in runs)
    return (
        f"{names}; {many}; probe of {probe.num_sequences} sequences of {probe.sequence_length} tokens. "
        "± is one standard error."
    )


def _left_out(contents: Contents) -> Iterator[str]:
    for one in contents.runs:
        if one.left_out:
            names = ", ".join(map(measurement_words, one.left_out))
            yield f"{one.run.name} also holds {names}, not shown here: spectra export --spectra writes them."


def _provenance(runs: Sequence[Run], command: str) -> Iterator[str]:
    for run in runs:
        if len(runs) > 1:
            yield f"<h3>{_text(run.name)}</h3>"
        yield '<dl class="facts">'
        yield from (f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts(run))
        yield "</dl>"
        yield from _paragraphs("note", notices_of([run]))
        if again := scan_command(run):
            yield f"<p>To measure it again, with these settings as <code>{SETTINGS_FILE}</code>:</p>"
            yield f"<pre>{_text(again)}</pre>"
        else:
            yield "<p>Its tokens were in the memory of a program: no command repeats the scan.</p>"
        yield f"<details><summary>{SETTINGS_FILE}</summary>"
        yield f"<pre>{_text(settings_toml(run.series.provenance.settings), keep=chr(10))}</pre></details>"
    yield "<p>To write this page again:</p>"
    yield f"<pre>{_text(command)}</pre>"


def _paragraphs(kind: str, told: Iterable[str]) -> Iterator[str]:
    for words in dict.fromkeys(told):
        yield f'<p class="{kind}">{_text(words.rstrip("."))}.</p>'


def _has_spectra(contents: Contents) -> bool:
    return any(one.measured for one in contents.runs)


def _anchor(sections: Sequence[Section], place: int) -> str:
    """The part of the page that a section stands in: its name, numbered from the second of that name on."""
    before = sum(one.name == sections[place].name for one in sections[:place])
    return f"{sections[place].name}-{before + 1}" if before else sections[place].name


def _text(words: str, *, keep: str = "") -> str:
    """Text that is shown as it is: nothing in it is markup, or acts on the line around it."""
    return escape(for_terminal(words, keep=keep), quote=True)


def _inert(held: str) -> str:
    """JSON that cannot end the element it stands in."""
    return held.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script() -> str:
    parts = "\n".join(_held(f"page/{name}.js") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();'


@cache
def _held(name: str) -> str:
    return files("spectra_cli.render.report").joinpath("static", name).read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
