"""Every command in every form, on terminals of several widths, and with names made to act on them."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import typer
from safetensors.numpy import load_file, save_file

from spectra_cli.cli.app import app
from spectra_cli.render.forms import terminal
from spectra_cli.render.forms.registry import FORMS, Form
from spectra_cli.render.forms.terminal import printed_lines
from spectra_cli.render.output import Output
from tests.builders.every_form import nothing_is_lost

HOSTILE = "=run\x1b[31m\x9b2J\u202e[bold]\t\u2066:smile:"
SHOWN = r"=run\x1b[31m\x9b2J\u202e[bold]\x09\u2066:smile:"
PROBE = ("--probe", "probe.npy", "--sequences", "8", "--gradient-sequences", "8", "-T", "8")
OUTPUTS = [
    ("show", "run"),
    ("show", "run", "--step", "2,4"),
    ("show", "run", "--statistic", "rankme_cov,stable_rank,head_exponent_1_10,probe_loss"),
    ("compare", "run", "other", "--align", "step"),
    ("compare", "run", "other", "--align", "tokens", "--taxonomy"),
    ("forecast", "run", "other", "--allow-different-scans"),
    ("phases", "run"),
    ("drift", "run"),
    ("report", "run", "--overwrite"),
    ("validate", "run"),
    ("inspect", "run", "-T", "8"),
    ("scan", "run", "-q", "-o", "run-anew.spectra.h5", "--overwrite", "--vectors", "4", *PROBE),
]


@pytest.fixture(scope="module")
def hostile(pristine) -> Iterator[Path]:
    """Two runs with vectors, and one whose name is hostile, beside their archives; a path of few letters."""
    with TemporaryDirectory() as short:
        _scan_all(pristine, Path(short))
        yield Path(short)


def _scan_all(pristine: Path, folder: Path) -> None:
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import resolve_settings
    from spectra_cli.workflows.scan import scan

    shutil.copy(pristine / "probe.npy", folder)
    sizes = {"num_sequences": 8, "num_gradient_sequences": 8, "sequence_length": 8, "num_vectors": 4}
    for name in ("run", "other", HOSTILE):
        shutil.copytree(pristine / "run", folder / name)
        for file in (folder / name).glob("*/*.safetensors") if name == "other" else ():
            tensors = {key: np.float32(1.0005) * value for key, value in load_file(file).items()}
            save_file(tensors, file, metadata={"format": "pt"})  # no two runs are alike
        scan(
            ScanRequest(
                checkpoints=str(folder / name),
                settings=resolve_settings("default", sizes),
                probe=str(folder / "probe.npy"),
                output=folder / f"{name}.spectra.h5",
            ),
            lambda _: None,
        )


@pytest.fixture(scope="module")
def emitted() -> dict[tuple[str, ...], Output]:
    """What commands have emitted so far: each runs once, whatever is asked of its output."""
    return {}


@pytest.fixture
def output(emitted, hostile, monkeypatch, spectra):
    """What a command emits, before it is written in any form."""
    monkeypatch.chdir(hostile)

    def run(*words: str) -> Output:
        def keep(output: Output, _: object) -> None:
            emitted[words] = output

        if words not in emitted:
            with monkeypatch.context() as patch:
                patch.setattr(terminal, "FORM", Form(write=keep))
                outcome = spectra(*words)
            assert outcome.code == 0, outcome.err
        return emitted[words]

    return run


def lines_of(parts, width: int) -> list[str]:
    return [text.plain for part in parts for text in printed_lines(part, width)]


def words_of(lines: list[str]) -> set[str]:
    """Words with a digit, but for estimates of time, which no two runs give alike."""
    text = " ".join(each for each in lines)
    text = re.sub(r"About .*? not counted", "", text)
    return {word for word in text.split() if any(map(str.isdigit, word))}


@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_no_number_is_cut_at_any_width(output, words):
    parts = list(output(*words).tables())
    whole = words_of(lines_of(parts, 1000))
    assert whole
    for width in (60, 80, 100, 160):
        lines = lines_of(parts, width)
        assert [each for each in lines if len(each) > width] == []
        assert "…" not in "".join(lines)
        # a number of a narrow terminal is one of the widest: whole. Counts of what is left out are its own.
        told = [each for each in lines if " checkpoints: first" in each or "left out for want" in each]
        assert words_of(lines) - whole <= words_of(told)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_nothing_is_lost_in_any_form(output, words, form):
    nothing_is_lost(output(*words), form)


def test_every_command_is_among_them():
    # these in their own tests: they train, write pictures and files, or read nothing
    commands = {words[0] for words in OUTPUTS} | {"demo", "study", "plot", "export", "explain"}
    assert set(typer.main.get_command(app).commands) == commands  # type: ignore[attr-defined]


def acts(text: str) -> list[str]:
    categories = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [char for char in text if unicodedata.category(char) in categories and char != "\n"]


@pytest.mark.parametrize("words", [*OUTPUTS, ("scan", "run", *PROBE, "--vectors", "4")], ids=" ".join)
def test_no_name_acts_on_the_terminal(hostile, spectra, monkeypatch, words):
    monkeypatch.chdir(hostile)
    found = spectra(*[word.replace("run", HOSTILE, 1) if word.startswith("run") else word for word in words])
    assert found.code == 0, found.err
    assert acts(found.out + found.err) == []
    everything = "".join((found.out + found.err).split())
    assert SHOWN.replace(" ", "") in everything


@pytest.mark.parametrize(
    "words",
    [
        ("show", "absent"),
        ("validate", "absent"),
        ("compare", "absent", "run"),
        ("inspect", "absent"),
        ("scan", "absent", "--probe", "probe.npy"),
        ("scan", "run", "--probe", "absent"),
        ("scan", "run", "--config", "absent"),
        ("scan", "run", "--set", "absent"),
        ("show", "run", "--statistic", "absent"),
        ("show", "run", "--format", "absent"),
        ("show", "run", "--absent"),
        ("study", "absent"),
        ("absent",),
        ("absent", "show"),
        ("--absent",),
        ("show", "run", "absent"),
        ("show", "run", "--step", "absent"),
        ("show", "run", "--layer=absent"),
        ("scan", "run", "--every", "absent"),
        ("scan", "run", "--every=absent", "--quiet=absent"),
        ("scan", "run", "--memory", "absent"),
        ("scan", "run", "--probe", "probe.npy", "--probe-format", "absent"),
        ("scan", "run", "--probe", "probe.npy", "--device", "absent"),
        ("scan", "run", "--probe", "probe.npy", "--model", "absent"),
        ("scan", "run", "--probe", "probe.npy", "--log", "absent"),
        ("scan", "run", "--probe", "probe.npy", "-o", "absent/x.h5"),
        ("scan", "run", "--probe", "probe.npy", "--tokenizer", "absent"),
        ("scan", "run", "--probe", "probe.npy", "--reference", "absent", "--vectors", "2"),
        ("scan", "run", "--probe", "probe.npy", "--base", "absent"),
        ("compare", "run", "other", "--at", "absent"),
        ("compare", "run", "other", "--baseline", "absent"),
        ("forecast", "run", "other", "--statistic", "absent"),
        ("phases", "run", "--alpha", "absent"),
        ("demo", "-o", "probe.npy/absent"),
        ("study", "taxonomy", "--folder", "probe.npy", "--seeds", "absent"),
        ("study", "taxonomy", "--folder", "probe.npy/absent"),
    ],
    ids=" ".join,
)
def test_no_error_acts_on_the_terminal(hostile, spectra, monkeypatch, words):
    monkeypatch.chdir(hostile)
    found = spectra(*[word.replace("absent", "a\x1b[31m\x9b2J\u202e\nspectra: done\n") for word in words])
    assert found.code in (2, 3)
    assert acts(found.out + found.err) == []
    assert sum(each.startswith("spectra: ") for each in found.err.splitlines()) <= 1


def test_the_names_of_tensors_do_not_act_either(hostile, spectra, tmp_path, monkeypatch):
    monkeypatch.chdir(hostile)
    shutil.copytree(hostile / "run" / "checkpoint-2", tmp_path / "one")
    (file,) = (tmp_path / "one").glob("*.safetensors")
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    name = next(name for name in header if name != "__metadata__")
    header[f"\x1b[2J\u202e{name}"] = header.pop(name)
    changed = json.dumps(header).encode()
    file.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + size :])
    for words in (("inspect", str(tmp_path / "one"), "-T", "8"), ("scan", str(tmp_path / "one"), *PROBE)):
        found = spectra(*words)
        assert found.code == 3
        assert "2J" in found.out + found.err
        assert acts(found.out + found.err) == []


@pytest.mark.parametrize("command", ["show", "drift", "phases"])
def test_no_csv_cell_starts_a_formula_and_json_is_exact(hostile, spectra, monkeypatch, command):
    monkeypatch.chdir(hostile)
    table = spectra(command, f"{HOSTILE}.spectra.h5", "--format", "csv").out
    assert acts(table) == []
    for row in csv.reader(io.StringIO(table)):
        for cell in row:
            assert cell[:1] not in tuple("=@\t\r") or not cell
    document = json.loads(spectra(command, f"{HOSTILE}.spectra.h5", "--json").out)
    assert HOSTILE in document["archive"]


def test_a_tokenizer_of_hostile_words_does_not_act(hostile, pristine, spectra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(hostile / "run" / "checkpoint-2", HOSTILE)
    for file in map(Path, (f"{HOSTILE}/tokenizer_config.json", f"{HOSTILE}/tokenizer.json")):
        said = json.loads(file.read_text())
        said |= {"tokenizer_class": HOSTILE, "name_or_path": HOSTILE} if "eos_token" in said else {}
        file.write_text(json.dumps(said).replace("<eos>", json.dumps(f"<{HOSTILE}>")[1:-1]))
    words = ("--probe", str(pristine / "probe.txt"), "--tokenizer", folder, *PROBE[2:], "-o", "a.h5")
    found = spectra("scan", str(hostile / "run"), *words)
    assert found.code == 0, found.err
    assert acts(found.out + found.err) == []
