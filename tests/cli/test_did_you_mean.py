"""A misspelt word of any kind is refused with the nearest one that is known there."""

from __future__ import annotations

import re
import shutil

import pytest

from spectra_cli.cli.commands.registry import COMMANDS

# what is misspelt -> the command line, and what was meant
SLIPS: dict[str, tuple[list[str], str]] = {
    "command": (["scna", "run"], "scan"),
    "option": (["show", "run", "--stpe", "2"], "--step"),
    "option of a group": (["scan", "run", "--sequence-lenght=8"], "--sequence-length"),
    "option of the whole": (["--versoin"], "--version"),
    "statistic": (["show", "run", "--statistic", "rankme_co"], "rankme_cov"),
    "statistic of an export": (
        ["export", "run", "-o", "-", "--format", "csv", "--statistic", "stabel_rank"],
        "stable_rank",
    ),
    "statistic of a figure": (
        ["plot", "trajectory", "run", "-o", "x.png", "--statistic", "stabel_rank"],
        "stable_rank",
    ),
    "statistic to compare": (["compare", "run", "run", "--statistic", "stabel_rank"], "stable_rank"),
    "exponent of phases": (["phases", "run", "--alpha", "alpha_req_11_10"], "alpha_req_11_100"),
    "preset": (["scan", "run", "--preset", "qiuck"], "quick"),
    "measurement": (["scan", "run", "--measure", "wieghts"], "weights"),
    "measurement to compare": (["compare", "run", "run", "--measure", "wieghts"], "weights"),
    "measurement to export": (["export", "run", "-o", "x.csv", "--measure", "wieghts"], "weight"),
    "measurement of a figure": (
        ["plot", "spectrum", "run", "-o", "x.png", "--measure", "wieghts"],
        "weights",
    ),
    "layers": (["inspect", "run", "-T", "8", "--layers", "fvie"], "five"),
    "matrix": (["inspect", "run", "-T", "8", "--matrices", "mlp.dwon"], "mlp.down"),
    "matrix of a figure": (["plot", "weights", "run", "-o", "x.png", "--matrices", "mlp.dwon"], "mlp.down"),
    "figure": (["plot", "spectrm", "run"], "spectrum"),
    "suffix of a picture": (["plot", "spectrum", "run", "-o", "x.pgn"], ".png"),
    "kind of picture": (["plot", "spectrum", "run", "-o", "-", "--format", "pgn"], "png"),
    "style": (["plot", "spectrum", "run", "-o", "x.png", "--style", "papr"], "paper"),
    "suffix of an export": (["export", "run", "-o", "x.parqet"], "parquet"),
    "format of an export": (["export", "run", "-o", "-", "--format", "jsnol"], "jsonl"),
    "tracker": (["export", "run", "--to", "wadnb", "x"], "wandb"),
    "form": (["show", "run", "--format", "josn"], "json"),
    "setting": (["scan", "run", "--set", "scan.poool=last"], "pool"),
    "value of a setting": (["scan", "run", "--set", "scan.pool=lsat"], "last"),
    "table of a setting": (["scan", "run", "--set", "scna.pool=last"], "scan"),
    "fact of a model": (["inspect", "run", "--set", "model.head_dmi=4"], "head_dim"),
    "key of a run file": (["scan", "run", "--config", "settings.toml"], "sequence_length"),
    "table of a run file": (["scan", "run", "--config", "tables.toml"], "scan"),
    "key of run.toml": (["inspect", "described"], "batch_size_tokens"),
    "column of a log": (["inspect", "run", "--log", "log.csv:loss=valid_los"], "valid_loss"),
    "how to go on": (["scan", "run", "--on-error", "skpi"], "skip"),
    "device": (["scan", "run", "--probe", "synthetic", "-T", "8", "--device", "cdua"], "cuda"),
    "probe's format": (["scan", "run", "--probe", "probe.npy", "--probe-format", "jsnol"], "jsonl"),
    "axis": (["compare", "run", "run", "--align", "tokesn"], "tokens"),
    "loss": (["compare", "run", "run", "--loss", "validaton"], "validation"),
    "what may differ": (["compare", "a", "b", "--allow", "porbe"], "probe"),
    "baseline": (["compare", "a", "baseline", "--baseline", "basline"], "baseline"),
    "study": (["study", "taxonmy", "--folder", "x"], "taxonomy"),
    "family of a forecast": (
        ["forecast", "a", "b", "--target-loss", "3", "--family", "architectre"],
        "architecture",
    ),
    "builder": (["inspect", "run", "--model", "json:laods"], "loads"),
}


@pytest.fixture(scope="module")
def folder(pristine, tmp_path_factory, write_run):
    """A run and archives, and files in each of which one word is misspelt."""
    made = tmp_path_factory.mktemp("misspelt")
    shutil.copytree(pristine, made, dirs_exist_ok=True)
    shutil.copytree(made / "run", made / "described")
    for seed, name in enumerate(("a", "b", "baseline")):
        write_run(made / f"{name}.spectra.h5", steps=[0, 10, 20], losses=[5.0, 4.0, 3.0], seed=seed)
    (made / "described" / "run.toml").write_text("batch_size_tokes = 4096\n")
    (made / "settings.toml").write_text("[scan]\nsequence_lenght = 8\n")
    (made / "tables.toml").write_text("[scna]\nseed = 1\n")
    (made / "log.csv").write_text("step,valid_loss\n2,3.0\n4,2.5\n")
    return made


@pytest.mark.parametrize("what", SLIPS)
def test_the_nearest_word_is_told(what, folder, monkeypatch, spectra):
    words, meant = SLIPS[what]
    monkeypatch.chdir(folder)
    found = spectra(*words)
    assert (found.code, found.out) == (2, ""), found.err
    told = re.search(r"\(did you mean ([^?]*)\?\)", " ".join(found.err.split()))
    assert told, found.err
    assert meant in re.split(", | or ", told[1])


def test_of_every_command_a_misspelt_option_and_of_every_command_its_own_name(spectra):
    for name in COMMANDS:
        found = spectra(name[:-1] + "x", "run")
        assert (found.code, f"did you mean {name}?" in found.err) == (2, True), found.err
        assert "did you mean --help?" in spectra(name, "--hlep").err


def test_what_is_like_nothing_is_refused_with_what_there_is(spectra):
    found = spectra("zzz")
    assert found.code == 2
    assert "did you mean" not in found.err
    assert ", ".join(COMMANDS) in found.err


def test_a_name_that_acts_on_a_terminal_is_written_out(spectra):
    for words in (["\x1b[31mscan"], ["show", "--\x1b[31mstep"]):
        found = spectra(*words)
        assert "\x1b" not in found.err
        assert r"\x1b[31m" in found.err
