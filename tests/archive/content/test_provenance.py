from __future__ import annotations

from dataclasses import replace

import pytest

from spectra_cli.archive.content.provenance import scan_differences
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import ArchiveError


def test_what_may_differ_between_scans(make_provenance):
    one = make_provenance()
    other = make_provenance(
        versions={"numerics": "1", "torch": "3.0"},
        execution={"device": "cuda"},
        probe=replace(one.probe, source="/moved/val.bin"),
    )
    assert scan_differences(one, other) == {}


def test_every_difference_is_named(make_provenance):
    one = make_provenance()
    other = make_provenance(
        settings={
            "layers": [0],
            "normalize": {"kind": "none", "eps": 1e-6},
            "matrices": ["attn.q"],
            "new": True,
        },
        versions={"numerics": "2"},
        probe=replace(one.probe, digest="e" * 64),
    )
    assert tuple(scan_differences(one, other).values()) == (
        "settings.layers: all against 0",
        "settings.normalize.kind: rms against none",
        f"probe.digest: {'d' * 12}... against {'e' * 12}...",
        "versions.numerics: 1 against 2",
        "settings.new: not set against True",
    )


def test_one_archive_holds_one_scan(tmp_path, make_checkpoint, make_provenance):
    other = make_checkpoint(5, provenance=make_provenance(versions={"numerics": "2"}))
    with pytest.raises(ArchiveError, match=r"step0 and .*step5 .*versions\.numerics: 1 against 2"):
        write_archive(tmp_path / "a.spectra.h5", [make_checkpoint(0), other])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_settings_are_json(tmp_path, make_checkpoint, make_provenance, value):
    checkpoint = make_checkpoint(0, provenance=make_provenance(settings={"x": value}))
    with pytest.raises(ArchiveError, match="settings"):
        write_archive(tmp_path / "a.spectra.h5", [checkpoint])


def test_a_setting_that_came_later_is_zero_where_it_is_missing(make_provenance):
    older, newer = make_provenance(), make_provenance()
    newer = replace(newer, settings={**newer.settings, "num_vectors": 0})
    assert scan_differences(older, newer) == scan_differences(newer, older) == {}
    newer = replace(newer, settings={**newer.settings, "num_vectors": 8})
    assert scan_differences(older, newer) == {"settings.num_vectors": "settings.num_vectors: 0 against 8"}
