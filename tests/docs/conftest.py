"""Working directories of the pages' commands, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spectra_cli.cli.app import app
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import resolve_settings
from spectra_cli.extract.demo.settings import DemoSettings
from spectra_cli.extract.demo.training import train_run
from spectra_cli.workflows.scan import scan
from tests.builders.docs_folder import fill_cache, write_folder
from tests.extract.writers.hub import HubCache


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory):
    """What `spectra demo` leaves, made smaller: a working directory with spectra-demo/ in it."""
    folder = tmp_path_factory.mktemp("docs")
    demo = folder / "spectra-demo"
    sizes = DemoSettings(
        num_train=64, num_validation=512, n_head=2, n_embd=16, batch_size=4, save_steps=(0, 300), seed=1
    )
    for recipe in ("adamw", "muon"):
        run = train_run(demo / recipe, recipe=recipe, settings=sizes)
        request = ScanRequest(
            checkpoints=str(run.folder),
            settings=resolve_settings(
                "quick", {"sequence_length": 32, "num_sequences": 64, "matrices": ("all",)}
            ),
            probe=str(run.probe),
            output=demo / f"{recipe}.spectra.h5",
        )
        scan(request, lambda _: None)
    return folder


@pytest.fixture(scope="session")
def planted(tiny_demo, tmp_path_factory, write_run):
    """A working directory with archives of the names that the pages use."""
    folder = tmp_path_factory.mktemp("planted")
    steps = [0, *range(10, 310, 10)]
    names = ("a", "b", "c", "d", "e", "f", "a-seed2", "a-seed3", "adamw", "young", "pythia", "pythia-deduped")
    for number, name in enumerate(names):
        losses = [2.0 + 3.0 * (1 + step / 10) ** -(0.3 + 0.01 * number) for step in steps]
        path = folder / f"{name}.spectra.h5"
        exponents = 1.0 + 0.05 * number
        common = {"noise": 0.01, "num_layers": 6, "tokens_a_step": 10**7, "seed": number}
        lies_in = folder / "runs" / name
        write_run(path, steps=steps, losses=losses, exponents=exponents, lies_in=lies_in, **common)
        if len(name) == 1:
            (folder / "runs" / name).mkdir(parents=True)
            (folder / "finished").mkdir(exist_ok=True)
            shutil.copy(path, folder / "finished")
    for name in ("sft", "finetuned"):
        run = shutil.copytree(tiny_demo / "spectra-demo" / "adamw", folder / "runs" / name)
        words = ["scan", str(run), "-o", str(folder / f"{name}.spectra.h5")]
        scanned = CliRunner().invoke(app, [*words, "--measure", "weights", "--vectors", "8", "--quiet"])
        assert scanned.exit_code == 0
        shutil.rmtree(run)  # an archive is known by its folder's name also once that is gone
    (folder / "spectra-demo").mkdir()
    for name, original in (("adamw", "a"), ("muon", "b")):
        shutil.copy(folder / f"{original}.spectra.h5", folder / "spectra-demo" / f"{name}.spectra.h5")
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with checkpoints and probes of the names that the pages use."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_folder(folder)
    fill_cache(HubCache(folder / "hub"), folder / "pythia-70m")
    return folder
