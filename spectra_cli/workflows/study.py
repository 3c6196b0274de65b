"""The studies: train a family, scan it, and put the question to its archives that the finding answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.analysis.batch_size.signature import SignatureRow, signature
from spectra_cli.analysis.comparison import CompareRequest, Comparison
from spectra_cli.analysis.forecast.over_runs import Forecast
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.analysis.run import Loss, Run, notices_of
from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import UnknownNameError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.settings import ScanSettings, resolve_settings
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.workflows.compare import compare
from spectra_cli.workflows.forecast import forecast
from spectra_cli.workflows.runs import labels_of
from spectra_cli.workflows.study_family import FamilyProgress, train_and_scan

if TYPE_CHECKING:
    from spectra_cli.extract.demo.families import FamilyRun, Scale

NUM_SEEDS = {"batch-size": 3, "early-tail": 2, "taxonomy": 3}
STUDIES = tuple(NUM_SEEDS)

# fixed before any spectrum was looked at; docs/explanation/findings.md says so to the reader
_SCAN = {"num_sequences": 2048, "num_gradient_sequences": 256}
_MEASUREMENTS = {
    "batch-size": (ACTIVATIONS, GRADIENT),
    "early-tail": (ACTIVATIONS,),
    "taxonomy": (ACTIVATIONS, GRADIENT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """What the user asks of a study.

    Attributes:
        study: one of `STUDIES`.
        folder: for checkpoints and archives.
        num_seeds: of each recipe; None for the study's own number.
        quick: fewer runs, to a higher loss.
        processes: runs at once.
    """

    study: str
    folder: AnyPath
    num_seeds: int | None = None
    quick: bool = False
    processes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """One run of a family as it came out.

    Attributes:
        batch_size_tokens, learning_rate, optimizer, seed: of its training.
        steps, tokens: at its end.
        loss: validation loss there.
        reached: whether that is the loss that it was trained to.
    """

    name: str
    archive: Path
    optimizer: str
    batch_size_tokens: int
    learning_rate: float
    seed: int
    steps: int
    tokens: int
    loss: float
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """A family and what its archives say.

    Attributes:
        study: its name.
        target_loss: that every run was trained to.
        forecast: of `early-tail`; comparison: of the others, with the first run as baseline.
        over_seeds: of `taxonomy`: the comparison held against the other seeds of the baseline's recipe;
            None with fewer than three.
        signature: of `batch-size`, the activations' numbers named beforehand; empty otherwise.
        interventions: run -> the side that it is known to be on, of `taxonomy`; empty otherwise.
        notices: of its archives, in sentences.
    """

    study: str
    folder: Path
    target_loss: float
    runs: tuple[StudyRun, ...]
    forecast: Forecast | None
    comparison: Comparison | None
    over_seeds: Comparison | None
    signature: tuple[SignatureRow, ...]
    interventions: Mapping[str, str]
    notices: tuple[str, ...] = ()


def run_study(request: StudyRequest, progress: Callable[[FamilyProgress], None]) -> Study:
    """Train and scan what is not done yet, then analyse the archives.

    Args:
        request: which study.
        progress: hears where the family is.

    Raises:
        UsageError: there is no such study, or its folder holds something else.
        DataError: a run could not be finished.
    """
    if request.study not in STUDIES:
        meant = did_you_mean(request.study, STUDIES)
        raise UnknownNameError(f"there is no study {request.study!r}{meant}; studies: {', '.join(STUDIES)}")
    from spectra_cli.extract.demo.families import FAMILIES, FULL, INTERVENTIONS, QUICK

    folder = Path(request.folder)
    scale = QUICK if request.quick else FULL
    num_seeds = request.num_seeds or NUM_SEEDS[request.study]
    family = FAMILIES[request.study](scale, num_seeds)
    archives = train_and_scan(
        folder,
        family,
        _scan_settings(request.study, scale),
        processes=request.processes,
        progress=progress,
    )
    runs = tuple(_as_it_came_out(run, path) for run, path in zip(family, archives, strict=True))
    comparison = None if request.study == "early-tail" else _compared(archives)
    replicates = archives[1 : len(archives) - len(INTERVENTIONS)] if request.study == "taxonomy" else ()
    return Study(
        study=request.study,
        folder=folder,
        target_loss=scale.target_loss,
        runs=runs,
        forecast=_early_tail(archives, scale) if request.study == "early-tail" else None,
        comparison=comparison,
        over_seeds=_compared(archives, replicates) if len(replicates) > 1 else None,
        signature=()
        if comparison is None
        else signature(
            comparison.trend.trends,
            sizes=[run.batch_size_tokens for run in runs],
            target=comparison.alignment.points[-1].target,
        ),
        interventions=INTERVENTIONS if request.study == "taxonomy" else {},
        notices=notices_of(
            [Run(name=n, series=open_archive(p)) for n, p in zip(labels_of(archives), archives, strict=True)]
        ),
    )


def _scan_settings(study: str, scale: Scale) -> ScanSettings:
    sizes = {**_SCAN, "sequence_length": scale.base.task.sequence_length, **scale.scan}
    return resolve_settings("default", {"measurements": _MEASUREMENTS[study], "order": "file", **sizes})


def _as_it_came_out(run: FamilyRun, path: Path) -> StudyRun:
    archive, settings = open_archive(path), run.settings
    loss, step = archive.infos[-1].eval_loss, archive.refs[-1].step or 0
    batch = settings.batch_size * settings.task.sequence_length
    return StudyRun(
        name=run.name,
        archive=path,
        optimizer=run.recipe,
        batch_size_tokens=batch,
        learning_rate=settings.lr,
        seed=settings.seed,
        steps=step,
        tokens=step * batch,
        loss=math.nan if loss is None else loss,
        reached=loss is not None and settings.target_loss is not None and loss <= settings.target_loss,
    )


def _early_tail(archives: Sequence[Path], scale: Scale) -> Forecast:
    return forecast(
        ForecastRequest(
            archives=tuple(archives),
            early_tokens=scale.early_sequences * scale.base.task.sequence_length,
            target_loss=scale.target_loss,
            loss=Loss.PROBE,
        )
    )


def _compared(archives: Sequence[Path], replicates: Sequence[Path] = ()) -> Comparison:
    request = CompareRequest(runs=tuple(archives), loss=Loss.PROBE, replicates=tuple(replicates))
    return compare(request)
