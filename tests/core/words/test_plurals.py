"""Counts agree with what is counted, wherever a sentence has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spectra_cli
from spectra_cli.core.words.plurals import agreed, counted


@pytest.mark.parametrize("number", [0, 2, 21])
def test_all_but_one_are_several(number):
    assert counted(number, "layer") == f"{number} layers"
    assert agreed(number, "has", "have") == "have"


def test_one_is_one():
    assert counted(1, "matrix", "matrices") == "1 matrix"
    assert agreed(1, "has", "have") == "has"


def test_no_sentence_leaves_the_number_to_the_reader():
    files = Path(spectra_cli.__file__).parent.rglob("*.py")
    left = re.compile(r" [a-z]{3,}\(s\)[ ,;:.]")
    assert [f"{file}: {words}" for file in files for words in left.findall(file.read_text())] == []
