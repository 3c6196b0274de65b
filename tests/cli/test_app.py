"""The command as a whole: help, version, streams, exit codes, start-up cost, documentation."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from docs import generate
from spectra_cli import __version__
from spectra_cli.cli.app import app

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "compare",
    "drift",
    "forecast",
    "phases",
    "plot",
    "report",
    "export",
    "scan",
    "inspect",
    "show",
    "validate",
)
COMMANDS += ("explain", "demo", "study")
ANSI_COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10[0-7])(?:;\d+)*m")
_WITHOUT = """
import sys
refused = set(sys.argv.pop(1).split(","))
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
from spectra_cli.__main__ import main
main()
"""


def commands():
    group: Any = typer.main.get_command(app)
    return group.commands


def test_the_commands_are_these():
    assert set(commands()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_parameter_has_help(name):
    command = commands()[name]
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_on_stdout_and_plain(spectra, words):
    found = spectra(*words)
    assert (found.code, found.err) == (0, "")
    assert "Usage: " in found.out
    assert "\x1b" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())


def test_no_words_at_all_show_the_help(spectra):
    found = spectra()
    assert found.code == 2
    assert "Usage: spectra" in found.out + found.err


def test_the_version(start):
    process = start("--version")
    assert process.communicate() == (f"spectra {__version__}\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["show", "run"],
        ["show", "run", "--json"],
        ["validate", "run"],
        ["drift", "run"],
        ["scan", "--help"],
    ],
)
def test_what_needs_no_model_never_imports_torch(pristine, words):
    _runs_without_torch(words, pristine)


def test_compare_never_imports_torch(tmp_path, write_run):
    for seed, name in enumerate(("a", "b")):
        write_run(
            tmp_path / f"{name}.spectra.h5",
            steps=[0, 10, 20],
            losses=[5.0, 4.0, 3.0],
            exponents=1.0,
            seed=seed,
        )
    _runs_without_torch(["compare", "a.spectra.h5", "b.spectra.h5"], tmp_path)


def test_export_never_imports_torch(pristine):
    words = ["export", "run", "-o", "-", "--format", "csv"]
    _runs_without_torch(words, pristine, says=r"stdout: \d+ rows of 1 run, .*\n")


def _runs_without_torch(words, folder, says=""):
    # what help is made of needs no arrays either, which take a third of its time to import
    refused = "torch,transformers,safetensors,tokenizers" + (",numpy,scipy,h5py" if "--help" in words else "")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, refused, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, bool(re.fullmatch(says, done.stderr))) == (0, True), done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "words",
    [["--nonsense"], ["nonsense"], ["show"], ["show", "a", "b"], ["scan", "--batch-size", "0", "run"]],
)
def test_a_wrong_command_line_is_usage_not_a_traceback(start, words):
    process = start(*words)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "Traceback" not in err
    assert err.startswith("spectra: ")
    assert "--help" in err or "; commands: " in err


@pytest.mark.parametrize(
    "words", [["show", "run"], ["show", "run", "--format", "csv"], ["validate", "run"], ["--help"]]
)
def test_a_reader_that_leaves_is_no_error(start, pristine, words):
    with start(*words, cwd=pristine) as process:
        process.stdout.close()  # before the first line: what `| true` does
        errors = process.stderr.read()
    assert errors == ""
    assert process.returncode in (0, 128 + signal.SIGPIPE)


def on_terminal(words: list[str], cwd: Path, **environment: str) -> str:
    """What a command writes to a terminal of 90 columns."""
    controller, terminal = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "spectra_cli", *words],
        cwd=cwd,
        stdout=terminal,
        stderr=terminal,
        stdin=subprocess.DEVNULL,
        env=variables | {"TERM": "xterm-256color", "COLUMNS": "90"} | environment,
    )
    os.close(terminal)
    seen = b""
    while True:
        try:
            chunk = os.read(controller, 4096)
        except OSError:  # EIO: the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(controller)
    assert process.wait() == 0
    return seen.decode()


@pytest.fixture(scope="module")
def synthetic(pristine, tmp_path_factory) -> Path:
    """The archive of a synthetic probe, whose heading has a warning in colour."""
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import resolve_settings
    from spectra_cli.workflows.scan import scan

    path = tmp_path_factory.mktemp("synthetic") / "s.spectra.h5"
    sizes = {"num_sequences": 4, "num_gradient_sequences": 4, "sequence_length": 8, "num_blocks": 2}
    request = ScanRequest(
        checkpoints=str(pristine / "run" / "checkpoint-2"),
        settings=resolve_settings("default", sizes),
        probe="synthetic",
        output=path,
    )
    scan(request, lambda _: None)
    return path


def test_a_terminal_gets_colour_unless_it_says_no(synthetic):
    coloured = on_terminal(["show", synthetic.name], synthetic.parent)
    assert ANSI_COLOUR.search(coloured)
    assert "synthetic probe" in coloured
    plain = on_terminal(["show", synthetic.name], synthetic.parent, NO_COLOR="1")
    assert not ANSI_COLOUR.search(plain)
    assert "synthetic probe" in plain


def test_a_narrow_terminal_is_not_overrun(synthetic):
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on_terminal(["show", synthetic.name], synthetic.parent))
    assert all(len(line.rstrip()) <= 90 for line in text.splitlines() if "spectra.h5" not in line)


def test_a_terminal_that_knows_no_greek_gets_question_marks(start, pristine):
    process = start("show", "run", cwd=pristine, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "? head" in out


def test_the_reference_page_is_the_one_that_the_commands_generate():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert page == generate.cli_reference(), "run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_page_names_every_command_and_option(name):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert f"spectra {name}" in page
    section = page[page.index(f"spectra {name}") :]
    for parameter in commands()[name].params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("--"):
                assert flag in section, f"{name} {flag} is not on the page"
