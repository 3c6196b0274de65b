from __future__ import annotations

import csv
import io
import json
import shutil

import pytest
from typer.testing import CliRunner

from spectra_cli.cli.app import app


@pytest.fixture(scope="module")
def with_vectors(pristine, tmp_path_factory):
    """An archive of the run scanned again with vectors."""
    archive = tmp_path_factory.mktemp("vectors") / "kept.h5"
    words = ("--sequences", "8", "-T", "8", "--measure", "weights,activations", "--vectors", "8", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(pristine)
        done = CliRunner().invoke(app, ["scan", "run", "--probe", "probe.npy", *words, "-o", str(archive)])
    assert done.exit_code == 0
    return archive


@pytest.fixture
def kept(with_vectors, place):
    """The same as `kept.h5` in the working directory."""
    shutil.copy(with_vectors, place)
    return place


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "words", [(), ("-k", "2,8"), ("--against", "first"), ("--against", "previous", "-k", "4")]
)
def test_every_table_keeps_to_100_columns_and_cuts_nothing_off(spectra, words):
    found = spectra("drift", "kept.h5", *words)
    assert (found.code, found.err) == (0, "")
    assert "\x1b" not in found.out
    assert "…" not in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())
    assert "kept.h5  2 checkpoints, step2 to step4" in found.out


@pytest.mark.usefixtures("kept")
def test_the_three_forms_agree(spectra):
    document = json.loads(spectra("drift", "kept.h5", "-k", "2,4", "--json").out)
    assert document["schema"] == "spectra.drift/1"
    assert document["reference"] == "step2"
    assert json.loads(spectra("drift", "kept.h5", "-k", "2,4", "--format", "json").out) == document
    text = spectra("drift", "kept.h5", "-k", "2,4", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    ranks = [(p, s, r) for p in document["pairs"] for s in p["sites"] for r in s["ranks"]]
    assert len(rows) == len(ranks) == 2 * 10 * 2
    for row, (pair, site, rank) in zip(rows, ranks, strict=True):
        assert (row["against"], row["site"]) == (pair["against"], site["site"])
        assert row["right_overlap"] == str(rank["right"]["overlap"])
        lift = rank["energy_lift"]
        assert row["energy_lift_noise"] == ("" if lift is None else str(lift["noise"]))
    table = spectra("drift", "kept.h5", "-k", "2,4").out
    for _, site, rank in ranks:
        if rank["asked"] == 2 and site["measurement"] == "weight":
            name = site["site"].removeprefix("blocks.")
            cells = next(line.split() for line in table.splitlines() if line.startswith(f"{name} "))
            # two significant digits
            assert float(cells[1]) == pytest.approx(site["spectral_shift"], rel=0.06)
            assert cells[2].rstrip("*") == str(rank["rank"])


def test_without_vectors_the_shift_and_what_to_do(spectra, place):
    found = spectra("drift", "run")
    assert found.code == 0
    assert "Scan again with --vectors 64" in " ".join(found.out.split())
    assert "undecided" not in found.out
    assert "1.mlp.down" in found.out
    assert all(len(line) <= 100 for line in found.out.splitlines())
    document = json.loads(spectra("drift", "run", "--json").out)
    assert (document["ranks"], document["reference"], document["num_vectors"]) == ([], None, 0)
    assert all(site["ranks"] == [] for pair in document["pairs"] for site in pair["sites"])


WRONG = {
    "no archive": (("nowhere",), 3, ("nowhere", "spectra scan")),
    "a rank without vectors": (("run", "-k", "4"), 2, ("-k 4", "no vectors", "--vectors 4")),
    "a rank that is none": (("run", "-k", "x"), 2, ("-k",)),
    "another pair": (("run", "--against", "last"), 2, ("first, previous or both",)),
    "a form that is not there": (("run", "--format", "xml"), 2, ("xml", "csv")),
    "two forms": (("run", "--format", "csv", "--json"), 2, ("--json", "csv")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_told_is_said_with_its_code(spectra, place, case):
    words, code, mentioned = WRONG[case]
    found = spectra("drift", *words)
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    for word in mentioned:
        assert word in found.err


def test_another_reference_is_refused_by_name(spectra, kept):
    words = ("--probe", "probe.npy", "--sequences", "8", "-T", "8", "--measure", "weights,activations")
    found = spectra(
        "scan", "run", *words, "--vectors", "8", "-o", "kept.h5", "--reference", "run/checkpoint-4", "--quiet"
    )
    assert found.code == 3
    assert "settings.reference: step2 against step4" in found.err
