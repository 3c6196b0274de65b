"""Train a family of tiny runs and scan each into an archive; what is finished is kept."""

from __future__ import annotations

import json
import os
import queue
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.paths import make_folder
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.workflows.scan import ScanProgress, scan

if TYPE_CHECKING:
    from spectra_cli.extract.demo.families import FamilyRun

RECORD = "study.json"
_PATIENCE_SECONDS = 0.2
_MOST_RECORD_BYTES = 1 << 26
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Tell = Callable[[str, str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyProgress:
    """Where a family is.

    Attributes:
        finished, count: runs trained and scanned now, and runs that had to be.
        running: name -> what is under way, and which share of it is done.
    """

    finished: int
    count: int
    running: Mapping[str, tuple[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    folder: Path
    run: FamilyRun
    settings: ScanSettings


def train_and_scan(
    folder: Path,
    runs: Sequence[FamilyRun],
    settings: ScanSettings,
    *,
    processes: int,
    progress: Callable[[FamilyProgress], None],
) -> tuple[Path, ...]:
    """The archives of a family, `folder/NAME.spectra.h5`, in its order.

    A run is one process of one thread. Runs that an earlier call finished are kept; checkpoints of an
    unfinished scan too.

    Args:
        folder: made if needed; of this family alone.
        runs: named differently.
        settings: of the scans.
        processes: runs under way at once; one is done in this process.
        progress: called a few times a second.

    Raises:
        UsageError: `folder` holds something else, or runs of these names with other settings.
        DataError: a run could not be finished; the others are kept.
    """
    _claim(folder, runs, settings)
    jobs = [_Job(folder=folder, run=run, settings=settings) for run in runs]
    waiting = [job for job in jobs if not _is_finished(job)]
    if processes == 1 or len(waiting) == 1:
        _one_after_the_other(waiting, progress)
    elif waiting:
        _side_by_side(waiting, processes, progress)
    return tuple(archive_of(folder, run) for run in runs)


def archive_of(folder: Path, run: FamilyRun) -> Path:
    """Where the archive of a run lies."""
    return folder / f"{run.name}.spectra.h5"


def _claim(folder: Path, runs: Sequence[FamilyRun], settings: ScanSettings) -> None:
    """Note down what the folder's runs are, or refuse it if it says that they are something else."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--folder {folder} is a file; expected a folder for checkpoints and archives")
    record = folder / RECORD
    described: dict[str, Any] = {run.name: _described(run, settings) for run in runs}
    if record.is_file():
        known = json.loads(read_bounded(record, _MOST_RECORD_BYTES, UsageError))
        other = [name for name, one in described.items() if known.get(name, one) != one]
        if other:
            raise UsageError(
                f"{folder} holds runs of other settings ({', '.join(other)}; see {record}); "
                "name another folder with --folder"
            )
        described = known | described
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and no study made it; name another folder with --folder")
    make_folder(folder, "--folder")
    temporary = record.with_suffix(".tmp")
    temporary.write_text(json.dumps(described, indent=2))
    os.replace(temporary, record)


def _described(run: FamilyRun, settings: ScanSettings) -> Any:
    described = {"recipe": run.recipe, "training": asdict(run.settings), "scan": settings.as_json()}
    return json.loads(json.dumps(described))


def _is_finished(job: _Job) -> bool:
    """Whether the archive reaches the end of the training: its last step, or the loss to stop at."""
    path, training = archive_of(job.folder, job.run), job.run.settings
    if not path.is_file():
        return False
    archive = open_archive(path)
    last, info = archive.refs[-1].step, archive.infos[-1]
    steps = [step for step in training.save_steps if last is not None and step <= last]
    loss, target = info.eval_loss, training.target_loss
    at_end = last == max(training.save_steps) or (loss is not None and target is not None and loss <= target)
    return at_end and len(archive) == len(steps) and not archive.parts and not archive.damaged


def _train_and_scan(job: _Job, tell: Tell) -> None:
    from spectra_cli.extract.demo.training import PROBE_NAME, is_trained, train_run

    name, folder = job.run.name, job.folder / job.run.name
    if not is_trained(folder, recipe=job.run.recipe, settings=job.run.settings):

        def training(step: int, total: int) -> None:
            tell(name, f"step {step}", step, 2 * total)

        train_run(folder, recipe=job.run.recipe, settings=job.run.settings, progress=training)

    def scanning(now: ScanProgress) -> None:
        tell(name, f"scanning {now.ref.key}", now.count + now.number - 1, 2 * now.count)

    request = ScanRequest(
        checkpoints=str(folder),
        settings=job.settings,
        probe=str(folder / PROBE_NAME),
        output=archive_of(job.folder, job.run),
        device="cpu",
    )
    scan(request, scanning)


def _one_after_the_other(jobs: Sequence[_Job], progress: Callable[[FamilyProgress], None]) -> None:
    for number, job in enumerate(jobs):

        def tell(name: str, activity: str, done: int, total: int, number: int = number) -> None:
            running = {name: (activity, done / total)}
            progress(FamilyProgress(finished=number, count=len(jobs), running=running))

        _train_and_scan(job, tell)


# ----------------------------------------------------------------------------- processes


class _Stopped(Exception):  # noqa: N818 - not an error
    """The parent has asked this process to leave its run."""


# Of a worker process: (queue that hears of progress, event that asks it to stop).
_channel: tuple[Any, Any] | None = None


def _begin(told: Any, stop: Any) -> None:
    """Set up a worker: Ctrl-C is for the parent, which asks by `stop`."""
    global _channel
    _channel = (told, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(job: _Job) -> None:
    assert _channel is not None  # noqa: S101 - set by _begin
    told, stop = _channel

    def tell(*now: object) -> None:
        if stop.is_set():
            raise _Stopped
        told.put(now)

    _train_and_scan(job, tell)


def _side_by_side(jobs: Sequence[_Job], processes: int, progress: Callable[[FamilyProgress], None]) -> None:
    # spawn: a fork of a process with torch's threads can hang
    context = get_context("spawn")
    told, stop = context.Queue(), context.Event()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            min(processes, len(jobs)), mp_context=context, initializer=_begin, initargs=(told, stop)
        ) as pool,
    ):
        names = {pool.submit(_work, job): job.run.name for job in jobs}
        try:
            _follow(names, told, progress)
        except BrokenProcessPool as error:
            raise DataError(
                "a process of the study was ended from outside, perhaps for want of memory; "
                "run the same command again to continue, with --processes 1"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _follow(names: Mapping[Future[None], str], told: Any, progress: Callable[[FamilyProgress], None]) -> None:
    """Report until every future is done; the first that failed raises here."""
    unfinished, running = set(names), dict[str, tuple[str, float]]()
    while unfinished:
        done, unfinished = wait(unfinished, timeout=_PATIENCE_SECONDS, return_when=FIRST_COMPLETED)
        for name, activity, part, total in _drained(told):
            running[name] = (activity, part / total)
        for future in done:
            future.result()
        left = {names[future] for future in unfinished}
        running = {name: now for name, now in running.items() if name in left}
        progress(FamilyProgress(finished=len(names) - len(left), count=len(names), running=running))


def _drained(told: Any) -> Iterator[tuple[str, str, int, int]]:
    while True:
        try:
            yield told.get_nowait()
        except queue.Empty:
            return


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Linear algebra of processes started inside uses one thread: it is read when it is loaded."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
