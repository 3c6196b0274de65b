"""When the addresses of checkpoints show that an archive may hold two runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.origin import run_folders
from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.validate import Severity, validate
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.types import CheckpointRef

HUB = "/cache/models--org--name/snapshots"


@pytest.mark.parametrize(
    ("uris", "folders"),
    [
        ({1: "/a/out/checkpoint-1", 2: "/b/out/checkpoint-2"}, ["/a/out", "/b/out"]),
        ({1: "/a/out/ckpt.pt", 2: "/b/out/ckpt.pt"}, ["/a/out", "/b/out"]),
        ({1: "/a/out/step1/model.pt", 2: "/b/out/000002/model_000002.pt"}, ["/a/out", "/b/out"]),
        ({1: "/a/seed1/ckpt_1.pt", 2: "/a/seed2/ckpt_2.pt"}, ["/a/seed1", "/a/seed2"]),
        # one run
        ({1: "/a/out/step1/model.pt", 20: "/a/out/step20/model.pt"}, ["/a/out"]),
        ({1: "/a/out/checkpoint-1/adapters/x", 2: "/a/out/checkpoint-2/adapters/x"}, ["/a/out"]),
        ({1: "/a/out/checkpoints/ckpt_1.pt", 2: "/a/out/ckpt_2.pt", 3: "/a/out/best/3.pt"}, ["/a/out"]),
        ({1: f"{HUB}/0a1/", 2: f"{HUB}/7f0/"}, ["hub:org/name"]),
        # nothing shows it
        ({5: "/a/out", 6: "/b/out"}, []),
        ({None: "/a/out/final"}, []),
    ],
)
def test_the_folders_that_addresses_show(uris, folders):
    refs = [CheckpointRef(run="out", step=step, uri=uri, format="hf") for step, uri in uris.items()]
    assert list(run_folders(refs)) == folders


@pytest.mark.parametrize(
    ("origins", "is_mixed"),
    [((), True), (("/exp1/out",), True), (("/exp1/out", "/exp2/out"), False), (("/exp1", "/exp2"), False)],
)
def test_a_scan_that_knew_both_folders_as_one_run_is_believed(tmp_path, make_checkpoint, origins, is_mixed):
    path = tmp_path / "a.spectra.h5"
    checkpoints = [
        replace(one, ref=replace(one.ref, uri=f"/exp{number}/out/step{one.ref.step}"))
        for number, one in enumerate((make_checkpoint(0), make_checkpoint(5)), start=1)
    ]
    write_archive(path, checkpoints, Statement(origins=origins))
    archive = open_archive(path)
    assert bool(archive.mixture) is is_mixed
    assert (archive.mixture in archive.notices) is is_mixed
    assert ("2 folders (/exp1/out: step0; /exp2/out: step5)" in archive.mixture) is is_mixed
    warned = [f.message for f in validate(path) if f.severity is Severity.WARNING]
    assert (archive.mixture in warned) is is_mixed


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parent / "formats").glob("*.h5")), ids=lambda f: f.name
)
def test_an_old_archive_of_one_run_is_not_pointed_out(tmp_path, file):
    shutil.copy(file, tmp_path / "a.spectra.h5")
    assert open_archive(tmp_path / "a.spectra.h5").notices == ()
