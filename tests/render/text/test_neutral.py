from __future__ import annotations

import sys
import unicodedata

import pytest

from spectra_cli.render.text.neutral import for_csv, for_terminal


def test_every_character_that_acts_or_shows_nothing_is_written_out():
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown = for_terminal(chr(code))
            assert shown.startswith("\\")
            assert int(shown[2:], 16) == code


@pytest.mark.parametrize("text", ["α ± 0.1", "模型/checkpoint-1", "é", "[bold]", "a\\b", "", "naïve – run"])
def test_what_is_only_text_stays(text):
    assert for_terminal(text) == text


def test_twice_is_once():
    assert for_terminal(for_terminal("\x1b[0m\u202e")) == for_terminal("\x1b[0m\u202e")


def test_a_line_end_can_be_kept():
    assert for_terminal("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize("first", [*"=+-@＝＋－＠", " =", "\t=", "\r=", "\n="])
def test_no_cell_begins_like_a_formula(first):
    assert for_csv(f"{first}cmd").lstrip()[:1] in ("'", "\\")


def test_other_cells_stay():
    assert [for_csv(text) for text in ("", "run-1", "a=b", "0.5")] == ["", "run-1", "a=b", "0.5"]
