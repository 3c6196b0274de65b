"""Every command line and every block of Python of the documentation is run, or says why it is not."""

from __future__ import annotations

import dataclasses
import glob
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from spectra_cli.cli.app import app
from tests.builders.doc_blocks import DATA, PAGES, ROOT, SHELLS, Block, arguments, blocks_of
from tests.builders.docs_folder import SIZES, entered

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [block for block in BLOCKS if not block.reason]
LINES = [(block, line) for block in RUN if block.language in SHELLS for line in block.commands]
SPECTRA = [(block, arguments(line)) for block, line in LINES if line.startswith("spectra ")]

# page -> the test that runs its console, in the order of the page
CONSOLE_RUN_BY: Mapping[str, str] = {
    "docs/tutorial/first-scan.md": (
        "tests/docs/test_transcripts.py::test_recorded_outputs_say_what_is_printed"
    ),
    "docs/how-to/export.md": "tests/docs/test_export_page.py::test_every_snippet_of_the_page_runs",
}
# page -> the test that runs its blocks of Python
PYTHON_RUN_BY: Mapping[str, str] = {
    "docs/how-to/export.md": "tests/docs/test_export_page.py::test_every_snippet_of_the_page_runs",
    "docs/how-to/extend.md": "tests/docs/test_docs.py::test_the_example_of_a_statistic_runs",
    "docs/how-to/read-an-archive.md": "tests/docs/test_docs.py::test_the_snippets_for_reading_an_archive_run",
    "docs/how-to/use-from-python.md": "tests/docs/test_docs.py::test_the_snippets_for_python_run",
    "docs/how-to/scan-while-training.md": "tests/docs/test_docs.py::test_the_snippets_for_a_training_run",
    "docs/how-to/scan-your-own-model.md": (
        "tests/extract/models/custom/test_family.py::test_the_documented_example_works"
    ),
}
# first word of a line -> why it is run by no test
NOT_RUN: Mapping[str, str] = {
    "make": "it makes an environment of its own; .ci/run calls the targets",
    ".": "it enters the environment that make has made",
    "git": "it needs the network",
    "cd": "it enters what git has fetched",
    "pip": "it installs packages; CI does",
}
_READS_CHECKPOINTS = ("scan", "inspect")


def _is_run_elsewhere(block: Block) -> bool:
    return block.language == "console" and block.page in CONSOLE_RUN_BY


def _of(commands: tuple[str, ...], *, others: bool = False) -> list[Any]:
    """Command lines to run here, each once."""
    found = {
        tuple(words): block
        for block, words in SPECTRA
        if (words[1] in commands) is not others
        and not _is_run_elsewhere(block)
        and not block.text.startswith("#!")
    }
    return [pytest.param(words, id=f"{block} {' '.join(words)}") for words, block in found.items()]


SCANS, OVER_ARCHIVES = _of(_READS_CHECKPOINTS), _of(_READS_CHECKPOINTS, others=True)
SCRIPTS = [pytest.param(block, id=str(block)) for block in RUN if block.text.startswith("#!")]
PYTHON = [
    pytest.param(block, id=str(block))
    for block in RUN
    if block.language == "python" and block.page not in PYTHON_RUN_BY
]


# ----------------------------------------------------------------------------- nothing is left out


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in BLOCKS])
def test_a_block_is_run_or_says_why_not(block):
    assert block.language in (*DATA, *SHELLS, "python") or block.reason, "run it, or say why not above it"
    if block.language not in SHELLS or block.reason or block.text.startswith("#!"):
        return
    assert block.commands
    for line in block.commands:
        first = line.split()[0]
        known = first in ("spectra", *NOT_RUN) or _is_run_elsewhere(block)
        assert known, f"nothing runs `{line}`: say above the block why not"


@pytest.mark.parametrize(
    ("language", "text"), [("sh", "sbatch scan.sh\n"), ("julia", "x = 1\n"), ("console", "a\n")]
)
def test_a_block_that_nothing_runs_is_noticed(language, text):
    block = Block(page="docs/how-to/new.md", line=1, language=language, text=text, reason="")
    with pytest.raises(AssertionError):
        test_a_block_is_run_or_says_why_not(block)
    test_a_block_is_run_or_says_why_not(dataclasses.replace(block, reason="it needs a cluster"))


def test_what_is_run_elsewhere_is_run_there():
    for page, test in [*CONSOLE_RUN_BY.items(), *PYTHON_RUN_BY.items()]:
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text()
        assert f"def {name}(" in text
        assert Path(page).name in text or path.endswith("test_transcripts.py")
        assert any(block.page == page for block in RUN)


@pytest.mark.parametrize(
    ("text", "language", "reason", "commands"),
    [
        ("```console\n$ spectra show a\na table\n```", "console", "", ["spectra show a"]),
        ("<!-- not run: it needs R -->\n```r\nx <- 1\n```", "r", "it needs R", ["x <- 1"]),
        ("```sh\n# a comment\nspectra scan a \\\n  --quiet\n```", "sh", "", ["spectra scan a    --quiet"]),
        ("<!-- not run: far away -->\n\n```sh\nmake\n```", "sh", "", ["make"]),
    ],
)
def test_blocks_are_found_with_their_reasons(text, language, reason, commands, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.builders.doc_blocks.ROOT", tmp_path)
    (tmp_path / "a.md").write_text(f"# A page\n\n{text}\n")
    (block,) = blocks_of(tmp_path / "a.md")
    assert (block.language, block.reason, block.commands) == (language, reason, commands)


# ----------------------------------------------------------------------------- command lines


@pytest.mark.parametrize(
    "command", [pytest.param(words, id=f"{block} {' '.join(words)}") for block, words in SPECTRA]
)
def test_command_lines_parse(command):
    group: Any = typer.main.get_command(app)
    name, words = command[1], command[2:]
    with group.commands[name].make_context(f"spectra {name}", list(words)):
        pass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare a b --no-such-option", "No such option"),
        ("phases", "Missing parameter"),
        ("compare a b --points many", "valid integer"),
    ],
)
def test_a_command_line_that_does_not_parse_is_noticed(words, message):
    with pytest.raises(Exception, match=message):
        test_command_lines_parse(["spectra", *words.split()])


@pytest.mark.parametrize("command", OVER_ARCHIVES)
def test_every_command_over_archives_works(command, planted, tmp_path, monkeypatch):
    here = entered(planted, tmp_path / "here")
    monkeypatch.chdir(here)
    before = set(here.iterdir())
    words = [found for word in command[1:] for found in sorted(glob.glob(word)) or [word]]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.stdout or set(here.iterdir()) - before
    assert max(map(len, result.stdout.splitlines()), default=0) <= 100 or "csv" in words


@pytest.mark.parametrize("command", SCANS)
def test_every_scan_works(command, checkpoints, tmp_path, monkeypatch):
    """As it stands, but for sizes; a run of the hub comes from a cache of its own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(checkpoints / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.syspath_prepend(str(checkpoints))
    here = entered(checkpoints, tmp_path / "here")
    monkeypatch.chdir(here)
    result = CliRunner().invoke(app, [*command[1:], *SIZES], catch_exceptions=False)
    for module in ("my_run", "my_model"):
        sys.modules.pop(module, None)
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert bool(list(here.glob("*.spectra.h5"))) is (command[1] == "scan")


@pytest.mark.parametrize("block", SCRIPTS)
def test_every_script_works(block, checkpoints, tmp_path):
    """As the first task of an array; `spectra` is this checkout's, with the sizes of the tests."""
    here = entered(checkpoints, tmp_path / "here")
    program = tmp_path / "bin" / "spectra"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m spectra_cli "$@" {shlex.join(SIZES)}\n'
    )
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_ARRAY_TASK_ID": "500",
        "SLURM_CPUS_PER_TASK": "1",
    }
    done = subprocess.run(
        ["bash", "-c", block.text], cwd=here, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert list(here.glob("*.spectra.h5"))


# ----------------------------------------------------------------------------- Python


@pytest.mark.parametrize("block", PYTHON)
def test_every_block_of_python_runs(block: Block, planted, tiny_demo, tmp_path, monkeypatch):
    """Between names that the text around it gives: a trainer, a probe, the path of an archive."""
    monkeypatch.chdir(entered(planted, tmp_path / "here"))
    names: dict[str, Any] = {
        "path": tiny_demo / "spectra-demo" / "adamw.spectra.h5",
        "trainer": SimpleNamespace(add_callback=lambda callback: callback.on_step_end),
        "probe": np.zeros((16, 17), dtype=np.int64),
    }
    before = [one for one in RUN if one.page == block.page and one.line < block.line]
    for earlier in [one for one in before if one.language == "python"] + [block]:
        exec(earlier.text, names)  # noqa: S102 - the page's own code
