"""Every format of a table holds every value of the archive, to the last bit, as its own reader sees it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.types import SpectrumKind
from spectra_cli.render.exports.columns import SPECTRA, STATISTICS
from spectra_cli.render.exports.registry import FILES, file_target
from spectra_cli.render.outputs import export
from spectra_cli.render.text.neutral import for_csv
from spectra_cli.statistics.jackknife import with_replicates
from spectra_cli.statistics.summarise import summarise
from spectra_cli.workflows.export import Selection, choose
from tests.builders.installed import needs
from tests.builders.read_exports import NEEDED, READERS


@pytest.fixture(scope="module", params=FILES)
def word(request):
    needs(*NEEDED.get(request.param, ()))
    return request.param


def rows_of(archives, word, folder, *, spectra=False, **selection):
    """Exported and read back, and what was counted on the way."""
    runs = choose(archives, Selection(**selection))
    path = folder / f"table.{word}"
    with path.open("wb") as stream:
        done = export.write(file_target(word), runs, stream, spectra=spectra)
    return READERS[word](path, SPECTRA if spectra else STATISTICS), done


def texts(word, text):
    """A name as a format has it."""
    exact = word in ("jsonl", "npz")  # the others are UTF-8, which has no lone surrogates
    return for_csv(text) if word == "csv" else text if exact else text.replace("\udcff", "\\udcff")


def number(value):
    return None if value is None or not math.isfinite(value) else float(value).hex()


def exported(row, name):
    return number(row[name])


def test_every_format_has_a_reader():
    assert READERS.keys() == FILES.keys()


def test_every_statistic_is_there_as_the_archive_gives_it(two_archives, word, tmp_path):
    rows, done = rows_of(two_archives, word, tmp_path)
    assert [*rows[0]] == [column.name for column in STATISTICS]
    rest = iter(rows)
    for path, label in zip(two_archives, ("one/a", "two/a"), strict=True):
        for one in open_archive(path):
            for value in summarise(one):
                row = next(rest)
                check_checkpoint(row, one, label, word)
                check_place(row, value)
                assert (row["statistic"], row["unit"]) == (value.name, value.unit)
                assert exported(row, "value") == number(value.value)
                assert exported(row, "stderr") == number(value.stderr)
                for detail in ("window_lo", "window_hi", "r_squared"):
                    assert exported(row, detail) == number(value.details.get(detail))
            for skipped in one.skipped:
                row = next(rest)
                check_checkpoint(row, one, label, word)
                check_place(row, skipped)
                assert (row["statistic"], row["value"], row["stderr"]) == ("", None, None)
    assert next(rest, None) is None
    assert done.num == len(rows)
    withheld = [row["status"] for row in rows if row["value"] is None]
    assert done.withheld == {status: withheld.count(status) for status in set(withheld)}
    assert {"nonfinite", "zero", "unresolved"} <= {*withheld}


def check_checkpoint(row, one, label, word):
    loss = next(scalar.value for scalar in one.scalars if scalar.name == "probe_loss")
    of_series = (row["archive"], row["run"], row["checkpoint"], row["step"])
    assert of_series == (label, texts(word, one.ref.run), one.ref.key, one.ref.step)
    for name in ("tokens_seen", "train_loss", "eval_loss", "learning_rate", "batch_size_tokens"):
        assert row[name] == getattr(one.info, name)
    assert exported(row, "probe_loss") == loss.hex()


def check_place(row, value):
    site = value.site
    assert (row["measurement"], row["site"]) == (value.measurement, site.address if site else "")
    assert (row["layer"], row["component"]) == ((site.layer, site.component) if site else (None, ""))
    assert (row["status"], row["reason"]) == (value.status.value, value.reason)


def slow_error(rows, sizes, rank):
    """Busing, Meijer and van der Leeden (1999), equations 5 to 7, for one value, term by term."""
    n, whole, num = sum(sizes), rows[0][rank], len(sizes)
    h = [n / size for size in sizes]
    pseudo = [h[b] * whole - (h[b] - 1) * rows[b + 1][rank] for b in range(num)]
    mean = num * whole - sum((1 - 1 / h[b]) * rows[b + 1][rank] for b in range(num))
    return math.sqrt(sum((pseudo[b] - mean) ** 2 / (h[b] - 1) for b in range(num)) / num)


def test_every_value_of_every_spectrum_is_there(two_archives, tmp_path):
    rows, done = rows_of(two_archives, "jsonl", tmp_path, spectra=True)
    assert [*rows[0]] == [column.name for column in SPECTRA]
    rest = iter(rows)
    for path in two_archives:
        for one in open_archive(path):
            for spectrum in one.spectra:
                replicates = with_replicates(spectrum)
                singular = spectrum.kind is SpectrumKind.SINGULAR_VALUES
                replicates = np.sqrt(replicates) if singular else replicates
                for place, value in enumerate(spectrum.values):
                    row = next(rest)
                    assert (row["site"], row["rank"]) == (spectrum.site.address, place + 1)
                    assert row["kind"] == ("singular_value" if singular else "eigenvalue")
                    assert exported(row, "value") == value.hex()
                    assert exported(row, "zero_threshold") == spectrum.zero_threshold.hex()
                    assert (row["num_samples"], row["ambient_dim"], row["centered"]) == (
                        spectrum.num_samples, spectrum.ambient_dim, int(spectrum.centered)
                    )  # fmt: skip
                    if not spectrum.block_sizes:
                        assert row["stderr"] is None
                        continue
                    # rounding of sums of four terms
                    slow = slow_error(replicates.tolist(), spectrum.block_sizes, place)
                    assert row["stderr"] == pytest.approx(slow, rel=1e-9, abs=1e-12)
            for skipped in one.skipped:
                row = next(rest)
                assert (row["site"], row["status"]) == (skipped.site.address, skipped.status.value)
                assert (row["value"], row["rank"], row["reason"]) == (None, None, skipped.reason)
    assert next(rest, None) is None
    assert done.num == len(rows)


SELECTIONS = {
    "steps": ({"steps": [7]}, lambda row: row["step"] == 7),
    "a range of steps": ({"steps": [range(1, 9)]}, lambda row: row["step"] == 7),
    "layers": ({"layers": [1]}, lambda row: row["site"] == "" or row["layer"] == 1),
    "a measurement by the user's word": (
        {"measurements": ["weights"]},
        lambda r: r["measurement"] == "weight",
    ),
    "a measurement by its name": ({"measurements": ["probe"]}, lambda r: r["measurement"] == "probe"),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_a_selection_selects_of_the_same_rows(two_archives, tmp_path, case):
    selection, is_chosen = SELECTIONS[case]
    whole, _ = rows_of(two_archives, "jsonl", tmp_path)
    rows, _ = rows_of(two_archives, "jsonl", tmp_path, **selection)
    assert rows == [row for row in whole if is_chosen(row)]
    assert 0 < len(rows) < len(whole)


def test_a_statistic_that_was_asked_for_is_withheld_where_its_site_was_not_measured(two_archives, tmp_path):
    rows, _ = rows_of(two_archives[:1], "jsonl", tmp_path, statistics=["stable_rank", "head_exponent_1_10"])
    of_skipped = [(row["statistic"], row["status"]) for row in rows if row["site"] == "blocks.1.mlp.up"]
    assert of_skipped == [("stable_rank", "nonfinite")] * 3, "no exponent is defined for a weight"
