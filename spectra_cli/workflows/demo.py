"""Train two tiny runs that differ in their optimiser, and scan both: the embedded default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spectra_cli.core.errors import AlreadyThereError, UsageError
from spectra_cli.core.paths import AnyPath, make_folder
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import resolve_settings
from spectra_cli.workflows.scan import ScanProgress, ScanResult, scan

RECIPES = ("adamw", "muon")
SETTINGS = {"sequence_length": 32, "num_sequences": 2048, "num_gradient_sequences": 512, "matrices": ("all",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """One run of the demo: its checkpoints, and the scan of them."""

    name: str
    folder: Path
    scan: ScanResult


def demo(
    folder: AnyPath,
    *,
    training: Callable[[str, int, int], None],
    scanning: Callable[[ScanProgress], None],
) -> tuple[DemoRun, ...]:
    """Train and scan `folder/adamw` and `folder/muon`; archives lie beside them.

    The same seed gives the same checkpoints and spectra. What an earlier call finished is kept.

    Args:
        folder: made if needed.
        training: called with (run, steps done, steps in all).
        scanning: progress of the scans.

    Raises:
        UsageError: `folder` holds something that is not a demo.
    """
    from spectra_cli.extract.demo.training import PROBE_NAME, is_trained, train_run

    folder = Path(folder)
    _check_folder(folder, PROBE_NAME)
    make_folder(folder, "--output")
    runs = []
    for recipe in RECIPES:

        def report(done: int, total: int, recipe: str = recipe) -> None:
            training(recipe, done, total)

        run = folder / recipe
        trained = is_trained(run, recipe=recipe)
        if not trained:
            train_run(run, recipe=recipe, progress=report)
        request = ScanRequest(
            checkpoints=str(run),
            settings=resolve_settings("default", SETTINGS),
            probe=str(run / PROBE_NAME),
            output=folder / f"{recipe}.spectra.h5",
            overwrite=not trained,
        )
        runs.append(DemoRun(name=recipe, folder=run, scan=scan(request, scanning)))
    return tuple(runs)


def _check_folder(folder: Path, probe_name: str) -> None:
    """Refuse to write over what is not an earlier demo's."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file; expected a folder for checkpoints and archives")
    for recipe in RECIPES:
        run = folder / recipe
        if run.exists() and not (run / probe_name).is_file():
            raise AlreadyThereError(f"{run} exists and no demo wrote it; name another folder with --output")
