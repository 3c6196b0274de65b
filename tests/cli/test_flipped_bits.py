"""A flipped bit in an archive without a seal: each command refuses it, or says the same as without it."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import resource
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spectra_cli.archive import writer
from spectra_cli.archive.file import file_access, guard
from spectra_cli.archive.file.seal import SEAL_BYTES
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.cli.app import app
from spectra_cli.core.errors import ArchiveError, SpectraError
from spectra_cli.core.types import Site, Spectrum, SpectrumKind, Vectors

STEPS = (1, 2, 4, 8, 16, 32, 64)
COMMANDS = {
    "show": ("show", "a.spectra.h5", "--json"),
    "compare": ("compare", "a.spectra.h5", "b.spectra.h5", "--align", "step", "--at", "8,64", "--json"),
    "phases": ("phases", "a.spectra.h5", "--json"),
    "drift": ("drift", "a.spectra.h5", "--json"),
    "forecast": ("forecast", "a.spectra.h5", "--json"),
    "report": ("report", "a.spectra.h5", "--overwrite", "--json"),
}
# What a flip may lead to, worst last.
OUTCOMES = ("refused", "the same", "died", "OTHER OUTPUT", "CRASHED")
_SECONDS, _MEMORY_BYTES = 20, 4 << 30
_COMMANDS_EVERY = 29  # bits; where the reader tells no difference, the commands are run on one in so many


@pytest.fixture(scope="module")
def old(tmp_path_factory, write_run) -> Path:
    """`a` and `b` as format 1.2 has them: without a seal, and silent about their runs."""
    folder = tmp_path_factory.mktemp("old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "FORMAT_VERSION", "1.2")
        for number, name in enumerate("ab"):
            path = folder / f"{name}.spectra.h5"
            losses = [2.0 + 2.5 / step**0.4 + 0.01 * number for step in STEPS]
            write_run(
                path, steps=STEPS, losses=losses, exponents=np.linspace(1.2, 1.6, 7) + 0.1 * number,
                noise=0.02, width=24, seed=number, eval_loss=losses, lies_in=folder / name,
            )  # fmt: skip
            write_archive(path, [replace(c, spectra=(*c.spectra, *_weights(c))) for c in open_archive(path)])
            os.truncate(path, path.stat().st_size - SEAL_BYTES)
    return folder


def _weights(checkpoint: Any) -> list[Spectrum]:
    """One matrix with two of its vectors."""
    rng = np.random.default_rng(checkpoint.ref.step)
    left, values, right = np.linalg.svd(rng.standard_normal((8, 10)), full_matrices=False)
    vectors = Vectors(right=right[:2].astype(np.float32), left=left.T[:2].astype(np.float32))
    return [
        Spectrum(
            site=Site.parse("blocks.0.mlp.down", name="down"), measurement="weight",
            kind=SpectrumKind.SINGULAR_VALUES, values=values, num_samples=8, ambient_dim=10, centered=False,
            unit="", vectors=vectors,
        )
    ]  # fmt: skip


def _walked_here(paths: list[Path]) -> dict[Path, Any]:
    """What a child process would find; this process is one already."""
    found = {}
    for path in paths:
        try:
            found[path] = guard._walk(path)
        except Exception as error:
            raise ArchiveError(f"{path} is damaged ({error})") from error
    return found


def _output(words: tuple[str, ...]) -> str | None:
    """What a command prints; None where it refuses."""
    out, before = io.StringIO(), sys.stdout
    sys.stdout = out
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            app(list(words), prog_name="spectra", standalone_mode=False)
    except SpectraError:
        return None
    finally:
        sys.stdout = before
    return out.getvalue()


def _everything(path: Path) -> bytes:
    """All that the archive's reader, which every command reads through, gives of a file without a seal."""
    archive = open_archive(path)
    facts = (archive.entries, archive.provenance, archive.statement, archive.measurements, archive.notices)
    every = range(len(archive))
    # a scalar over the series comes from the checkpoints, and of one alone its digest is checked as of all
    checkpoints = [list(archive.checkpoints(every, vectors=vectors)) for vectors in (True, False)]
    return pickle.dumps((facts, checkpoints))


def _in_a_child(work: Callable[[], str]) -> str:
    """What the work returns, in a process that may die of it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        answer = "CRASHED"
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS + 1))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            answer = work()
        finally:
            os.write(write, answer.encode())
            os._exit(0)
    os.close(write)
    told = b""
    while piece := os.read(read, 4096):
        told += piece
    os.close(read)
    _, status = os.waitpid(child, 0)
    return told.decode() or f"died of {signal.Signals(os.WTERMSIG(status)).name}"


def flipped(folder: Path, bits: list[int], *, run_all: bool = True) -> dict[str, Counter[str]]:
    """Command -> outcome -> how many of the bits, flipped alone, led to it; others are named.

    Args:
        folder: with both archives; bits: of `a`.
        run_all: False spares the commands most flips after which the reader gives what it gave before.
    """
    path = folder / "a.spectra.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(file_access, "walk_in_child", _walked_here)
        patch.setattr(file_access, "walk_unsealed", lambda _: None)
        expected = {name: _output(words) for name, words in COMMANDS.items()}
        assert None not in expected.values()
        assert "unfinished" in expected["show"]
        read = _everything(path)
        assert read == _everything(path)

        def outcomes(bit: int) -> str:
            try:
                open_archive(path)
            except ArchiveError:  # as all five open it
                return ",".join([OUTCOMES[0]] * len(COMMANDS))
            if not run_all and bit % _COMMANDS_EVERY:
                with contextlib.suppress(ArchiveError):
                    if _everything(path) == read:
                        return ",".join([OUTCOMES[1]] * len(COMMANDS))
            found = []
            for name, words in COMMANDS.items():
                output = _output(words)
                found.append(
                    OUTCOMES[0] if output is None else OUTCOMES[1 if output == expected[name] else 3]
                )
            return ",".join(found)

        counts: dict[str, Counter[str]] = {name: Counter() for name in COMMANDS}
        with path.open("r+b", buffering=0) as file:
            for bit in bits:
                (byte,) = os.pread(file.fileno(), 1, bit // 8)
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit % 8]), bit // 8)
                told = _in_a_child(partial(outcomes, bit)).split(",")
                os.pwrite(file.fileno(), bytes([byte]), bit // 8)
                for name, outcome in zip(COMMANDS, told if len(told) > 1 else told * 5, strict=True):
                    counts[name][outcome if outcome in OUTCOMES[:2] else f"{outcome}: bit {bit}"] += 1
    return counts


def small_data(path: Path) -> list[int]:
    """Every bit of the scalar datasets and the coordinates."""
    bits: list[int] = []

    def visit(_: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim < 2 and node.dtype.kind in "iuf":
            ranges = [(node.id.get_offset(), node.id.get_storage_size())]
            if node.chunks is not None:
                chunks = (node.id.get_chunk_info(n) for n in range(node.id.get_num_chunks()))
                ranges = [(chunk.byte_offset, chunk.size) for chunk in chunks]
            for start, size in ranges:
                bits.extend(range(8 * (start or 0), 8 * ((start or 0) + size)) if start is not None else ())

    with h5py.File(path) as root:
        root.visititems(visit)
    return bits


def wrong(counts: dict[str, Counter[str]]) -> dict[str, list[str]]:
    found = {name: [o for o in of if o not in OUTCOMES[:2]] for name, of in counts.items()}
    return {name: of for name, of in found.items() if any(not o.startswith("died") for o in of)}


def test_a_sample_of_flips_is_refused_or_changes_nothing(old, tmp_path):
    folder = Path(shutil.copytree(old, tmp_path / "old"))
    size = (folder / "a.spectra.h5").stat().st_size
    draw = random.Random(0)
    counts = flipped(
        folder, [*draw.sample(range(8 * size), 6), *draw.sample(small_data(folder / "a.spectra.h5"), 4)]
    )
    assert wrong(counts) == {}
    assert all(of["refused"] > 2 for of in counts.values())


@pytest.mark.exhaustive
def test_flips_over_all_bytes_and_every_bit_of_small_data(old, tmp_path):
    folder = Path(shutil.copytree(old, tmp_path / "old"))
    path = folder / "a.spectra.h5"
    bits = [*random.Random(1).sample(range(8 * path.stat().st_size), 3000), *small_data(path)]
    counts = flipped(folder, bits, run_all=False)
    for name, of in counts.items():
        sys.stderr.write(f"{name}: {len(bits)} flips: {dict(of)}\n")
    assert wrong(counts) == {}
