"""CPU time and memory of figures of 200 checkpoints of 48 layers: `python -m benchmarks.pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.archives import write_archive
from benchmarks.processes import usage_of

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
            used = usage_of(["plot", name, str(archive), "-o", str(target)])
            print(f"{name}: {used}", flush=True)


if __name__ == "__main__":
    main()
