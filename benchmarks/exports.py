"""CPU time, memory and size of exports of an archive of 200 checkpoints: `python -m benchmarks.exports`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.archives import write_archive
from benchmarks.processes import usage_of

NUM_CHECKPOINTS, NUM_LAYERS = 200, 12
EXPORTS = (
    ("statistics.csv",),
    ("statistics.parquet",),
    ("spectra.nc", "--spectra"),
    ("spectra.npz", "--spectra"),
    ("spectra.parquet", "--spectra"),
)


def main() -> None:
    """One line an export, each by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "run.spectra.h5"
        write_archive(archive, num_checkpoints=NUM_CHECKPOINTS, num_layers=NUM_LAYERS, exponent=1.0)
        print(f"archive of {NUM_CHECKPOINTS} checkpoints: {archive.stat().st_size / 2**20:.0f} MiB")
        for name, *options in EXPORTS:
            target = Path(folder) / name
            used = usage_of(["export", str(archive), "-o", str(target), *options])
            size = target.stat().st_size / 2**20
            print(f"{used.said.rpartition('/')[2]}: {used}, file of {size:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
