"""An archive whose every text was made to act on terminals and spreadsheets, in every command and form."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import Site, Skipped, Status
from spectra_cli.render.exports.registry import FILES, TRACKERS
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED

EVIL = "=x\x1b[31m\x1b]0;t\x07\x9b2J\u202e\u2066\u200b\x7f[bold]a[/bold]:smile:\r\n\tspectra: done\x85b"
SHOWN = (
    r"=x\x1b[31m\x1b]0;t\x07\x9b2J\u202e\u2066\u200b\x7f[bold]a[/bold]:smile:\x0d\x0a\x09spectra: done\x85b"
)
STEPS = (2, 4, 8, 16, 32)
COMMANDS = [
    ("show", "a"),
    ("show", "a", "--step", "2,32"),
    ("show", "a", "--statistic", "stable_rank,rankme_cov"),
    ("compare", "a", "b", "--align", "step", "--allow", "probe"),
    ("compare", "b", "a", "--align", "tokens", "--taxonomy", "--allow", "probe"),
    ("phases", "a"),
    ("drift", "a"),
    ("report", "a", "--overwrite"),
    ("forecast", "a"),
    ("forecast", "a", "b", "--early-step", "4", "--target-loss", "4.5", "--allow-different-scans"),
    ("validate", "a"),
]


def evil(text: str) -> str:
    """Told apart from others by what it stood for."""
    return f"{EVIL}{text}"


def acts(text: str) -> list[str]:
    categories = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [char for char in text if unicodedata.category(char) in categories and char != "\n"]


@pytest.fixture(scope="module")
def archives(pristine, tmp_path_factory) -> Path:
    """`b`, and `a`: the same with another loss, and evil wherever an archive has text of its own."""
    folder = tmp_path_factory.mktemp("archives")
    (one, *_) = open_archive(pristine / "run.spectra.h5")
    spectra = tuple(s for s in one.spectra if s.site.component in ("resid_post", "mlp.down"))
    for number, name in enumerate("ab"):
        checkpoints = [
            replace(
                one,
                ref=replace(one.ref, run=name, step=step, uri=f"/{name}/checkpoint-{step}"),
                info=replace(
                    one.info, digest=f"{name}{step}", tokens_seen=1000 * step,
                    eval_loss=4.0 + (3.0 + number) / step**0.5,
                ),
                spectra=spectra,
            )
            for step in STEPS
        ]  # fmt: skip
        statement = Statement()
        if name == "a":
            checkpoints = [_spoiled(checkpoint) for checkpoint in checkpoints]
            owed = {f"step128-{EVIL}": evil("files")}
            statement = Statement(
                origins=(evil("/origin"),), waiting=owed, failed=dict.fromkeys(owed, evil("why"))
            )
        write_archive(folder / f"{name}.spectra.h5", checkpoints, statement)
    return folder


def _spoiled(checkpoint):
    info, ref, provenance = checkpoint.info, checkpoint.ref, checkpoint.provenance
    probe = provenance.probe
    further = Site(layer=0, component=evil("site").replace("\n", ""), name=evil("parameter"))
    return replace(
        checkpoint,
        ref=replace(ref, run=evil("run"), uri=evil(ref.uri), format=evil("format"), label=evil("label")),
        info=replace(
            info, family=evil("family"), architecture=evil("architecture"),
            facts={evil("fact"): evil("value")},
            sources={evil("of"): evil("source"), "eval_loss": evil("source")},
            notices=(*info.notices, evil("notice")), fingerprint=evil("fingerprint"),
        ),
        provenance=replace(
            provenance,
            probe=replace(
                probe, source=evil("probe"), format=evil("bin"), notices=(*probe.notices, evil("tokenizer"))
            ),
            versions={**provenance.versions, evil("library"): evil("version")},
            settings={**provenance.settings, evil("setting"): evil("value"), "reference": evil("reference")},
            execution={**provenance.execution, evil("execution"): evil("value")},
        ),
        spectra=(
            *(
                replace(s, unit=evil("unit"), site=replace(s.site, name=evil("name")))
                for s in checkpoint.spectra
            ),
            *(replace(s, unit=evil("unit"), site=further) for s in checkpoint.spectra[:1]),
        ),
        scalars=(
            *checkpoint.scalars,
            replace(
                checkpoint.scalars[0], name=evil("scalar").replace("/", ""), unit=evil("unit"), site=further
            ),
        ),
        skipped=(
            *checkpoint.skipped,
            Skipped(
                measurement=evil("measurement"), site=further, status=Status.UNRESOLVED, reason=evil("reason")
            ),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_text_of_an_archive_acts(archives, spectra, monkeypatch, command):
    monkeypatch.chdir(archives)
    _check_table(spectra(*command), room=100)
    _check_document(spectra(*command, "--json"))
    if command[0] != "validate":
        _check_cells(spectra(*command, "--format", "csv"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in (("FORCE_COLOR", "1"), ("COLUMNS", "80"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    coloured = spectra(*command)
    plain = replace(coloured, out=re.sub(r"\x1b\[[0-9;]*m", "", coloured.out))
    assert plain != coloured
    _check_table(plain, room=80)


@pytest.mark.parametrize("content", [(), ("--spectra",)], ids=["statistics", "spectra"])
def test_no_text_of_an_exported_archive_acts(archives, spectra, monkeypatch, content):
    monkeypatch.chdir(archives)
    _check_cells(spectra("export", "a", "-o", "-", "--format", "csv", *content))
    found = spectra("export", "a", "-o", "-", "--format", "jsonl", *content)
    assert (found.code, acts(found.out + found.err)) == (0, [])
    assert EVIL in "".join(_texts([json.loads(line) for line in found.out.splitlines()]))


@pytest.mark.parametrize("word", [*FILES, *TRACKERS])
def test_every_format_and_tracker_takes_any_text(archives, spectra, monkeypatch, tmp_path, word):
    needs(*NEEDED.get(word, ()))
    monkeypatch.chdir(tmp_path)
    where = ("-o", f"a.{word}") if word in FILES else ("--to", word, "a")
    for content in [()] if word in TRACKERS else [(), ("--spectra",)]:
        found = spectra("export", archives / "a.spectra.h5", *where, *content, "--overwrite")
        assert found.code == 0, found.err
        assert acts(found.err) == []
    assert [path.name.partition(".")[0] for path in tmp_path.iterdir()] == ["a"]


def _check_table(found, room):
    assert found.code == 0, found.err
    assert acts(found.out + found.err) == []
    assert all(len(line) <= room for line in found.out.splitlines())
    assert "".join(SHOWN.split()) in "".join(found.out.split())


def _check_document(found):
    assert (found.code, found.err) == (0, "")
    assert acts(found.out) == []
    assert EVIL in "".join(_texts(json.loads(found.out)))


def _check_cells(found):
    assert found.code == 0
    assert acts(found.out + found.err) == []
    rows = list(csv.reader(io.StringIO(found.out)))
    assert {len(row) for row in rows} == {len(rows[0])}
    for cell in (cell for row in rows for cell in row if cell):
        assert cell[0] not in "=@\t\r＝＋－＠"
        assert cell[0] not in "+-" or float(cell) is not None


def _texts(value):
    if isinstance(value, dict):
        return [text for each in value.items() for part in each for text in _texts(part)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
