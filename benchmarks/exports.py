"""CPU time, memory and size of exports of an archive of 200 checkpoints: `python -m benchmarks.exports`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.archives import write_archive

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
            command = [sys.executable, "-m", "spectra_cli", "export", str(archive), "-o", str(target)]
            with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
                assert process.stderr is not None
                said = process.stderr.read().splitlines()[-1]
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            print(
                f"{said.rpartition('/')[2]}: {usage.ru_utime + usage.ru_stime:.1f} CPU s, "
                f"{usage.ru_maxrss / 1024:.0f} MiB at most, file of {target.stat().st_size / 2**20:.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
