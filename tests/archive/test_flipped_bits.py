"""Every bit of an archive, flipped: with a seal it is refused, without one it is refused or found."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import h5py
import pytest

from spectra_cli.archive.file.file_access import opened
from spectra_cli.archive.file.seal import MAGIC, SEAL_BYTES
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.single_file import read_model_scalar
from spectra_cli.archive.validate import validate
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError

OLD_FORMATS = Path(__file__).parent / "formats"


@pytest.fixture
def path(tmp_path, make_checkpoint):
    path = tmp_path / "a.spectra.h5"
    write_archive(path, [make_checkpoint(0)])
    return path


def accepted(path, bits):
    """Those of the bits that, flipped alone, do not stop the file from being opened."""
    passed = []
    with path.open("r+b", buffering=0) as file:
        for bit in bits:
            (byte,) = os.pread(file.fileno(), 1, bit // 8)
            os.pwrite(file.fileno(), bytes([byte ^ 1 << bit % 8]), bit // 8)
            try:
                with opened(path):
                    passed.append(bit)
            except ArchiveError:
                pass
            os.pwrite(file.fileno(), bytes([byte]), bit // 8)
    return passed


def without_mark(path):
    """All bits but those of the seal's first bytes, without which a child process has to look at the file."""
    size = path.stat().st_size
    mark = range(8 * (size - SEAL_BYTES), 8 * (size - SEAL_BYTES + len(MAGIC)))
    return [bit for bit in range(8 * size) if bit not in mark], mark


def test_a_flipped_bit_of_a_sealed_archive_is_refused(path):
    others, mark = without_mark(path)
    draw = random.Random(0)
    sample = [*draw.sample(others, 300), *others[-8 * (SEAL_BYTES - len(MAGIC)) :], *draw.sample(mark, 2)]
    assert accepted(path, sample) == []
    assert len(open_archive(path)) == 1


@pytest.mark.exhaustive
def test_every_flipped_bit_of_a_sealed_archive_is_refused(path):
    others, mark = without_mark(path)
    assert accepted(path, [*others, *mark]) == []


def test_a_flipped_scalar_without_a_seal_is_no_number(tmp_path):
    path = tmp_path / "a.spectra.h5"
    shutil.copy(OLD_FORMATS / "1.2.h5", path)
    assert open_archive(path).scalars_over("probe_loss").tolist() == [3.5] * 3
    archive = open_archive(path)
    for name, index in (("value", (0, 0)), ("delete_one_block", (1, 0, 1))):
        with h5py.File(path, "r+") as root:
            before = root[f"scalars/loss/probe_loss/{name}"][index]
            root[f"scalars/loss/probe_loss/{name}"][index] = before * 1.001
        for read in (archive.scalars_over, archive.replicates_over):
            with pytest.raises(ArchiveError, match="does not match its digest"):
                read("probe_loss")
        with h5py.File(path, "r+") as root:
            root[f"scalars/loss/probe_loss/{name}"][index] = before


def test_what_was_verified_for_its_scalars_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a.spectra.h5"
    shutil.copy(OLD_FORMATS / "1.2.h5", path)
    archive, reads = open_archive(path), []

    def counted(*given):
        reads.append(given)
        return read_model_scalar(*given)

    monkeypatch.setattr("spectra_cli.archive.reader.read_model_scalar", counted)
    assert [archive.scalars_over("probe_loss").tolist() for _ in range(2)] == [[3.5] * 3] * 2
    assert [one.tolist() for one in archive.replicates_over("probe_loss")] == [[3.4, 3.6]] * 3
    assert len(reads) == 1


def test_the_scalars_of_a_file_that_was_written_anew_are_not_those_of_the_old_table(path, make_checkpoint):
    archive = open_archive(path)
    write_archive(path, [make_checkpoint(0, seed=1)])
    with pytest.raises(ArchiveError, match="replaced meanwhile"):
        archive.scalars_over("probe_loss")


def test_changed_labels_and_padding_without_a_seal_are_found(tmp_path):
    path = tmp_path / "a.spectra.h5"
    shutil.copy(OLD_FORMATS / "1.0.h5", path)
    group = "activation_covariance"
    values = ("checkpoint", "probe_sequence", f"{group}/rank", f"{group}/block", f"{group}/step")
    with h5py.File(path, "r+") as root:
        for name in values:
            root[name][0] ^= 1
        root[f"{group}/block_profile"][0, 0, 0, -1] = 1.0
        root["tokens_seen"].attrs["units"] = "tokenz"
        root["weight/rank"].attrs["long_name"] = "plaze"
        root["unknown"].attrs["long_name"] = "JSON: namez"
        root["scalars/loss/probe_loss"].attrs["coordinates"] = "step site_namf"
    found = {finding.where.rpartition(":")[2] for finding in validate(path)}
    expected = {
        *values,
        f"{group}/block_profile",
        "tokens_seen",
        "weight/rank",
        "unknown",
        "scalars/loss/probe_loss",
    }
    assert found >= {f"/{name}" for name in expected}


@pytest.mark.parametrize("version", ["0.9", "1", "1.x", "01.2", "1.2 ", ""])
def test_what_is_no_version_is_refused(tmp_path, edited, version):
    path = tmp_path / "a.spectra.h5"
    shutil.copy(OLD_FORMATS / "1.2.h5", path)
    with edited(path) as root:
        root.attrs["format_version"] = version
    with pytest.raises(ArchiveError, match=r"expected 1\.0 to 1\.3"):
        open_archive(path)
