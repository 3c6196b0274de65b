from __future__ import annotations

import csv
import io
import json
import re
import resource
import shutil
import sys

import pytest

from spectra_cli.cli import options
from spectra_cli.render.exports.registry import FILES, TRACKERS
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED

TEXT = ("csv", "jsonl")


def test_the_rows_are_those_of_show_with_more_columns(spectra, place):
    found = spectra("export", "run", "-o", "out/a.csv")
    assert (found.code, found.out) == (0, "")
    shown = list(csv.DictReader(io.StringIO(spectra("show", "run", "--format", "csv").out)))
    with (place / "out" / "a.csv").open(newline="") as file:
        exported = list(csv.DictReader(file))
    assert [{name: row[name] for name in shown[0]} for row in exported] == shown
    more = {"archive", "train_loss", "eval_loss", "probe_loss", "batch_size_tokens", "learning_rate"}
    assert exported[0].keys() - shown[0].keys() == more
    assert re.search(rf"^out/a\.csv: {len(shown)} rows of 1 run, 2 checkpoints", found.err, re.MULTILINE)


@pytest.mark.parametrize("word", TEXT)
def test_text_goes_to_stdout_as_to_a_file(spectra, place, word):
    printed = spectra("export", "run", "-o", "-", "--format", word)
    assert spectra("export", "run", "-o", f"a.{word}").code == printed.code == 0
    assert (place / f"a.{word}").read_text() == printed.out
    assert re.search(r"^stdout: \d+ rows", printed.err, re.MULTILINE)


def test_the_spectra_themselves(spectra, place):
    words = ("--spectra", "--layer", "1", "--measure", "weights", "--step", "4")
    found = spectra("export", "run", "-o", "-", "--format", "jsonl", *words)
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert {(row["layer"], row["measurement"], row["step"]) for row in rows} == {(1, "weight", 4)}
    assert rows[0]["value"] >= rows[1]["value"] > 0


WRONG = {
    "nowhere to go": ((), 2, ("-o FILE", "--to")),
    "two places to go": (("-o", "a.csv", "--to", "wandb", "w.jsonl"), 2, ("-o contradicts --to",)),
    "a tracker and a format": (("--to", "wandb", "a", "--format", "csv"), 2, ("--format contradicts",)),
    "a tracker that is none": (("--to", "mlflow", "a"), 2, ("mlflow", "tensorboard, wandb")),
    "a folder to stdout": (("--to", "tensorboard", "-"), 2, ("TensorBoard",)),
    "spectra to a tracker": (("--to", "wandb", "a", "--spectra"), 2, ("--spectra contradicts --to",)),
    "no format": (("-o", "a"), 2, ("a", ".csv", "--format")),
    "an unknown suffix": (("-o", "a.xlsx"), 2, (".xlsx", ".jsonl")),
    "bytes to a terminal": (("-o", "-", "--format", "npz"), 2, ("npz", "stdout", "-o")),
    "a folder": (("-o", ".", "--format", "csv"), 2, ("folder",)),
    "a folder by its slash": (("-o", "run/"), 2, ("folder",)),
    "a file that is there": (("-o", "old.csv"), 2, ("old.csv", "--overwrite")),
    "a layer that is not there": (("-o", "a.csv", "--layer", "9"), 2, ("run.spectra.h5", "0, 1")),
    "a step that is not there": (("-o", "a.csv", "--step", "3"), 2, ("3", "2, 4")),
    "a statistic that is not there": (("-o", "a.csv", "--statistic", "alpha"), 2, ("alpha", "rankme_cov")),
    "a measurement that is not there": (("-o", "a.csv", "--measure", "weigth"), 2, ("did you mean weight")),
    "statistics of no such measurement": (
        ("-o", "a.csv", "--measure", "weights", "--statistic", "gradient_noise_scale"), 2, ("nothing",)
    ),
    "spectra and statistics": (("-o", "a.csv", "--spectra", "--statistic", "stable_rank"), 2, ("--spectra",)),
    "a damaged archive": (("damaged.spectra.h5", "-o", "a.csv"), 3, ("damaged.spectra.h5",)),
    "an archive twice": (("run.spectra.h5", "-o", "a.csv"), 2, ("same archive",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_exported_is_said_and_leaves_nothing(spectra, place, case):
    (place / "old.csv").write_text("old")
    whole = (place / "run.spectra.h5").read_bytes()
    (place / "damaged.spectra.h5").write_bytes(whole[: len(whole) // 2])
    before = sorted(path.name for path in place.iterdir())
    words, code, mentioned = WRONG[case]
    found = spectra("export", "run", *words)
    assert (found.code, found.out) == (code, "")
    for word in mentioned if isinstance(mentioned, tuple) else (mentioned,):
        assert word in found.err
    assert sorted(path.name for path in place.iterdir()) == before
    assert (place / "old.csv").read_text() == "old"


@pytest.mark.parametrize("word", FILES)
@pytest.mark.parametrize("content", [(), ("--spectra",)], ids=["statistics", "spectra"])
def test_every_format_takes_what_a_scan_measured(spectra, place, word, content):
    needs(*NEEDED.get(word, ()))
    found = spectra("export", "run", "-o", f"a.{word}", *content)
    assert (found.code, found.out) == (0, "")
    assert (place / f"a.{word}").stat().st_size > 0


def test_nothing_is_printed_of_an_empty_selection(spectra, place):
    found = spectra("export", "run", "-o", "-", "--format", "csv", "--layer", "9")
    assert (found.code, found.out) == (2, "")


def test_a_file_is_replaced_when_asked(spectra, place):
    (place / "a.csv").write_text("old")
    assert spectra("export", "run", "-o", "a.csv", "--overwrite").code == 0
    assert (place / "a.csv").read_text().startswith("archive,run,")


def test_an_archive_is_never_replaced_by_its_export(spectra, place):
    shutil.copy(place / "run.spectra.h5", place / "run.csv")
    whole = (place / "run.csv").read_bytes()
    found = spectra("export", "./run.csv", "-o", "run.csv", "--overwrite")
    assert (found.code, (place / "run.csv").read_bytes()) == (2, whole)
    assert "is the archive itself" in found.err


@pytest.fixture
def little_room(monkeypatch):
    """Files of this process end at 5,000 bytes, those that Python compiles apart."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("word", FILES)
def test_a_full_disk_leaves_no_half_file_and_says_so(spectra, place, little_room, word):
    needs(*NEEDED.get(word, ()))
    (place / f"a.{word}").write_text("old")
    before = sorted(place.iterdir())
    found = spectra("export", "run", "-o", f"a.{word}", "--overwrite")
    assert (found.code, found.out) == (3, "")
    assert f"cannot write a.{word}: File too large" in found.err
    assert "Free space there" in found.err
    assert sorted(place.iterdir()) == before
    assert (place / f"a.{word}").read_text() == "old"


@pytest.mark.parametrize("word", TRACKERS)
def test_a_tracker_gets_each_run(spectra, place, write_run, word):
    needs(*NEEDED.get(word, ()))
    write_run(place / "b.spectra.h5", steps=[1, None])
    write_run(place / "c.spectra.h5", steps=[None])
    found = spectra("export", "run", "b.spectra.h5", "--to", word, "there")
    assert (found.code, found.out) == (options.DONE_IN_PART, "")
    assert "left out: nostep of b: " in found.err
    names = {path.relative_to(place).as_posix() for path in place.glob("there/*/*")} or {"there"}
    files = {f"there/{name}/events.out.tfevents.0.spectra" for name in ("run", "b")}
    assert names == (files if word == "tensorboard" else {"there"})
    again = spectra("export", "run", "--to", word, "there")
    assert again.code == 2
    assert re.search(rf"--to {word} there\S* exists; --overwrite replaces it", again.err)
    assert spectra("export", "run", "--to", word, "there", "--overwrite").code == 0
    found = spectra("export", "c.spectra.h5", "--to", word, "elsewhere")
    assert found.code == 2
    assert "goes by steps, and nothing says those of the checkpoints in" in found.err
    assert not (place / "elsewhere").exists()


def test_two_runs_of_one_name_are_told_apart(spectra, place, write_run):
    for folder in ("x", "y"):
        (place / folder).mkdir()
        write_run(place / folder / "a.spectra.h5", steps=[1], digest=folder)
    found = spectra("export", "x/a.spectra.h5", "y/a.spectra.h5", "-o", "-", "--format", "jsonl")
    assert found.code == 0
    assert {json.loads(line)["archive"] for line in found.out.splitlines()} == {"x/a", "y/a"}
