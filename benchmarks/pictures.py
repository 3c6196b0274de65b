"""CPU time and memory of figures of 200 checkpoints of 48 layers: `python -m benchmarks.pictures`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.archives import write_archive

NUM_CHECKPOINTS, NUM_LAYERS = 200, 48
FIGURES = ("spectrum", "trajectory", "layers", "phases")


def main() -> None:
    """One line a figure, each by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "run.spectra.h5"
        write_archive(archive, num_checkpoints=NUM_CHECKPOINTS, num_layers=NUM_LAYERS, exponent=1.0)
        print(
            f"{NUM_CHECKPOINTS} checkpoints x {NUM_LAYERS} layers: {archive.stat().st_size / 2**20:.0f} MiB"
        )
        for name in FIGURES:
            target = archive.with_suffix(f".{name}.png")
            words = ("plot", name, str(archive), "--measure", "activations", "-o", str(target))
            begun = time.perf_counter()
            with subprocess.Popen([sys.executable, "-m", "spectra_cli", *words]) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            print(
                f"{name}: {time.perf_counter() - begun:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} CPU s, "
                f"{usage.ru_maxrss / 1024:.0f} MiB at most, exit code {process.returncode}",
                flush=True,
            )


if __name__ == "__main__":
    main()
