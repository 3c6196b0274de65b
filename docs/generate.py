"""Writes the generated pages of the documentation; `make docs` runs it.

    python docs/generate.py             pages, then samples of known spectra, then the recordings of
                                        spectra-demo/ (made if missing)
    python docs/generate.py --pages     only what follows from the code alone, in seconds

The pages are compared with the code by tests/docs/test_docs.py. Recordings are true outputs of the
commands shown; their last digits may differ on another machine, so that no test compares them.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer
from typer.testing import CliRunner

from docs.python_reference import python_reference
from docs.recording import WIDTH, recording
from docs.sections import with_section
from docs.statistic_pages import pages_from_code, write_finite_samples
from spectra_cli.cli.app import app
from spectra_cli.core.error_pages import PAGES
from spectra_cli.core.errors import exit_codes
from spectra_cli.core.settings import PRESETS, ScanSettings
from spectra_cli.core.types import Site, Spectrum, SpectrumKind
from spectra_cli.extract.checkpoints.registry import FORMATS
from spectra_cli.extract.models.registry import FAMILIES
from spectra_cli.extract.probes.registry import PROBES
from spectra_cli.render.exports import columns as columns_of_exports
from spectra_cli.render.exports.arrays import cell_of, group_of
from spectra_cli.render.tidy import TidyColumn

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_COVERAGE = tomllib.loads((DOCS / "coverage.toml").read_text())
COVERAGE: Mapping[str, list[str]] = _COVERAGE["formats"]
COVERAGE_TEST: str = _COVERAGE["test"]
DEMO = ROOT / "spectra-demo"
PICTURE = DOCS / "pictures" / "scan.svg"
# picture -> the command that draws it, of the demo's archives
PLOTS: Mapping[str, str] = {
    "spectrum.png": "spectra plot spectrum spectra-demo/adamw.spectra.h5 -o spectrum.png --overwrite",
    "compare.png": (
        "spectra plot compare spectra-demo/adamw.spectra.h5 spectra-demo/muon.spectra.h5 -o compare.png "
        "--overwrite"
    ),
}
README = ROOT / "README.md"
ARCHITECTURE = DOCS / "explanation" / "architecture.md"
# the command whose first finding the README quotes
ANSWER_COMMAND = "spectra compare spectra-demo/adamw.spectra.h5 spectra-demo/muon.spectra.h5"
# the commands of the recording, over the demo's folders
RECORDED = (
    "spectra scan spectra-demo/muon --probe spectra-demo/muon/probe.npy -T 32 --sequences 2048",
    "spectra show spectra-demo/adamw.spectra.h5 --statistic rankme_cov,head_exponent_1_10 --plot",
    ANSWER_COMMAND,
)
TRANSCRIPTS = (DOCS / "tutorial" / "first-scan.md",)
_NOTE = "<!-- Written by docs/generate.py: change the code, then run `make docs`. -->\n\n"


def main() -> None:
    """Write every generated file."""
    for path, text in generated_pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
    if "--pages" in sys.argv[1:]:
        return
    write_finite_samples()
    if not DEMO.is_dir():
        _run("spectra demo --output spectra-demo", cwd=ROOT)
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(DEMO, Path(folder) / DEMO.name)
        for page in TRANSCRIPTS:
            page.write_text(with_true_outputs(page.read_text(), Path(folder)))
            print(f"wrote {page.relative_to(ROOT)}")
        answer = first_finding(printed_by(ANSWER_COMMAND, Path(folder)))
        README.write_text(with_section(README.read_text(), "answer", answer))
        _record_picture(Path(folder))
        for name, command in PLOTS.items():
            _run(command, cwd=Path(folder))
            shutil.copy(Path(folder) / name, PICTURE.parent / name)
            print(f"wrote docs/pictures/{name}")


def generated_pages() -> Mapping[Path, str]:
    """Path -> text of every page that follows from the code."""
    return {
        DOCS / "reference" / "cli.md": cli_reference(),
        **pages_from_code(),
        DOCS / "reference" / "settings.md": settings_reference(),
        DOCS / "reference" / "formats.md": formats_reference(),
        DOCS / "reference" / "export.md": export_reference(),
        DOCS / "reference" / "errors.md": errors_reference(),
        DOCS / "reference" / "python.md": _NOTE + python_reference(),
        ARCHITECTURE: with_section(ARCHITECTURE.read_text(), "rooms", _rooms()),
    }


# ----------------------------------------------------------------------------- pages from the code


_HOW_TABLES_ARE_PRINTED = """\
Tables and sentences are as wide as the terminal, from 60 columns on, and 100 columns wide in a
pipe or a file. No number, step or name is cut: a table that is too wide says which columns it
leaves out, or stands in parts with its first columns repeated; of a long series of checkpoints it
shows the first, the last and some evenly between. `--format csv` and `--json` hold everything;
`--format markdown` has the tables with all their columns, for an issue or a pull request,
`--format html` the same as a page.

Control characters, bidirectional marks and other characters without a picture are written out
(`\\x1b`) on the terminal, in CSV, Markdown and HTML; a CSV cell that begins like a formula (`=`,
`+`, `-`, `@`) has an apostrophe before it. JSON is exact.
"""


def cli_reference() -> str:
    """The help of every command, as it is printed 100 columns wide."""
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    parts = [_NOTE + "# Commands\n", _HOW_TABLES_ARE_PRINTED, "```text\n" + _help() + "```\n"]
    for name in names:
        parts.append(f"## spectra {name}\n")
        parts.append("```text\n" + _help(name) + "```\n")
    return "\n".join(parts)


def _help(*command: str) -> str:
    result = CliRunner().invoke(
        app, [*command, "--help"], prog_name="spectra", terminal_width=WIDTH, max_content_width=WIDTH
    )
    return "\n".join(line.rstrip() for line in result.output.splitlines()) + "\n"


def settings_reference() -> str:
    """Every setting that the numbers depend on, in each preset."""
    settings = [preset.as_json() for preset in PRESETS.values()]
    scan = typer.main.get_command(app).commands["scan"]  # type: ignore[attr-defined]
    options = {option.name: f"`{max(option.opts, key=len)}`" for option in scan.params}
    rows = [
        [
            f"`{name}`",
            options.get(name, f"`--set scan.{name}`"),
            *(_value(one[name]) for one in settings),
            stated.metadata["words"],
        ]
        for name, stated in ScanSettings.__dataclass_fields__.items()
        if name != "preset"
    ]
    table = _table(["setting", "option", *(f"`{name}`" for name in PRESETS), "what it means"], rows)
    return (
        _NOTE
        + "# Settings and presets\n\n"
        + "A setting is called the same in a [run file](../how-to/write-a-run-file.md), behind `--set scan.` "
        + "(`--set scan.pool=last`), in Python and in the archive's attribute `settings`. `paper-d12` is "
        + "layers 0, 3, 6, 9 and 11.\n\n"
        + table
        + "\nDevice, memory and batch size are no settings: they change the numbers by rounding only.\n"
    )


def formats_reference() -> str:
    """Format by family: where a test scans a checkpoint of its writer and compares all that is measured."""
    rows = [
        [f"`{family}`", *("yes" if family in COVERAGE[name] else "" for name in FORMATS)]
        for family in FAMILIES
    ]
    probes = [
        [f"`{name}`", ", ".join(f"`{s}`" for s in source.suffixes), source.summary]
        for name, source in PROBES.items()
    ]
    return (
        _NOTE
        + "# What it reads: formats, families, probes\n\n"
        + _table(["format", "what is found"], _summaries(FORMATS))
        + "\n"
        + _table(["family", "architectures"], _summaries(FAMILIES))
        + "\nAn architecture that is scanned through `generic` is announced as such. Whatever the family, a "
        + "scan first compares the gradients seen through its taps with autograd's on one sequence. If they "
        + "differ it stops, or, for `generic`, leaves that matrix's gradients out and says so. Pickles are "
        + "loaded weights-only, with an allow-list of harmless types; anything else is refused by name.\n\n"
        + _table(["probe format", "suffix", "what it reads"], probes)
        + "\n## Which pairs are tested\n\n"
        + "*Yes* where a test builds such a checkpoint with the library that writes it, or by the writer's "
        + "own layout and equations, scans it, and compares with the writer's model in float64, one sequence "
        + "at a time: logits to 1e-5, covariance eigenvalues, singular values of per-sequence gradients and "
        + "of weights. Others are read by the same code wherever the tensors have a family's names, and have "
        + "not been tried. DeepSpeed's shards are read only after its own converter.\n\n"
        + _table(["family", *(f"`{name}`" for name in FORMATS)], rows)
        + f"\nThe test of a cell is `{COVERAGE_TEST}[FORMAT-FAMILY]`; variants of a family have its name "
        + "behind (`[huggingface-falcon-falcon-40b]`, `[gguf-llama-Q8_0]`).\n"
    )


def errors_reference() -> str:
    """Every family of errors: what it means, and what to do."""
    codes = exit_codes()
    head = (
        "The last line of each error on stderr is `more: spectra explain CODE`; that command prints the "
        "section of this page, offline. `spectra explain` lists the codes, and `--json` is for programs. In "
        "Python every error is a `spectra_cli.SpectraError`, whose `code` and `exit_code` are these. Exit "
        "codes: 0 done; 1 a gate was crossed (no command has one yet); 2 usage; 3 data or model error; 4 "
        "done in part (`--on-error skip` left checkpoints out); 130 interrupted; 143 ended by SIGTERM.\n"
    )
    parts = [
        _NOTE + "# Errors\n",
        head,
        _table(
            ["code", "what it is", "exit code"],
            [[f"[`{code}`](#{code})", page.title, str(codes[code])] for code, page in PAGES.items()],
        ),
    ]
    for code, page in PAGES.items():
        parts.append(f"## {code}\n")
        parts.append(f"{page.title}. {page.meaning}\n")
        parts.append("".join(f"- {remedy}\n" for remedy in page.remedies))
    return "\n".join(parts)


def export_reference() -> str:
    """The columns of exported tables."""

    def columns(of: tuple[TidyColumn, ...]) -> str:
        kinds = {str: "text", int: "integer", float: "float64"}
        cells = [[f"`{each.name}`", kinds[each.kind], each.unit, each.meaning] for each in of]
        return _table(["column", "type", "unit", "meaning"], cells)

    return (
        _NOTE
        + "# Columns of an export\n\n"
        + "What `spectra export` writes; [how to](../how-to/export.md). A missing number is an empty cell in "
        + "CSV, `null` in JSON Lines and Parquet; in NetCDF and .npz NaN, or -1 for an integer, which "
        + "NetCDF states as `_FillValue`.\n\n"
        + "## Statistics\n\nA row a checkpoint, site and statistic, and one without a `statistic` for each "
        + "site that was asked for and not measured.\n\n"
        + columns(columns_of_exports.STATISTICS)
        + "\n## Spectra\n\nWith `--spectra`: a row a checkpoint, site and rank, and one without a `rank` for "
        + "each site that was asked for and not measured.\n\n"
        + columns(columns_of_exports.SPECTRA)
        + "\n## Arrays of spectra\n\n`.nc` and `.npz` with `--spectra`: for each measurement, as a group or "
        + "before a dot, along `checkpoint`, `site` and `rank`, padded with NaN.\n\n"
        + _arrays_of_spectra()
    )


def _arrays_of_spectra() -> str:
    """Names, dimensions and meanings, of the arrays that one spectrum makes."""
    one = Spectrum(
        site=Site.parse("embed"),
        measurement="activation_covariance",
        kind=SpectrumKind.EIGENVALUES,
        values=np.ones(1),
        num_samples=1,
        ambient_dim=1,
        centered=True,
        unit="",
    )
    nothing = {each.name: "" if each.kind is str else None for each in columns_of_exports.OF_SERIES}
    group = group_of(one.measurement, [nothing], [cell_of(0, one)])
    cells = [
        [f"`{each.name}`", ", ".join(each.dims), each.unit, each.meaning]
        for each in (*group.coordinates, *group.variables)
    ]
    return _table(["array", "dimensions", "unit", "meaning"], cells) + (
        "\nOf weights and uncentred gradients, `singular_values` stand in place of `eigenvalues`; their unit "
        "and that of `stderr` is stated in the file.\n"
    )


# in the order of imports: each may use those below it
_ROOMS = ("cli", "api", "render", "workflows", "extract", "archive", "analysis", "statistics", "core")


def _rooms() -> str:
    """Each folder of the package with the first line of its docstring; one inside another is indented."""
    package = ROOT / "spectra_cli"
    lines = ["spectra_cli/"]
    for room in _ROOMS:
        inner = sorted(file.parent for file in (package / room).rglob("__init__.py"))
        for folder in inner:
            indent = "  " * (1 + len(folder.relative_to(package).parts))
            lines.append(f"{indent[2:]}{folder.name + '/':<14}{_first_line(folder)}")
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _first_line(folder: Path) -> str:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return docstring.splitlines()[0].removesuffix(".")


def _summaries(registry: Mapping[str, Any]) -> list[list[str]]:
    return [[f"`{name}`", entry.summary] for name, entry in registry.items()]


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


# ----------------------------------------------------------------------------- recordings


CONSOLE_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands_of(block: str) -> list[str]:
    """The command lines of a console block."""
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def printed_by(command: str, folder: Path) -> str:
    """What a command line prints in `folder`."""
    return _run(command, cwd=folder).stdout


def with_true_outputs(page: str, folder: Path, printed: Callable[[str, Path], str] = printed_by) -> str:
    """The page with what every console command prints in `folder` in place of the old output."""

    def rerun(block: re.Match[str]) -> str:
        told = [f"$ {command}\n{printed(command, folder)}" for command in commands_of(block[1])]
        return "```console\n" + "".join(told) + "```"

    return CONSOLE_BLOCK.sub(rerun, page)


def first_finding(compared: str) -> str:
    """Of what `compare` printed, the two runs and the first thing in which they differ, as a block."""
    match = re.search(r"^\w.* against .*\n- .*\n(?:  .*\n)*", compared, re.MULTILINE)
    if match is None:
        raise ValueError(f"a comparison without a finding: {compared[:200]}")
    return f"```text\n{match[0]}```\n"


def _record_picture(folder: Path) -> None:
    """Scan, show and compare, as a terminal shows them: tables from stdout, the last message from stderr."""
    scenes = []
    for command in RECORDED:
        done = _run(command, cwd=folder, colour=True)
        last = re.sub(r".*[\r\n]", "", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stderr).strip())
        scenes.append((command, f"{done.stdout.rstrip()}\n{last}"))
    PICTURE.write_text(recording(scenes, title="spectra"))
    print(f"wrote {PICTURE.relative_to(ROOT)}")


def _run(command: str, *, cwd: Path, colour: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command line as a reader would; the folder it ran in is shown as `~`."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    environment |= {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(WIDTH)} if colour else {}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    # 141: the reader of a pipe, such as `head`, had seen enough.
    if done.returncode not in (0, 141):
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    done.stdout, done.stderr = (text.replace(str(cwd), "~") for text in (done.stdout, done.stderr))
    return done


if __name__ == "__main__":
    main()
