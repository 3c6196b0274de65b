"""Whether two checkouts measure the same, bit for bit: `python -m benchmarks.same_numbers BASE [NAME ...]`.

The checkpoints of the tests' writers, one for every format and family, are scanned by the commit BASE and
by the working tree, all measurements of each; the archives must be equal in every bit apart from times. Then
commands answer from these archives, from older formats and from synthetic runs, in JSON, and the documents
must be equal. Exits with 1 where something differs, and says where.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from transformers.utils import logging

from benchmarks.archives import write_archive
from benchmarks.differences import archive_differences, document_differences
from tests.extract.writers.cells import CELLS
from tests.extract.writers.hub import HubCache
from tests.extract.writers.huggingface import CONFIGS, random_model

ROOT = Path(__file__).parents[1]
_NUM_SHOWN = 10
_RUN_FILE = """
[scan]
num_sequences = 8
num_gradient_sequences = 6
num_blocks = 2
"""
Commands = Mapping[str, list[str]]


def main() -> None:
    """Write the checkpoints, let both checkouts work, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_numbers", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="a commit")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only checkpoints with one of these in the name"
    )
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        base = _exported(arguments.base, folder / "base")
        scans = _scans(folder, arguments.names or [""])
        commands = scans | _questions(scans, folder)
        for checkout, name in ((base, "first"), (ROOT, "second")):
            _work(checkout, commands, folder / "here", cache=folder / "hub")
            (folder / "here").rename(folder / name)
        found = _differences(folder / "first", folder / "second", scans)
    different = {name: places for name, places in found.items() if places}
    for name, places in different.items():
        more = [f"and {len(places) - _NUM_SHOWN} more"] if len(places) > _NUM_SHOWN else []
        print("\n  ".join([f"{name}:", *places[:_NUM_SHOWN], *more]))
    counted = f"{len(scans)} archives and {len(commands) - len(scans)} documents"
    if different:
        sys.exit(f"{len(different)} of {counted} differ between {arguments.base} and the working tree")
    print(f"{counted} are the same in {arguments.base} and the working tree, apart from times")


def _exported(commit: str, folder: Path) -> Path:
    folder.mkdir()
    tree = subprocess.run(
        ["git", "archive", commit, "spectra_cli"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x"], input=tree.stdout, cwd=folder, check=True)
    return folder


def _scans(folder: Path, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Name of an archive -> the command that makes it, its checkpoints written."""
    (folder / "run.toml").write_text(_RUN_FILE)
    cache = HubCache(folder / "hub")
    scans: dict[str, list[str]] = {}
    for (form, family), variants in CELLS.items():
        for variant, write in variants.items():
            name = "-".join(part for part in (form, family, variant) if part)
            if not any(part in name for part in wanted):
                continue
            run = folder / "checkpoints" / name
            run.mkdir(parents=True)
            written = write(run, cache.add)
            measured = "activations,gradients,weights" + (",updates" if written.model.before else "")
            options = ["--measure", measured, "--matrices", "all"]
            options += ["--base", written.base] if written.base else []
            scans[name] = _scan(folder, written.path, name, written.length, *options)
    run = str(_series(folder / "checkpoints" / "series"))
    for name, options in _VARIED.items():
        if any(part in name for part in wanted):
            scans[name] = _scan(folder, run, name, 9, *options)
    return scans


# one run of several checkpoints, measured in every other way there is
_VARIED = {
    "series-vectors": ["--vectors", "2"],
    "series-float64": ["--dtype", "float64", "--normalize", "none", "--matrices", "all,embed,lm_head"],
    "series-bfloat16": ["--dtype", "bfloat16", "--normalize", "final"],
    "series-paper": ["--preset", "paper-compat"],
    "series-small-memory": ["--memory", "1GiB", "--batch-size", "1"],
}


def _series(folder: Path) -> Path:
    """Three checkpoints of one model whose weights drift, with losses."""
    module = random_model({"model_type": "llama", **CONFIGS["llama"]})
    generator = torch.Generator().manual_seed(1)
    history = []
    for step in (10, 20, 30):
        module.save_pretrained(folder / f"checkpoint-{step}")
        history.append({"step": step, "loss": 4.0 - step / 20})
        said = {"global_step": step, "log_history": history}
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(said))
        with torch.no_grad():
            for weight in module.parameters():
                weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return folder


def _scan(folder: Path, path: str, name: str, length: int, *options: str) -> list[str]:
    command = ["scan", path, "-o", f"{name}.h5", "--probe", "synthetic", "--sequence-length", str(length)]
    return [*command, "--config", str(folder / "run.toml"), "--device", "cpu", "--quiet", *options]


def _questions(scans: Iterable[str], folder: Path) -> dict[str, list[str]]:
    """Name of a document -> the command that prints it."""
    old = [str(file) for file in sorted((ROOT / "tests" / "archive" / "formats").glob("*.h5"))]
    runs = [str(folder / f"run-{number}.h5") for number in range(3)]
    for number, run in enumerate(runs):
        write_archive(Path(run), num_checkpoints=8, num_layers=3, exponent=1.0 + number / 10)
    asked = [["compare", *runs], ["compare", *runs[:2]], ["forecast", *runs], ["phases", runs[0]]]
    archives = [f"{name}.h5" for name in scans if name in _VARIED]
    for archive in (*archives, *old, runs[0]):
        asked += [["show", archive], ["validate", archive]]
    if "series-vectors" in scans:
        asked += [["drift", archives[0]], ["phases", archives[0]]]
        asked += [["compare", archives[0], other] for other in archives[-1:] if other != archives[0]]
    return {" ".join(command).replace(f"{folder}/", ""): [*command, "--json"] for command in asked}


def _work(checkout: Path, commands: Commands, here: Path, *, cache: Path) -> None:
    """Let a checkout answer the commands; archives and answers lie in `here`, whatever the checkout."""
    here.mkdir()
    (here / "commands.json").write_text(json.dumps(commands))
    program = [sys.executable, str(ROOT / "benchmarks" / "recorded.py")]
    told = {"PYTHONPATH": str(checkout), "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    program += [str(checkout), "commands.json", "answers.json"]
    subprocess.run(program, cwd=here, env=os.environ | told, check=True)


def _differences(first: Path, second: Path, scans: Iterable[str]) -> dict[str, list[str]]:
    """Name of a command -> where what it left or printed differs."""
    one, other = (json.loads((folder / "answers.json").read_text()) for folder in (first, second))
    found = {}
    for name in one:
        codes = [one[name]["code"], other[name]["code"]]
        if any(codes):
            found[name] = [f"exit codes {codes}: {one[name]['said']}; {other[name]['said']}"]
        elif name in scans:
            found[name] = archive_differences(first / f"{name}.h5", second / f"{name}.h5")
        else:
            found[name] = document_differences(one[name]["printed"], other[name]["printed"])
    return found


if __name__ == "__main__":
    main()
