from __future__ import annotations

import pytest

from spectra_cli.archive.content.layout import (
    archives_meant,
    checkpoint_order,
    default_archive_path,
    identity,
    list_parts,
    part_path,
    parts_folder,
    resolve_archive,
)
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import CheckpointRef


def ref(step: int | None, uri: str = "/a", label: str = "") -> CheckpointRef:
    return CheckpointRef(run="a", step=step, uri=uri, format="hf", label=label)


def test_parts_lie_beside_the_archive_under_readable_distinct_names(tmp_path):
    archive = tmp_path / "a.spectra.h5"
    path = part_path(archive, ref(5, label="best/of"))
    assert path.parent == parts_folder(archive) == tmp_path / "a.spectra.h5.parts"
    assert path.name.startswith("step5-best_of-")
    assert path != part_path(archive, ref(5, label="best_of"))
    assert part_path(archive, ref(None, "/a")) != part_path(archive, ref(None, "/b"))


def test_list_parts_sees_no_temporary_files(tmp_path):
    folder = tmp_path / "a.spectra.h5.parts"
    folder.mkdir()
    for name in ("step5-x.spectra.h5", ".step9-x.spectra.h5.host.1.00000000.tmp", "note.txt"):
        (folder / name).touch()
    assert [p.name for p in list_parts(tmp_path / "a.spectra.h5")] == ["step5-x.spectra.h5"]


@pytest.mark.parametrize(
    ("checkpoints", "name"),
    [("runs/a", "a"), ("runs/a/", "a"), ("runs/v1.5", "v1.5"), ("x/ckpt.pt", "ckpt"), (".", "here")],
)
def test_default_archive_path(tmp_path, checkpoints, name):
    cwd = tmp_path / "here"
    assert default_archive_path(checkpoints, cwd) == cwd / f"{name}.spectra.h5"


def test_an_archive_is_found_by_path_by_folder_and_by_its_parts(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    archive = tmp_path / "a.spectra.h5"
    with pytest.raises(ArchiveError, match=r"looked for .*runs/a and .*a\.spectra\.h5"):
        resolve_archive("runs/a", tmp_path)
    parts_folder(archive).mkdir()
    assert resolve_archive("runs/a", tmp_path) == archive
    parts_folder(archive).rmdir()
    archive.touch()
    assert resolve_archive("runs/a", tmp_path) == archive
    assert resolve_archive("a.spectra.h5", tmp_path) == archive
    assert resolve_archive(archive, tmp_path / "runs") == archive


def test_an_archive_beside_the_folder_is_found_where_the_working_directory_has_none(tmp_path):
    (tmp_path / "demo" / "a").mkdir(parents=True)
    beside, own = tmp_path / "demo" / "a.spectra.h5", tmp_path / "a.spectra.h5"
    beside.touch()
    assert resolve_archive("demo/a", tmp_path) == beside
    assert archives_meant("demo/a", tmp_path) == (beside,)
    own.touch()
    assert resolve_archive("demo/a", tmp_path) == own
    assert archives_meant("demo/a", tmp_path) == (own, beside)
    beside.unlink()
    beside.symlink_to(own)
    assert archives_meant("demo/a", tmp_path) == (own,)


def test_an_archive_that_is_missing_is_not_taken_for_a_folder_of_checkpoints(tmp_path):
    with pytest.raises(ArchiveError, match=r"`spectra scan CKPT_DIR -o a\.spectra\.h5`") as caught:
        resolve_archive("a.spectra.h5", tmp_path)
    assert "h5.spectra" not in str(caught.value)


def test_a_checkpoint_file_means_its_archive(tmp_path):
    (tmp_path / "ckpt.pt").touch()
    (tmp_path / "ckpt.spectra.h5").touch()
    assert resolve_archive("ckpt.pt", tmp_path) == tmp_path / "ckpt.spectra.h5"


def test_order_is_by_step_then_label_and_unknown_steps_come_last():
    ordered = [ref(2), ref(10), ref(10, label="best"), ref(None, "/x9"), ref(None, "/x10")]
    shuffled = [ordered[i] for i in (4, 1, 3, 0, 2)]
    assert sorted(shuffled, key=checkpoint_order) == ordered


def test_stages_come_one_after_the_other_though_each_counts_its_steps_anew():
    first, late, second = ref(500, label="stage1"), ref(9000, label="stage1"), ref(10, label="stage2")
    assert sorted([second, late, first], key=checkpoint_order) == [first, late, second]


def test_identity_survives_a_move_only_where_the_step_is_known():
    assert identity(ref(5, "/a")) == identity(ref(5, "/b"))
    assert identity(ref(5)) != identity(ref(5, label="x"))
    assert identity(ref(None, "/a")) != identity(ref(None, "/b"))
