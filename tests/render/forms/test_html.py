"""HTML: read by a parser of it, it shows the texts that went in, and no text is an element of it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.render.forms.html import fragment, write
from spectra_cli.render.table import Table, key, line, number
from spectra_cli.render.text.neutral import for_terminal
from tests.builders.every_form import html_texts, output_of

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='x",
    "</td></tr></table><h1>x",
    "<!-- hidden -->",
    "&lt;b&gt; &amp; &#60;",
    "]]> <![CDATA[ x",
    "a\r\rb\x00\x1b[31mred",
    "step\u202e7",
    "<style>*{display:none}</style>",
    "</div></body>",
]


def shown(text: str) -> str:
    return " ".join(for_terminal(text).split())


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_acts_on_html(text):
    table = Table(
        title=text,
        columns=[key(text), number("n")],
        rows=[[text, "1"]],
        notes=[line(text)],
        row_styles={0: "bold"},
    )
    found = html_texts(fragment(output_of(line(text), line((text, "yellow"), " after"), table)))
    word = shown(text)
    assert found == [[word], [f"{word} after"], [word], [word, "n"], [word, "1"], [word]]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(shown))
def test_any_text_is_shown_as_it_is(text):
    table = Table(columns=[key("a"), number("b")], rows=[["", text]])
    assert html_texts(fragment(output_of(line(text), table))) == [
        [shown(text)],
        ["a", "b"],
        ["", shown(text)],
    ]


def test_numbers_stand_to_the_right_and_a_head_breaks_where_it_may():
    text = fragment(output_of(Table(columns=[key("name"), number("α head\n1-10")], rows=[["a", "1±2"]])))
    assert '<td style="text-align:left">a</td>' in text
    assert '<td style="text-align:right;white-space:nowrap">1±2</td>' in text
    assert "α head<br>1-10" in text


def test_a_page_says_how_its_letters_are_written_and_loads_nothing():
    stream = io.StringIO()
    write(output_of(line("α")), stream)
    page = stream.getvalue()
    assert page.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in page
    assert not any(word in page for word in ("<script", "http", "url(", "@import", "src="))
    assert "color:" not in page.replace("color-scheme", "")
