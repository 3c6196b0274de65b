"""Peak resident memory of scans and rivals, each in a process of its own.

`python -m benchmarks.memory CASE ...` is that process: it prepares, resets the kernel's high-water mark
(`/proc/self/clear_refs`), works, and prints what the mark rose to. Linux only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

MIB = 2**20


def peak_bytes(case: str, *arguments: str, threads: int) -> dict[str, Any]:
    """What one case reports: `peak_bytes` above the level before the work, and its own entries.

    Args:
        case: a key of `CASES`.
        arguments: of that case.
        threads: of torch in the process.

    Raises:
        RuntimeError: the process failed; with the end of what it wrote.
    """
    command = [sys.executable, "-m", "benchmarks.memory", str(threads), case, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def write_series(folder: Path, *, num_checkpoints: int, width: int = 256, num_layers: int = 6) -> int:
    """Checkpoint files of the paper's decoder with seeded weights; bytes of one model's tensors."""
    import torch

    from benchmarks.workloads import WORKLOADS, build_model

    size = 0
    work = replace(WORKLOADS["small"], width=width, num_layers=num_layers)
    for step in range(num_checkpoints):
        state = build_model(work, seed=step).module.state_dict()
        size = sum(t.nbytes for t in state.values())
        torch.save(
            {"model": state, "args": {"n_head": work.num_heads}, "step": step},
            folder / f"checkpoint_step{step:06d}.pt",
        )
    return size


def scan_series(folder: Path, output: Path, *, memory_bytes: int | None = None) -> None:
    """Scan with synthetic tokens: 64 covariance and 32 gradient sequences of 128 tokens, all layers."""
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import ScanSettings
    from spectra_cli.workflows.scan import scan

    settings = ScanSettings(
        preset="benchmark", num_sequences=64, num_gradient_sequences=32, sequence_length=128
    )
    request = ScanRequest(
        checkpoints=str(folder),
        settings=settings,
        probe="synthetic",
        output=output,
        memory_bytes=memory_bytes,
        device="cpu",
    )
    scan(request, lambda _: None)


def _series(count: str) -> dict[str, Any]:
    """A scan of `count` checkpoints, after one small one that loads every library."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        folder.mkdir()
        model_bytes = write_series(folder, num_checkpoints=int(count))
        _warm_up(Path(name))
        return peak_of(lambda: scan_series(folder, Path(name) / "a.spectra.h5")) | {
            "model_bytes": model_bytes
        }


def _budget(memory_bytes: str) -> dict[str, Any]:
    """A scan of one checkpoint in a budget; a refusal is reported with its message."""
    from spectra_cli.core.errors import BudgetError

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        folder.mkdir()
        write_series(folder, num_checkpoints=1)
        _warm_up(Path(name))
        output = Path(name) / "a.spectra.h5"
        try:
            return peak_of(lambda: scan_series(folder, output, memory_bytes=int(memory_bytes)))
        except BudgetError as error:
            return {"refused": str(error), "smallest_bytes": smallest_that_works(str(error))}


def _gradients(family: str, name: str, chunk: str, num_sequences: str) -> dict[str, Any]:
    """One contender of the gradient comparison, `chunk` sequences at a time; 0 where `spectra` may choose."""
    from benchmarks import rivals_gradients

    work = rivals_gradients.make_work(family, num_sequences=int(num_sequences))
    small = rivals_gradients.make_work(
        family, width=32, num_layers=1, num_heads=2, vocab_size=61, sequence_length=16, num_sequences=4
    )
    run = rivals_gradients.CONTENDERS[name]
    run(small, 2)
    return peak_of(lambda: run(work, int(chunk)))


def _estimate(family: str, cell: str, folder: str) -> dict[str, Any]:
    """A scan of a small model's run, beside what was planned for it."""
    from benchmarks import memory_estimates

    return memory_estimates.estimate_and_peak(family, cell, Path(folder))


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    "series": _series,
    "budget": _budget,
    "gradients": _gradients,
    "estimate": _estimate,
}


def smallest_that_works(message: str) -> int:
    """The budget that a refusal names, in bytes.

    >>> smallest_that_works("the memory budget is 0.00 GiB; the smallest plan needs 0.50 GiB (model ...)")
    536870912
    """
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    found = re.search(r"smallest plan needs ([\d.,]+) (KiB|MiB|GiB)", message)
    if found is None:
        raise ValueError(f"this refusal names no budget that works: {message}")
    return round(float(found[1].replace(",", "")) * units[found[2]])


def _warm_up(folder: Path) -> None:
    (folder / "warm").mkdir()
    write_series(folder / "warm", num_checkpoints=1, width=32, num_layers=1)
    scan_series(folder / "warm", folder / "warm.spectra.h5")


def peak_of(work: Callable[[], object]) -> dict[str, Any]:
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return {"peak_bytes": _status_bytes("VmHWM") - before}


def _status_bytes(entry: str) -> int:
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{entry}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps(CASES[sys.argv[2]](*sys.argv[3:])))
