"""Kinds of notices are archived beside their texts, and told from the words of files that have none."""

from __future__ import annotations

from dataclasses import replace

import h5py
import pytest

from spectra_cli.archive.content.notice_kinds import KINDS, kinds_of, with_kinds
from spectra_cli.archive.file.seal import seal
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.notices import Notice, NoticeKind, kind_of

SAID = (Notice(NoticeKind.NON_FINITE_WEIGHTS, "x"), "plain")


def saying(checkpoint, *notices, probe=()):
    told = replace(checkpoint.provenance.probe, notices=tuple(probe))
    return replace(
        checkpoint,
        info=replace(checkpoint.info, notices=notices),
        provenance=replace(checkpoint.provenance, probe=told),
    )


def test_kinds_come_back_from_parts_and_archives(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    foreign = Notice(NoticeKind.FOREIGN_TOKENIZER, "words of its own")
    write_part(path, saying(series[0], *SAID, probe=[foreign]))
    write_part(path, saying(series[1], probe=[foreign]))
    for opened in (open_archive(path), open_archive(consolidate(path))):
        first, second = (info.notices for info in opened.infos)
        assert (first, second) == (SAID, ())
        assert list(map(kind_of, first)) == [NoticeKind.NON_FINITE_WEIGHTS, NoticeKind.OTHER]
        assert list(map(kind_of, opened.provenance.probe.notices)) == [NoticeKind.FOREIGN_TOKENIZER]


def test_without_a_kind_nothing_is_written_of_kinds(tmp_path, series):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, [saying(series[0], "plain", probe=["also"])])
    with h5py.File(path) as file:
        assert not [name for name in (*file, *file.attrs) if KINDS in name]


@pytest.mark.parametrize("where", ["column", "attribute"])
def test_a_changed_kind_is_damage(tmp_path, series, where):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, [saying(series[0], *SAID, probe=SAID)])
    changed = '["taken_over","other"]'
    with h5py.File(path, "r+") as file:
        if where == "column":
            file[KINDS][0] = changed
        else:
            file.attrs[f"probe_{KINDS}"] = changed
    seal(path)
    with pytest.raises(ArchiveError, match="does not match its digest"):
        open_archive(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("tokens seen unknown: no arguments that give the tokens of one step", NoticeKind.TOKENS_UNKNOWN),
        ("tokens seen from the revision's name, which rounds them", NoticeKind.TOKENS_ROUNDED),
        ("step5: non-finite weights: lm_head.weight (1 of 1024)", NoticeKind.NON_FINITE_WEIGHTS),
        ("step5: probe loss 9.00 is above that of uniform guesses, ln 9 = 2.20", NoticeKind.ABOVE_UNIFORM),
        ("the probe was tokenised by a, which is not the checkpoint's own tokenizer, b",
         NoticeKind.FOREIGN_TOKENIZER),
        ("step5 holds the tensors of step4: its numbers were taken over", NoticeKind.TAKEN_OVER),
        ("base: tokens seen unknown", NoticeKind.OTHER),
    ],
)  # fmt: skip
def test_texts_of_older_files_say_their_kind(text, kind):
    (notice,) = with_kinds([text], [])
    assert (notice, kind_of(notice)) == (text, kind)
    assert kinds_of([notice]) == ([] if kind is NoticeKind.OTHER else [kind])


@pytest.mark.parametrize("kinds", [["other"], ["other", "no kind"]])
def test_kinds_that_are_none_are_refused(kinds):
    with pytest.raises(ValueError, match=r"longer|no kind"):
        with_kinds(["a", "b"], kinds)
