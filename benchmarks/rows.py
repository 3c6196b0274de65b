"""The rows of the table: each runs its contenders in turns and returns its figures.

Scans keep their arena from round to round: they are timed as in a series, after the first checkpoint.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from benchmarks import (
    bare,
    estimates,
    memory,
    memory_estimates,
    naive,
    ours,
    rivals_gradients,
    rivals_weights,
    startup,
)
from benchmarks.archives import write_archive
from benchmarks.contender import Contender
from benchmarks.figures import Figure
from benchmarks.machine import has_bfloat16_units, product_rate
from benchmarks.timing import Spread, interleave
from benchmarks.workloads import WORKLOADS, Workload, build, shortened
from spectra_cli.extract.arena import Arena


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long and how big: rounds a row, sequences of the covariance probe (None for all), threads."""

    rounds: int
    sequences: int | None
    threads: int

    def workload(self, name: str) -> Workload:
        """The workload of that name, shortened if asked."""
        work = WORKLOADS[name]
        return work if self.sequences is None else shortened(work, sequences=self.sequences)


def _fastest_chunk(rival: Contender) -> int:
    """Sequences at a time, by the better of two turns: on a busy machine one is not enough to tell."""
    seconds: dict[int, float] = {}
    for rival.chunk in (4, 16, 64) * 2:
        started = time.perf_counter()
        rival()
        taken = time.perf_counter() - started
        seconds[rival.chunk] = min(taken, seconds.get(rival.chunk, taken))
    return min(seconds, key=seconds.__getitem__)


def _held_to(most: int, peak: Callable[[int], int]) -> tuple[int, int]:
    """Sequences at a time that `spectra` gets, and its peak with them: at most `most`, if that can be."""
    for chunk in (0, 4, 2):  # 0: its own choice
        taken = peak(chunk)
        if taken <= most:
            return chunk, taken
    return 1, peak(1)


def small_bare(options: Options) -> list[Figure]:
    """The d = 256 work against the same passes with nothing measured, and against their stricter form."""
    work = options.workload("small")
    model, probe = build(work)
    settings = work.settings()
    size, arena = ours.batch_size_of(model, settings), Arena(torch.device("cpu"))
    timings = interleave(
        {
            "bare": lambda: bare.run_bare(model, probe, settings, batch_size=size),
            "scan": lambda: ours.scan(model, probe, settings, arena=arena),
            "shared": lambda: bare.run_bare(model, probe, settings, batch_size=size, shared=True),
        },
        rounds=options.rounds,
    )
    return [
        Figure(
            name="scan / bare, d = 256",
            measured=timings.ratio("scan", "bare"),
            must=1.2,
            aim=1.05,
            at_most=True,
        ),
        Figure(
            name="scan / bare with one forward for both probes, d = 256",
            measured=timings.ratio("scan", "shared"),
            note="stricter than the claim",
        ),
        Figure(name="scan, d = 256, seconds", measured=timings.spread("scan")),
    ]


def small_naive(options: Options) -> list[Figure]:
    """The paper's protocol in float32 against scans in float32 and bfloat16."""
    work = options.workload("small")
    model, probe = build(work)
    settings = work.settings()
    size, arena = ours.batch_size_of(model, settings), Arena(torch.device("cpu"))
    timings = interleave(
        {
            "naive": lambda: naive.run_naive(model, probe, settings, batch_size=size),
            "scan": lambda: ours.scan(model, probe, settings, arena=arena),
            "bfloat16": lambda: ours.scan(model, probe, work.settings(dtype="bfloat16"), arena=arena),
        },
        rounds=options.rounds,
        warm_up=False,
    )
    expected = timings.results["naive"]
    half = ours.largest_error(ours.values_of(timings.results["bfloat16"]), expected)
    return [
        Figure(
            name="naive / scan, float32, d = 256",
            measured=timings.ratio("naive", "scan"),
            must=8,
            aim=12,
            values_error=ours.largest_error(ours.values_of(timings.results["scan"]), expected),
        ),
        Figure(
            name="naive float32 / scan bfloat16, d = 256",
            measured=timings.ratio("naive", "bfloat16"),
            must=15,
            aim=30,
            note=f"values differ by up to {half:.1e} of the largest: bfloat16 passes",
        ),
    ]


def large(options: Options) -> list[Figure]:
    """The d = 768 work in one series of rounds: scan, bare, bfloat16 scan and plain products."""
    work = options.workload("large")
    model, probe = build(work)
    settings = work.settings()
    size, arena = ours.batch_size_of(model, settings), Arena(torch.device("cpu"))
    rates: list[float] = []
    timings = interleave(
        {
            "bare": lambda: bare.run_bare(model, probe, settings, batch_size=size),
            "products": lambda: rates.append(product_rate("float32").median),
            "scan": lambda: ours.scan(model, probe, settings, arena=arena),
            "bfloat16": lambda: ours.scan(model, probe, work.settings(dtype="bfloat16"), arena=arena),
        },
        rounds=options.rounds,
        warm_up=False,
    )
    operations = ours.cost_of(model, settings).total
    rounds = zip(timings.seconds["scan"], rates, strict=True)
    shares = [operations / seconds / rate for seconds, rate in rounds]
    fast = has_bfloat16_units()
    return [
        Figure(
            name="scan / bare, d = 768",
            measured=timings.ratio("scan", "bare"),
            must=1.3,
            aim=1.15,
            at_most=True,
        ),
        Figure(
            name="operations over time / float32 GEMM, d = 768",
            measured=Spread.of(shares),
            must=0.45,
            aim=0.6,
            note=f"{operations / 1e12:.2f} TFLOP by the cost model, {timings.spread('scan').median:.1f} s",
        ),
        Figure(
            name="float32 / bfloat16, d = 768",
            measured=timings.ratio("scan", "bfloat16"),
            must=2 if fast else None,
            aim=3 if fast else None,
            note="" if fast else "this CPU has neither AMX nor AVX512-BF16: nothing is claimed",
        ),
    ]


def gradient_rivals(options: Options) -> list[Figure]:
    """Per-sequence gradient Gram matrices of Hugging Face models, each rival at its fastest chunk.

    Every contender has a process of its own. Where `spectra` would take more memory than the rival, it is
    held to fewer sequences at a time.
    """
    count = 128 if options.sequences is None else max(8, options.sequences // 2)

    @cache
    def peak(family: str, name: str, chunk: int) -> int:
        arguments = ("gradients", family, name, str(chunk), str(count))
        return int(memory.peak_bytes(*arguments, threads=options.threads)["peak_bytes"])

    figures = []
    for family in ("llama", "gpt2"):
        for name in rivals_gradients.RIVALS:
            label = f"{name} / spectra, {family}"
            sides = [Contender(family, side, count, threads=options.threads) for side in (name, "spectra")]
            with sides[0] as rival, sides[1] as spectra:
                try:
                    rival.chunk = _fastest_chunk(rival)
                except rivals_gradients.CannotRun as reason:
                    figures.append(Figure.missing(label, reason))
                    continue
                theirs = peak(family, name, rival.chunk)
                spectra.chunk, taken = _held_to(theirs, partial(peak, family, "spectra"))
                timings = interleave({"rival": rival, "spectra": spectra}, rounds=options.rounds)
                error = ours.largest_error(spectra.values(), rival.values())
            held = f", {spectra.chunk} for us" if spectra.chunk else ""
            figures.append(
                Figure(
                    name=label,
                    measured=timings.ratio("rival", "spectra"),
                    must=1.25,
                    aim=1.4,
                    values_error=error,
                    note=f"{rival.chunk} at a time{held}; "
                    f"its peak {theirs / taken:.2f} x ours of {taken / 2**20:.0f} MiB",
                )
            )
    return figures


def weight_rivals(options: Options) -> list[Figure]:
    """Weight spectra of a 12-layer d = 768 model."""
    work = rivals_weights.make_work(num_layers=12 if options.sequences is None else 1)
    try:
        timings = interleave(
            {
                "rival": lambda: rivals_weights.run_weightwatcher(work),
                "spectra": lambda: rivals_weights.run_ours(work),
            },
            rounds=options.rounds,
        )
    except ModuleNotFoundError as reason:
        return [Figure.missing("WeightWatcher / spectra", reason)]
    error = ours.largest_error(timings.results["spectra"], timings.results["rival"])
    return [
        Figure(
            name="WeightWatcher / spectra, weight spectra only",
            measured=timings.ratio("rival", "spectra"),
            must=6,
            aim=10,
            values_error=error,
        )
    ]


def memory_of_series(options: Options) -> list[Figure]:
    """Peak memory above the model's own: 20 checkpoints over one."""
    ratios = []
    for _ in range(min(options.rounds, 3)):
        above = {}
        for count in (1, 20):
            report = memory.peak_bytes("series", str(count), threads=options.threads)
            above[count] = report["peak_bytes"] - report["model_bytes"]
        ratios.append(above[20] / above[1])
    return [
        Figure(name="peak memory, 20 checkpoints / 1", measured=Spread.of(ratios), must=1.05, at_most=True)
    ]


def memory_of_budgets(options: Options) -> list[Figure]:
    """Peak memory over --memory, from the smallest budget that a refusal names upwards."""
    refusal = memory.peak_bytes("budget", str(2**20), threads=options.threads)
    smallest = refusal["smallest_bytes"]
    figures = []
    for factor in (1.0, 1.25, 2.0, 4.0):
        budget = math.ceil(smallest * factor)
        report = memory.peak_bytes("budget", str(budget), threads=options.threads)
        share = math.inf if "refused" in report else report["peak_bytes"] / budget
        note = "the budget that the refusal named" if factor == 1.0 else ""
        figures.append(
            Figure(
                name=f"peak / budget of {budget / 2**20:.0f} MiB",
                measured=Spread.of([share]),
                must=1.0,
                at_most=True,
                note=report.get("refused", note),
            )
        )
    return figures


def memory_of_estimates(options: Options) -> list[Figure]:
    """Memory that a plan states over the peak of its scan, both above the process's own."""
    figures = []
    for family in memory_estimates.FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            memory_estimates.write_run(family, Path(folder))
            for cell in memory_estimates.CELLS:
                reports = [
                    memory.peak_bytes("estimate", family, cell, folder, threads=1)
                    for _ in range(min(options.rounds, 3))
                ]
                ratio = Spread.of([found["estimated_bytes"] / found["peak_bytes"] for found in reports])
                peak = max(found["peak_bytes"] for found in reports)
                figures.append(
                    Figure(
                        name=f"memory estimate / peak, {family}, {cell}",
                        measured=ratio,
                        must=1.0,
                        note=f"of {peak / memory.MIB:.0f} MiB at most",
                    )
                )
    return figures


def start_up(options: Options) -> list[Figure]:
    """CPU seconds of commands that should start at once."""
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name) / "run", Path(name) / "a.spectra.h5"
        folder.mkdir()
        memory.write_series(folder, num_checkpoints=2, width=32, num_layers=2)
        memory.scan_series(folder, archive)
        figures = []
        for command in (["--help"], ["show", str(archive)], ["validate", str(archive)]):
            found = startup.measure_startup(command, rounds=options.rounds)
            only_help = command == ["--help"]
            figures.append(
                Figure(
                    name=f"spectra {command[0]}, CPU seconds",
                    measured=found.cpu_seconds,
                    must=0.3 if only_help else None,
                    aim=0.15 if only_help else None,
                    at_most=True,
                    note="imports torch" if found.imports_torch else "without torch",
                )
            )
    return figures


def comparisons(options: Options) -> list[Figure]:
    """`spectra compare` of two archives of 100 checkpoints, from the shell: all of it."""
    figures = []
    # the warm-up compiles the modules, as anybody's first command does
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    count = 100 if options.sequences is None else 4
    with tempfile.TemporaryDirectory() as name:
        for num_layers in (5, 12):
            paths = [Path(name) / f"{run}{num_layers}.spectra.h5" for run in "ab"]
            for path, exponent in zip(paths, (0.8, 0.81), strict=True):
                write_archive(path, num_checkpoints=count, num_layers=num_layers, exponent=exponent)
            command = [sys.executable, "-m", "spectra_cli", "compare", *map(str, paths)]
            run = partial(subprocess.run, command, check=True, capture_output=True, env=environment)
            timings = interleave({"compare": run}, rounds=options.rounds)
            figures.append(
                Figure(
                    name=f"spectra compare, 2 x {count} checkpoints, {num_layers} layers, seconds",
                    measured=timings.spread("compare"),
                    must=2.0,
                    at_most=True,
                    note="activations and the gradients of four matrices a layer",
                )
            )
    return figures


def estimates_of_time(options: Options) -> list[Figure]:
    """Time that `spectra inspect` expects over that of the scan; the bound is on how far it is off."""
    figures = []
    for name, case in estimates.CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            estimates.write_run(case, run)
            pairs = [estimates.estimated_and_actual(case, run) for _ in range(min(options.rounds, 3))]
        ratio = Spread.of([expected / actual for expected, actual in pairs])
        off = Spread.of([max(expected / actual, actual / expected) for expected, actual in pairs])
        note = f"estimate / actual {ratio.median:.2f} ({ratio.smallest:.2f} - {ratio.largest:.2f})"
        figures.append(
            Figure(
                name=f"time estimate off by, {name}",
                measured=off,
                must=4 / 3,
                at_most=True,
                note=f"{note} of {pairs[-1][1]:.1f} s",
            )
        )
    return figures


ROWS: dict[str, Callable[[Options], list[Figure]]] = {
    "small-bare": small_bare,
    "small-naive": small_naive,
    "large": large,
    "gradient-rivals": gradient_rivals,
    "weight-rivals": weight_rivals,
    "memory-series": memory_of_series,
    "memory-budget": memory_of_budgets,
    "memory-estimates": memory_of_estimates,
    "startup": start_up,
    "compare": comparisons,
    "estimates": estimates_of_time,
}
