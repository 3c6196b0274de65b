"""Wherever the Python API takes a path, text, `Path` and any other `os.PathLike` mean the same."""

from __future__ import annotations

import inspect as signatures
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, is_typeddict

import pytest

import spectra_cli
from spectra_cli.analysis.comparison import CompareRequest
from spectra_cli.analysis.forecast.request import ForecastRequest
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import SpectraError
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.workflows.compare import compare
from spectra_cli.workflows.demo import demo
from spectra_cli.workflows.drift import drift
from spectra_cli.workflows.forecast import extrapolate, forecast
from spectra_cli.workflows.inspect import inspect
from spectra_cli.workflows.phases import phases
from spectra_cli.workflows.show import show
from spectra_cli.workflows.study import StudyRequest, run_study
from spectra_cli.workflows.validate import validate

PUBLIC = [
    getattr(spectra_cli, name) for name in spectra_cli.__all__ if name not in ("SpectraError", "__version__")
]
WORKFLOWS = [compare, demo, drift, extrapolate, forecast, inspect, phases, run_study, show, validate]
REQUESTS = [CompareRequest, ForecastRequest, ScanRequest, SeriesOptions, StudyRequest]
PATHS = (
    *("archive", "archives", "base", "baseline", "checkpoints", "folder", "log", "new", "output", "path"),
    *("probe", "reference", "replicates", "runs", "tokenizer"),
)


class Address(os.PathLike):
    """A path that only `os.fspath` makes text of."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def taken(of: Any) -> dict[str, str]:
    """Name -> annotation of what a function or a request takes."""
    if is_typeddict(of):
        return {name: str(one.__forward_arg__) for name, one in of.__annotations__.items()}
    if is_dataclass(of):
        return {field.name: str(field.type) for field in fields(of)}
    return {name: str(one.annotation) for name, one in signatures.signature(of).parameters.items()}


@pytest.mark.parametrize("of", [*PUBLIC, *WORKFLOWS, *REQUESTS], ids=lambda of: of.__name__)
def test_every_path_of_the_interface_is_taken_in_any_form(of):
    for name, annotation in taken(of).items():
        is_path = name in PATHS or "Path" in annotation
        assert ("AnyPath" in annotation) is is_path, f"{of.__name__}: {name}: {annotation}"


@pytest.fixture
def other(archive) -> str:
    """An archive of the same checkpoints with other weights."""
    checkpoints = [
        replace(
            one, ref=replace(one.ref, run="other"), info=replace(one.info, digest=f"other {one.ref.step}")
        )
        for one in open_archive(archive)
    ]
    write_archive(Path("other.spectra.h5"), checkpoints)
    return "other.spectra.h5"


def outcome(call: Callable[[Any], Any], form: Callable[[str], Any]) -> str:
    try:
        found = call(form)
        return repr({f.name: getattr(found, f.name) for f in fields(found)} if is_dataclass(found) else found)
    except SpectraError as error:
        return repr(error)


@pytest.mark.parametrize("name", ["run", "run.spectra.h5", "absent"])
@pytest.mark.usefixtures("archive")
def test_archives_and_folders_are_found_alike(name, other):
    aligned = {"axis": "step", "number": 1}
    calls: list[Callable[[Any], Any]] = [
        lambda path: open_archive(path(name)),
        lambda path: show(path(name)),
        lambda path: validate(path(name)),
        lambda path: drift(path(name)),
        lambda path: phases(path(name)),
        lambda path: extrapolate(ForecastRequest(archives=(path(name),))),
        lambda path: forecast(ForecastRequest(archives=(path(name), path(other)), new=(path("absent"),))),
        lambda path: compare(
            CompareRequest(runs=(path(name), path(other)), baseline=path("absent"), **aligned)
        ),
        lambda path: compare(CompareRequest(runs=(path(name), path(name)), **aligned)),
        lambda path: (
            compare(
                CompareRequest(
                    runs=(path(name), path(other)), baseline=path(other), replicates=(path(name),), **aligned
                )
            ).pairs
        ),
    ]
    for call in calls:
        assert outcome(call, str) == outcome(call, Path) == outcome(call, Address)


@pytest.mark.parametrize("form", [Path, Address])
def test_a_scan_and_its_plan_take_paths_of_any_form(place, scan_quietly, request_for, form, numbers_of):
    (place / "log.csv").write_text("step,loss\n0,5.0\n10,4.5\n20,4.0\n")
    shutil.copytree(place / "run" / "checkpoint-0", place / "start")

    def scanned(form: Callable[[str], Any], output: str) -> Any:
        series = SeriesOptions(log=form("log.csv"), reference=form("start"))
        settings = replace(request_for().settings, num_vectors=2)
        scan_quietly(
            checkpoints=form("run"),
            probe=form("probe.npy"),
            output=form(output),
            series=series,
            settings=settings,
        )
        plan = inspect(
            ScanRequest(checkpoints=form("run"), settings=settings, series=series, probe=form("probe.npy"))
        )
        return list(map(numbers_of, open_archive(output))), repr(plan)

    assert scanned(form, "b.spectra.h5") == scanned(str, "a.spectra.h5")
    settings, others = (open_archive(f"{name}.spectra.h5").provenance.settings for name in "ab")
    assert settings == others


@pytest.mark.parametrize("form", [Path, Address])
@pytest.mark.usefixtures("archive")
def test_a_base_and_a_tokenizer_are_found_alike(form, request_for):
    def based(form: Callable[[str], Any]) -> Any:
        return inspect(
            ScanRequest(
                checkpoints="run", settings=request_for().settings, series=SeriesOptions(base=form("run"))
            )
        )

    def tokenised(form: Callable[[str], Any]) -> Any:
        Path("probe.txt").write_text("a text")
        return inspect(
            ScanRequest(
                checkpoints="run",
                settings=request_for().settings,
                probe=form("probe.txt"),
                tokenizer=form("run"),
            )
        )

    for call in (based, tokenised):
        assert "Error(" in outcome(call, str)
        assert outcome(call, form) == outcome(call, str)
