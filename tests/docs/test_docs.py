"""The documentation against the code: links, generated pages, commands, snippets, JSON keys."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from docs import generate
from spectra_cli.cli.app import app
from spectra_cli.core.settings import resolve_settings
from spectra_cli.extract.checkpoints.registry import FORMATS
from spectra_cli.extract.models.registry import FAMILIES
from spectra_cli.render.output import Output
from tests.builders.doc_blocks import DOCS, PAGES, ROOT, arguments, blocks_of
from tests.extract.writers.huggingface import CONFIGS, VOCAB, random_model

TUTORIAL = DOCS / "tutorial" / "first-scan.md"
READING = DOCS / "how-to" / "read-an-archive.md"
PYTHON = DOCS / "how-to" / "use-from-python.md"


def _names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


def _blocks(page: Path, language: str) -> list[str]:
    return [block.text for block in blocks_of(page) if block.language == language]


def _spectra_commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks_of(page) if block.language == "console" for line in block.commands]
    return [arguments(line) for line in lines if line.startswith("spectra ")]


# ----------------------------------------------------------------------------- links


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_names(PAGES))
def test_relative_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in _anchors(linked), f"{page.name} links to {target}"


def test_the_index_links_every_page():
    index = (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        list_of_its_folder = page.parent.with_suffix(".md")
        if list_of_its_folder.exists():
            assert f"({page.parent.name}/{page.name})" in list_of_its_folder.read_text()
        elif page.name != "index.md":
            assert f"({page.relative_to(DOCS).as_posix()})" in index


@pytest.mark.parametrize("page", PAGES, ids=_names(PAGES))
def test_tests_and_benchmarks_named_as_evidence_exist(page):
    for path in re.findall(r"\b(?:tests|benchmarks|docs)/[\w/-]+\.py", page.read_text()):
        assert (ROOT / path).is_file(), f"{page.name} names {path}"


# ----------------------------------------------------------------------------- generated pages


def test_generated_pages_are_up_to_date():
    for path, text in generate.generated_pages().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is out of date: run `make docs`"


def test_the_cli_page_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    narrow = generate.cli_reference()
    monkeypatch.setenv("COLUMNS", "200")
    assert generate.cli_reference() == narrow
    assert max(map(len, narrow.splitlines())) <= 100


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="generated: rooms"):
        generate.with_section("# spectra\n", "rooms", "")


def test_the_readme_fits_a_screen_and_shows_one_picture():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 70
    assert len(re.findall(r"!\[[^\]]+\]\(docs/pictures/", readme)) == 1
    assert readme.index("make demo") < readme.index("spectra scan") < readme.index("spectra compare")


def test_the_recording_is_of_the_commands_it_shows():
    # rich writes spaces as non-breaking ones, and folds lines at 100 columns
    text = re.sub(r"<[^>]*>", "", generate.PICTURE.read_text()).replace("&#160;", "").replace("\n", "")
    for command, name in zip(generate.RECORDED, ("scan", "show", "compare"), strict=True):
        assert command.replace(" ", "") in text
        assert arguments(command)[1] == name
        assert f"$spectra{name}" in text
    assert "standarderror" in text


def test_every_figure_that_is_drawn_for_a_page_is_shown_on_one():
    pages = "".join(page.read_text() for page in PAGES)
    for name, command in generate.PLOTS.items():
        assert re.search(rf"\((\.\./|docs/)pictures/{name}\)", pages)
        assert (generate.PICTURE.parent / name).read_bytes().startswith(b"\x89PNG")
        assert f"-o {name} " in command
        assert arguments(command)[1:3] == ["plot", name.removesuffix(".png")]
    assert f"pictures/{generate.PICTURE.name})" in pages


# ----------------------------------------------------------------------------- the tutorial


@pytest.fixture(scope="module")
def transcript(tiny_demo):
    """Every command line of the tutorial, run in its order: (arguments, result)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tiny_demo)
        return [
            (command, CliRunner().invoke(app, command[1:], catch_exceptions=False))
            for command in _spectra_commands(TUTORIAL)
        ]


def test_every_command_of_the_tutorial_works(transcript):
    assert {command[1] for command, _ in transcript} == {"inspect", "scan", "show", "validate"}
    for command, result in transcript:
        assert result.exit_code == 0, " ".join(command)
        assert result.stdout, " ".join(command)


def test_the_tutorials_second_scan_keeps_everything(transcript):
    document = next(json.loads(r.stdout) for c, r in transcript if c[1] == "scan" and "--json" in c)
    assert document["measured"] == []
    assert document["kept"] == ["step0", "step300"]


# ----------------------------------------------------------------------------- snippets


def test_the_snippets_for_reading_an_archive_run(tiny_demo, monkeypatch, capsys):
    monkeypatch.chdir(tiny_demo / "spectra-demo")
    (command,) = _spectra_commands(READING)
    table = CliRunner().invoke(app, command[1:], catch_exceptions=False)
    work = tiny_demo / "reading"
    work.mkdir()
    (work / "adamw.spectra.h5").symlink_to(tiny_demo / "spectra-demo" / "adamw.spectra.h5")
    (work / "adamw.csv").write_text(table.stdout)
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    snippets = _blocks(READING, "python")
    assert len(snippets) == 4
    for snippet in snippets:
        exec(snippet, names)  # noqa: S102 - the page's own code
    assert names["eigenvalues"].shape == (16,)
    np.testing.assert_array_equal(names["largest"].values[-1], names["eigenvalues"][0])
    assert list(names["noise"].index) == [0, 300]
    assert "blocks.1.resid_post" in capsys.readouterr().out


def test_the_snippets_for_python_run(tiny_demo, monkeypatch, capsys):
    monkeypatch.chdir(tiny_demo / "spectra-demo")
    names: dict[str, Any] = {}
    for snippet in _blocks(PYTHON, "python"):
        exec(snippet, names)  # noqa: S102 - the page's own code
    run, one = names["run"], names["one"]
    assert run.checkpoints["step"] == [0, 300]
    assert set(names["late"]["layer"]) == {0, 1}
    assert (
        names["rank"].sel(step=300) == run.spectrum(300, "blocks.1.resid_post").statistic("rankme_cov").value
    )
    assert one.standard_error(names["top3_share"]) > 0
    assert names["different"]
    assert len(names["strongest"]) == 5
    assert names["shifts"][0]["spectral_shift"] > 0
    assert [ref.step for ref in names["result"].measured] == [0, 300]
    assert "holds no step 7; it holds step0, step300" in capsys.readouterr().out


def test_the_snippets_for_a_training_run(tmp_path, monkeypatch):
    """With a trainer and a loop that do nothing but name their model: what they do is tested in tests/api."""
    monkeypatch.chdir(tmp_path)
    module = random_model({"model_type": "gpt2", **CONFIGS["gpt2"]})

    class Trainer:
        def __init__(self, model: Any, args: Any, train_dataset: Any, callbacks: list[Any]) -> None:
            self.model, self.args, self.callbacks = model, args, callbacks

        def train(self) -> None:
            for step, hook in ((0, "on_train_begin"), (500, "on_step_end"), (500, "on_train_end")):
                state = SimpleNamespace(is_world_process_zero=True, global_step=step, num_input_tokens_seen=0)
                getattr(self.callbacks[0], hook)(self.args, state, None, model=self.model)

    probe = np.random.default_rng(0).integers(0, VOCAB, (64, 17))
    names: dict[str, Any] = {"model": module, "probe": probe, "Trainer": Trainer, "dataset": []}
    names["ax"] = Figure().subplots()
    arguments = SimpleNamespace(output_dir="runs/a", include_num_input_tokens_seen="no")
    names |= {"arguments": arguments, "train_one_step": lambda model: None}
    for snippet in _blocks(DOCS / "how-to" / "scan-while-training.md", "python"):
        exec(snippet, names)  # noqa: S102 - the page's own code
    assert names["scans"].listener.run.checkpoints["step"] == [0, 500]
    assert not names["scans"].listener.failures
    assert names["run"].checkpoints["step"] == [500, 1000]
    assert names["now"].checkpoints["step"] == [None]


def test_the_example_of_a_statistic_runs():
    names = _example_of("Statistic(")
    stack = np.array([[[3.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    assert [found.value for found in names["TOP2_SHARE"].function(stack, [])] == [1.0, 0.75]


def test_the_example_of_a_form_runs():
    stream = io.StringIO()
    rows: list[dict[str, Any]] = [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    output = Output(tables=list, document=dict, columns=("a", "b"), rows=lambda: rows)
    _example_of("Form(")["FORM"].write(output, stream)
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == rows


def _example_of(what: str) -> dict[str, Any]:
    """The names that an example of the page on extending defines."""
    (snippet,) = [one for one in _blocks(DOCS / "how-to" / "extend.md", "python") if what in one]
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - the page's own code
    return names


def test_the_run_file_of_the_docs_is_accepted_and_names_every_setting():
    (block,) = _blocks(DOCS / "how-to" / "write-a-run-file.md", "toml")
    given = tomllib.loads(block)["scan"]
    preset = given.pop("preset")
    settings = resolve_settings(preset, given)
    assert set(settings.as_json()) == {"preset", *given}


# ----------------------------------------------------------------------------- JSON


def _keys(value: Any) -> set[str]:
    """Every key inside a document, except those of open mappings."""
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if not isinstance(value, dict):
        return set()
    open_mappings = ("settings", "versions", "details", "memory_bytes", "facts", "sources", "obstacles")
    return set(value).union(*(_keys(v) for k, v in value.items() if k not in open_mappings))


@pytest.mark.parametrize(
    "command",
    [
        "show spectra-demo/adamw.spectra.h5 --json",
        "inspect spectra-demo/adamw --sequence-length 32 --json",
        "validate spectra-demo/adamw.spectra.h5 --json",
        "compare spectra-demo/adamw.spectra.h5 spectra-demo/muon.spectra.h5 --align step --json",
        "drift spectra-demo/adamw.spectra.h5 --json",
        "drift spectra-demo/vectors.spectra.h5 --json",
        "scan spectra-demo/muon --probe synthetic -T 8 --sequences 4 --gradient-sequences 4 --json --quiet",
    ],
)
def test_every_key_of_a_json_document_is_described(command, tiny_demo, monkeypatch):
    monkeypatch.chdir(tiny_demo)
    if "vectors" in command:
        scan = (
            "scan spectra-demo/adamw --measure weights --vectors 8 --quiet -o spectra-demo/vectors.spectra.h5"
        )
        CliRunner().invoke(app, scan.split(), catch_exceptions=False)
    document = json.loads(CliRunner().invoke(app, command.split(), catch_exceptions=False).stdout)
    page = (DOCS / "reference" / "json.md").read_text()
    section = page.split(f"## {document['schema']}\n")[1].split("\n## ")[0]
    assert _keys(document) <= set(re.findall(r"`(\w+)`", section))


@pytest.mark.parametrize(
    "command", ["forecast r0 r1 r2 r3 r4 r5 --new young --early 0.1", "forecast r0", "phases r0"]
)
def test_every_key_of_a_document_over_training_is_described(command, tmp_path, monkeypatch, write_run):
    monkeypatch.chdir(tmp_path)
    steps = [0, *range(10, 210, 10)]
    for number, exponent in enumerate((0.8, 0.9, 1.0, 1.1, 1.2, 1.3)):
        losses = [2.5 + (1 + step / 10) ** (-0.3 * exponent) for step in steps]
        name = tmp_path / f"r{number}.spectra.h5"
        write_run(name, steps=steps, losses=losses, exponents=exponent, noise=0.01, seed=number)
    write_run(tmp_path / "young.spectra.h5", steps=steps[:5], losses=losses[:5], noise=0.01)
    target = ["--target-loss", "2.99"] if command.startswith("forecast") else []
    result = CliRunner().invoke(app, [*command.split(), *target, "--json"], catch_exceptions=False)
    document = json.loads(result.stdout)
    page = (DOCS / "reference" / "json.md").read_text()
    section = page.split(f"## {document['schema']}\n")[1].split("\n## ")[0]
    assert _keys(document) <= set(re.findall(r"`(\w+)`", section))


def test_every_pair_of_format_and_family_has_its_test():
    """That test itself requires that its cases are these pairs."""
    assert list(generate.COVERAGE) == list(FORMATS)
    for families in generate.COVERAGE.values():
        assert set(families) <= FAMILIES.keys()
        assert len(set(families)) == len(families)
    path, name = generate.COVERAGE_TEST.split("::")
    assert f"def {name}(" in (ROOT / path).read_text()


def test_pre_commit_runs_exactly_make_lint():
    assert re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text()) == ["make lint"]


def test_contributing_names_folders_and_files_that_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    table = page[page.index("| you want") : page.index("## A walk")]
    found = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", table)
    assert len(found) > 20
    for path in found:
        assert (ROOT / path).exists() or (ROOT / "spectra_cli" / path).exists(), path
