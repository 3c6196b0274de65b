"""Markdown: read by a parser of it, it shows the texts that went in."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.render.forms.markdown import write
from spectra_cli.render.table import Part, Table, key, line, number
from spectra_cli.render.text.neutral import for_markdown, for_terminal
from tests.builders.every_form import markdown_texts, output_of

HOSTILE = [
    "*a* _b_ `c` ~~d~~ [e](http://f) ![g](h) <b>i</b> &lt; j|k \\",
    "# heading",
    "> quoted",
    "1. first",
    "2) second",
    "- item",
    "+ item",
    "---",
    "===",
    "| a | b |",
    "    code",
    "```",
    "a\r\rb",
    "\x1b[31mred",
    "_a_b_c_",
    "[x]: http://y",
    "<!-- hidden -->",
]


def markdown(*parts: Part) -> str:
    stream = io.StringIO()
    write(output_of(*parts), stream)
    return stream.getvalue()


def shown(text: str) -> str:
    return " ".join(for_terminal(text).split())


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_acts_on_markdown(text):
    table = Table(title=text, columns=[key(text), number("n")], rows=[[text, "1"]], notes=[line(text)])
    found = markdown_texts(markdown(line(text), line((text, "bold"), " after"), table))
    word = shown(text)
    assert found == [[word], [f"{word} after"], [word], [shown(text), "n"], [word, "1"], [word]]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(shown))
def test_any_text_is_shown_as_it_is(text):
    assert markdown_texts(markdown(line(text))) == [[shown(text)]]
    table = Table(columns=[key("a"), number("b")], rows=[["", text]])
    assert markdown_texts(markdown(table)) == [["a", "b"], ["", shown(text)]]


def test_words_with_underscores_stay_readable():
    assert for_markdown("head_exponent_1_10 of rankme_cov") == "head_exponent_1_10 of rankme_cov"


def test_numbers_stand_to_the_right_and_heads_on_one_line():
    text = markdown(Table(title="T", columns=[key("name"), number("α head\n1-10")], rows=[["a", "1±2"]]))
    assert text == "### T\n\n| name | α head 1-10 |\n| --- | ---: |\n| a | 1±2 |\n"


def test_what_hangs_on_a_dash_is_a_list():
    text = markdown(line("- one", hang=2), line(""), line("- none"))
    assert text == "- one\n\n\\- none\n"
