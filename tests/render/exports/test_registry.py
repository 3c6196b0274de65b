"""Which format is meant by a name or a word."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.render.exports.registry import FILES, file_target, word_of
from spectra_cli.render.exports.target import FileTarget
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED


@pytest.mark.parametrize("word", FILES)
def test_every_format_is_found_by_suffix_and_by_word(word):
    needs(*NEEDED.get(word, ()))
    assert isinstance(file_target(word), FileTarget)
    assert word_of(Path(f"a.{word}"), None) == word
    assert word_of(Path(f"a.tar.{word.upper()}"), None) == word
    assert word_of(Path("a"), word) == word_of(None, word) == word_of(Path(f"b.{word}"), word) == word


NEEDING = {"parquet": ("pyarrow", "parquet"), "nc": ("h5netcdf", "netcdf")}


@pytest.mark.parametrize("word", FILES)
def test_a_package_that_is_missing_is_named_and_csv_and_npz_need_none(word, monkeypatch):
    needs(*NEEDED.get(word, ()))
    needed = file_target(word).needs
    if word not in NEEDING:
        assert needed is None
        return
    package, extra = NEEDING[word]
    for module in (package, needed[0]):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        UsageError, match=rf"a \.{word} file needs the package {package}.*llm-spectra\[{extra}\]"
    ):
        file_target(word)


def test_the_extras_are_those_of_the_distribution():
    stated = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for word, (package, extra) in NEEDING.items():
        needs(package)
        assert file_target(word).needs[1] == extra
        assert [re.split("[>=]", one)[0] for one in stated["optional-dependencies"][extra]] == [package]


WRONG = {
    "an unknown suffix": (Path("a.xlsx"), None, r"-o a\.xlsx ends in \.xlsx: expected one of \.csv"),
    "a compressed table": (Path("a.csv.gz"), None, r"ends in \.gz"),
    "an archive": (Path("a.spectra.h5"), None, r"ends in \.h5"),
    "a slip": (Path("a.json"), None, r"ends in \.json \(did you mean jsonl\?\)"),
    "no suffix": (Path("a"), None, r"-o a has no suffix: expected"),
    "a dot and no name": (Path(".csv"), None, r"has no suffix"),
    "stdout without a word": (None, None, r"-o - has no suffix to say the format"),
    "an unknown word": (None, "xlsx", r"--format xlsx: expected one of csv"),
    "two formats": (Path("a.csv"), "jsonl", r"--format jsonl contradicts the suffix of a\.csv"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_means_no_format_is_refused(case):
    path, word, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        word_of(path, word)
