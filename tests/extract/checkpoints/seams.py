"""Something happens to a checkpoint's files between two looks at them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files import stored_file
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.series.opened import open_series

WEIGHTS = (".safetensors", ".bin", ".pt", ".distcp", ".gguf")


class Seams:
    """Counts looks at files: every opening, and every read; before each, `act` may happen."""

    def __init__(self, patch, at=-1, act=lambda: None):
        self.count, self._at, self._act = 0, at, act
        opening, reading = stored_file.StoredFile.__init__, stored_file.StoredFile.read_up_to

        def open_file(file, *arguments, **settings):
            self._seam()
            opening(file, *arguments, **settings)
            self._seam()

        def read_up_to(file, *arguments):
            self._seam()
            return reading(file, *arguments)

        patch.setattr(stored_file.StoredFile, "__init__", open_file)
        patch.setattr(stored_file.StoredFile, "read_up_to", read_up_to)

    def _seam(self):
        self.count += 1
        if self.count == self._at:
            self._act()


def read_with_seams(path, at=-1, act=lambda: None):
    """What an archive would say of the one checkpoint there (its metadata, the digest of its tensors) where
    `act` happens at one seam, and how many seams there are; None for an error of that checkpoint.
    """
    series = open_series(str(path))
    (ref,) = series.refs
    with pytest.MonkeyPatch.context() as patch:
        seams = Seams(patch, at, act)
        try:
            with one_reading():
                header = series.source.header(ref)
                digest = state_digest(series.source.open(ref))
        except CheckpointError:
            return None, seams.count
    told = (header.tokens_seen, header.train_loss, header.eval_loss, header.learning_rate, header.stated_step)
    return (ref.step, digest, header.fingerprint, str(header.config), *told), seams.count


def truncate_at_every_seam(path, num_seams):
    """Print how reading ends where the file of weights is cut to its half at each seam."""
    files = [file for file in Path(path).rglob("*") if file.suffix in WEIGHTS]
    large = max(files, key=lambda file: file.stat().st_size)
    content = large.read_bytes()
    for at in num_seams:
        large.write_bytes(content)
        found, _ = read_with_seams(path, at, lambda: large.open("r+b").truncate(len(content) // 2))
        sys.stdout.write(f"{path} {at} {'an error' if found is None else 'no error'}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for argument in sys.argv[1:]:
        place, _, numbers = argument.rpartition(":")
        truncate_at_every_seam(place, map(int, numbers.split(",")))
