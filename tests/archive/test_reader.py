from __future__ import annotations

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from spectra_cli.archive.content.layout import parts_folder
from spectra_cli.archive.reader import finished, open_archive
from spectra_cli.archive.validate import validate
from spectra_cli.archive.writer import consolidate, write_archive, write_part
from spectra_cli.core.errors import ArchiveError

OLD_FORMATS = Path(__file__).parent / "formats"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.spectra.h5"


def test_exact_round_trip_of_a_series_with_changing_sites_and_ranks(path, series, as_values):
    write_archive(path, series)
    archive = open_archive(path)
    assert [as_values(c) for c in archive] == [as_values(c) for c in series]
    assert archive.refs == tuple(c.ref for c in series)
    assert archive.infos == tuple(c.info for c in series)
    assert archive.provenance == replace(series[0].provenance, execution={})


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_file_of_an_older_format_is_read_validated_and_continued(
    path, make_checkpoint, make_vectors, as_values, version
):
    """The file was written by the version that had this format, from the same seeded checkpoints."""
    shutil.copy(OLD_FORMATS / f"{version}.h5", path)
    written = [make_checkpoint(step) for step in (0, 5, None)]
    assert [as_values(c) for c in open_archive(path)] == [as_values(c) for c in written]
    assert not [finding for finding in validate(path) if finding.severity == "error"]
    newer = make_checkpoint(10)
    newer = replace(newer, info=replace(newer.info, learning_rate=3e-4, facts={"dataset": "d"}))
    newer = make_vectors(newer)
    write_part(path, newer)
    consolidate(path)
    assert [as_values(c) for c in open_archive(path)] == [
        as_values(c) for c in (*written[:2], newer, written[2])
    ]


def test_vectors_come_back_bit_for_bit_or_stay_in_the_file(path, series, make_vectors, as_values, edited):
    kept = [make_vectors(checkpoint) for checkpoint in series]
    write_archive(path, kept)
    archive = open_archive(path)
    assert [as_values(c) for c in archive] == [as_values(c) for c in kept]
    # all else is verified without them, so that damage to them does not matter
    with edited(path) as root:
        root["weight/right_vectors"][0, 0, 0, 0] = 9.0
    without = open_archive(path).checkpoint(0, vectors=False)
    assert as_values(without) == as_values(series[0])
    with pytest.raises(ArchiveError, match="step0 does not match"):
        open_archive(path).checkpoint(0)
    with edited(path) as root:
        root["weight/vectors_digest"][0, 0] = "0" * 64
    with pytest.raises(ArchiveError, match="step0 does not match"):
        open_archive(path).checkpoint(0, vectors=False)


def test_a_series_where_only_some_checkpoints_have_vectors(path, series, make_vectors, as_values):
    mixed = [series[0], make_vectors(series[1]), series[2]]
    for checkpoint in mixed:
        write_part(path, checkpoint)
    consolidate(path)
    assert [as_values(c) for c in open_archive(path)] == [as_values(c) for c in mixed]
    assert validate(path) == ()


def test_a_loss_that_is_nan_is_not_a_loss_that_is_missing(path, make_checkpoint):
    checkpoint = make_checkpoint(0)
    write_archive(path, [replace(checkpoint, info=replace(checkpoint.info, train_loss=float("nan")))])
    (info,) = open_archive(path).infos
    assert info.train_loss != info.train_loss
    assert info.eval_loss is None


def test_names_and_paths_that_are_no_utf8_survive(path, make_checkpoint):
    checkpoint = make_checkpoint(0)
    write_archive(path, [replace(checkpoint, ref=replace(checkpoint.ref, uri="/runs/\udcff/ü"))])
    assert open_archive(path).refs[0].uri == "/runs/\udcff/ü"


def test_parts_are_read_as_if_consolidated(path, series, as_values):
    write_archive(path, series[:2])
    for checkpoint in series[2:]:
        write_part(path, checkpoint)
    open_view = open_archive(path)
    assert len(open_view.parts) == 2
    before = [as_values(c) for c in open_view]
    consolidate(path)
    assert open_archive(path).parts == ()
    assert [as_values(c) for c in open_archive(path)] == before == [as_values(c) for c in series]


def test_an_archive_of_parts_alone_opens(path, series):
    for checkpoint in series[:2]:
        write_part(path, checkpoint)
    assert not path.exists()
    assert [r.step for r in open_archive(path).refs] == [0, 5]


def test_finished_knows_what_is_done_and_names_what_is_damaged(path, series):
    assert finished(path).fingerprints == {}
    write_archive(path, series[:1])
    write_part(path, series[3])
    bad = write_part(path, series[1])
    bad.write_bytes(b"")
    done = finished(path)
    assert done.fingerprint(series[0].ref) == "files-0-0"
    assert done.fingerprint(series[3].ref) == "files-0-None"
    assert done.fingerprint(series[1].ref) is None
    assert [d.path for d in done.damaged] == [bad]
    assert bad.name in done.damaged[0].reason
    assert done.provenance == open_archive(path).provenance


def test_no_archive_and_only_damaged_parts(path, series):
    with pytest.raises(ArchiveError, match=r"no archive at .* no parts"):
        open_archive(path)
    part = write_part(path, series[0])
    part.write_bytes(b"junk")
    with pytest.raises(ArchiveError, match=f"none of its parts.*{part.name}.*junk"):
        open_archive(path)
    assert len(finished(path).damaged) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.attrs.pop("complete"), "incomplete"),
        (lambda r: r.attrs.modify("format", "other"), "'other', expected 'spectra-archive'"),
        (lambda r: r.attrs.modify("format_version", "1.4"), r"format 1\.4; the newest .* 1\.3"),
        (lambda r: r.attrs.modify("format_version", "one"), "damaged"),
        (lambda r: r.attrs.modify("probe_digest", "x"), "does not match its digest"),
        (lambda r: r.__delitem__("uri"), "damaged"),
        (lambda r: r["num_parameters"].__setitem__(0, 3), "does not match its digest"),
        (
            lambda r: r["activation_covariance/eigenvalues"].__setitem__((0, 0, 0), 9.0),
            "step0 does not match",
        ),
        (lambda r: r["weight"].pop("site"), "damaged"),
        (lambda r: r.pop("scalars"), "step0 does not match"),
    ],
)
def test_every_damage_is_named(path, series, edited, change, message):
    write_archive(path, series)
    with edited(path) as root:
        change(root)
    with pytest.raises(ArchiveError, match=message):
        list(open_archive(path))


def test_files_that_are_no_archives(tmp_path, path):
    (tmp_path / "x.txt").write_text("hello there")
    with pytest.raises(ArchiveError, match=r"starts with b'hello th'"):
        open_archive(tmp_path / "x.txt")
    with pytest.raises(ArchiveError, match="Is a directory"):
        open_archive(tmp_path)
    with pytest.raises(ArchiveError, match="no archive at"):
        open_archive(tmp_path / "x.txt" / "y")
    h5py.File(path, "w").close()
    with pytest.raises(ArchiveError, match="HDF5 but no archive"):
        open_archive(path)


def test_truncated_anywhere_is_one_clear_error(path, series):
    write_archive(path, series[:1])
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 40, 100, 1000, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"a\.spectra\.h5"):
            list(open_archive(path))


def test_flipped_bits_never_become_numbers(path, series, as_values):
    write_archive(path, series[:2])
    whole, expected = path.read_bytes(), [as_values(c) for c in series[:2]]
    flips, errors = random.Random(1), 0
    for _ in range(50):
        content = bytearray(whole)
        for _ in range(flips.choice([1, 1, 16])):
            content[flips.randrange(len(content))] ^= 1 << flips.randrange(8)
        path.write_bytes(content)
        try:
            assert [as_values(c) for c in open_archive(path)] == expected
        except ArchiveError:
            errors += 1
    # the rest hit labels for other readers, or space that nothing uses
    assert errors > 25


def test_opening_costs_no_spectra(path, make_checkpoint):
    first = make_checkpoint(0)
    write_archive(path, [replace(first, ref=replace(first.ref, step=s, uri=f"/{s}")) for s in range(100)])
    start = time.process_time()
    assert len(open_archive(path).refs) == 100
    # takes about 0.02 s of processor time
    assert time.process_time() - start < 0.3


def test_an_archive_that_was_written_anew_is_not_mixed_with_the_old_one(path, series, make_checkpoint):
    write_archive(path, series[:2])
    archive = open_archive(path)
    write_archive(path, [make_checkpoint(0, seed=1), series[1]])
    with pytest.raises(ArchiveError, match="replaced meanwhile"):
        archive.checkpoint(0)
    assert not parts_folder(path).exists()


def test_several_checkpoints_at_once_are_those_read_one_by_one(path, series, make_checkpoint, as_values):
    write_archive(path, series[:2])
    write_part(path, make_checkpoint(10))
    archive = open_archive(path)
    order = [2, 0, 1, 0]
    together = [as_values(c) for c in archive.checkpoints(order)]
    assert together == [as_values(archive.checkpoint(index)) for index in order]


def test_a_damaged_checkpoint_among_several_is_refused(path, series, edited):
    write_archive(path, series)
    archive = open_archive(path)
    with edited(path) as root:
        root["activation_covariance/eigenvalues"][1] *= 2
    reading = archive.checkpoints([0, 1])
    next(reading)
    with pytest.raises(ArchiveError, match="step5 does not match its digest"):
        next(reading)


def test_a_scalar_over_the_series_is_that_of_each_checkpoint_also_of_parts(path, series, make_checkpoint):
    write_archive(path, series[:2])
    bare = replace(make_checkpoint(20), scalars=())
    for checkpoint in (make_checkpoint(10), bare):
        write_part(path, checkpoint)
    archive = open_archive(path)
    expected = [
        next((s.value for s in c.scalars if s.name == "probe_loss" and s.site is None), None) for c in archive
    ]
    found = archive.scalars_over("probe_loss")
    assert [None if value != value else value for value in found] == expected
    assert None in expected
    assert not (archive.scalars_over("nothing") == archive.scalars_over("nothing")).any()
    for rows, checkpoint in zip(archive.replicates_over("probe_loss"), archive, strict=True):
        assert rows.tolist() == [x for s in checkpoint.scalars if not s.site for x in s.delete_one_block]


def test_the_measurements_of_an_archive(path, series):
    write_archive(path, series)
    expected = {s.measurement for c in series for s in c.spectra}
    assert set(open_archive(path).measurements) == expected


@pytest.mark.parametrize("sealed", [True, False])
def test_spectra_of_some_measurements_are_those_of_all_and_scalars_stay(path, series, as_values, sealed):
    if sealed:
        write_archive(path, series)
    else:
        shutil.copy(OLD_FORMATS / "1.2.h5", path)
    archive = open_archive(path)
    every = list(archive.checkpoints(range(len(archive))))
    names = archive.measurements[:1]
    assert len(archive.measurements) > 1
    some = archive.checkpoints(range(len(archive)), measurements=names)
    for whole, narrowed in zip(every, some, strict=True):
        kept = tuple(one for one in whole.spectra if one.measurement in names)
        assert as_values(narrowed) == as_values(replace(whole, spectra=kept))


def test_a_file_replaced_meanwhile_is_found_though_only_some_is_read(path, series):
    write_archive(path, series)
    archive = open_archive(path)
    write_archive(path, series[:1])
    with pytest.raises(ArchiveError, match="replaced meanwhile"):
        next(archive.checkpoints([0, 0], measurements=archive.measurements[:1]))


def test_damage_outside_what_is_read_is_found_where_no_seal_vouches(path):
    shutil.copy(OLD_FORMATS / "1.2.h5", path)
    with h5py.File(path, "r+") as root:
        root["weight"]["eigenvalues"][0, 0, 0] *= 1.5
    with pytest.raises(ArchiveError, match="does not match its digest"):
        list(open_archive(path).checkpoints([0], measurements=["activation_covariance"]))
