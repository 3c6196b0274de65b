"""A contender in a process of its own, which works each time it is asked.

What one side does to its process (kept memory, thread pools, choice of kernels) does not reach the other.
`python -m benchmarks.contender THREADS FAMILY NAME NUM_SEQUENCES` is that process; it reads `run CHUNK` and
`values FILE` from its input and answers each with a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import torch

from benchmarks import rivals_gradients
from benchmarks.ours import GRADIENT, Spectra
from benchmarks.rivals_gradients import CannotRun

_READY, _DONE, _CANNOT = "ready", "done", "cannot"


class Contender:
    """One side of the gradient comparison, alive between the rounds; a key of `CONTENDERS`."""

    def __init__(self, family: str, name: str, num_sequences: int, *, threads: int) -> None:
        """Start the process and wait until its model is built."""
        self.chunk = 0
        command = [sys.executable, "-m", "benchmarks.contender", str(threads), family, name]
        self._process = subprocess.Popen(
            [*command, str(num_sequences)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self._hear(_READY)
        except CannotRun:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self) -> None:
        """Work once, `chunk` sequences at a time."""
        self._ask(f"run {self.chunk}")

    def values(self) -> Spectra:
        """What the last run returned."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "values.npz"
            self._ask(f"values {file}")
            with np.load(file) as found:
                return {(GRADIENT, address): found[address] for address in found.files}

    def _end(self) -> None:
        self._process.kill()
        with self._process:  # closes the pipes and waits
            pass

    def _ask(self, words: str) -> None:
        assert self._process.stdin is not None
        print(words, file=self._process.stdin, flush=True)
        self._hear(_DONE)

    def _hear(self, expected: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer, said = json.loads(line) if line else ("ended", "the contender's process ended")
        if answer != expected:
            raise CannotRun(said)


def _serve(threads: int, family: str, name: str, num_sequences: int) -> None:
    torch.set_num_threads(threads)
    work = rivals_gradients.make_work(family, num_sequences=num_sequences)
    run = partial(rivals_gradients.CONTENDERS[name], work)
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    print(json.dumps([_READY, ""]), file=answers, flush=True)
    found: Spectra = {}
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "run":
                found = run(int(argument))
            else:
                np.savez(argument, **{address: values for (_, address), values in found.items()})
        except (CannotRun, ModuleNotFoundError) as reason:
            print(json.dumps([_CANNOT, str(reason)]), file=answers, flush=True)
        else:
            print(json.dumps([_DONE, ""]), file=answers, flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
