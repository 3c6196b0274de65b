"""The spectra themselves as labelled arrays: a group a measurement, along checkpoint, site and rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import FloatArray, Site
from spectra_cli.render.exports.columns import OF_SERIES, OF_SPECTRUM
from spectra_cli.render.exports.spectra import facts
from spectra_cli.render.exports.statistics import of_series, why_skipped
from spectra_cli.render.exports.target import UNKNOWN_COUNT, ArrayGroup, Variable, as_array
from spectra_cli.statistics.jackknife import standard_errors_of_values

if TYPE_CHECKING:
    from spectra_cli.core.types import Spectrum
    from spectra_cli.workflows.export import ExportedRun

_ALONG_BOTH = ("checkpoint", "site")
STATUS = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is known of one site of one checkpoint; no values where it was not measured."""

    checkpoint: int
    site: Site
    facts: dict[str, Any]
    values: FloatArray = field(default_factory=lambda: np.empty(0))
    errors: FloatArray = field(default_factory=lambda: np.empty(0))


def groups_of_spectra(runs: Sequence[ExportedRun]) -> Iterator[ArrayGroup]:
    """A group a measurement; the checkpoints of all runs stand one behind the other, NaN is where nothing is.

    Raises:
        UsageError: there is nothing of one of the runs, or a measurement is not of one kind and unit.
    """
    series: list[dict[str, Any]] = []
    cells: dict[str, list[Cell]] = {}
    for run in runs:
        before = sum(map(len, cells.values()))
        for one, loss in zip(run.checkpoints(), run.probe_losses().tolist(), strict=True):
            for spectrum in one.spectra:
                cells.setdefault(spectrum.measurement, []).append(cell_of(len(series), spectrum))
            for each in one.skipped:
                skipped = Cell(checkpoint=len(series), site=each.site, facts=why_skipped(each))
                cells.setdefault(each.measurement, []).append(skipped)
            series.append(of_series(run.run.name, one, loss))
        if sum(map(len, cells.values())) == before:
            raise run.nothing()
    for measurement in [*cells]:
        yield group_of(measurement, series, cells.pop(measurement))


def cell_of(checkpoint: int, spectrum: Spectrum) -> Cell:
    """What is measured of one site of one checkpoint, by its place among all."""
    return Cell(
        checkpoint=checkpoint,
        site=spectrum.site,
        facts=facts(spectrum),
        values=spectrum.values,
        errors=standard_errors_of_values(spectrum),
    )


def group_of(measurement: str, series: Sequence[dict[str, Any]], cells: Sequence[Cell]) -> ArrayGroup:
    """The arrays of one measurement.

    Args:
        measurement: its name.
        series: of each checkpoint the cells under `OF_SERIES`.
        cells: of any of their sites, in any order.

    Raises:
        UsageError: the values are not of one kind and unit.
    """
    sites = list(dict.fromkeys(cell.site for cell in cells))
    place = {site: number for number, site in enumerate(sites)}
    kind, unit = _one_kind(measurement, cells)
    shape = (len(series), len(sites))
    num_ranks = max(cell.values.size for cell in cells)
    values, errors = (np.full((*shape, num_ranks), np.nan) for _ in range(2))
    told = {name: np.full(shape, "", dtype=object) for name in (STATUS, "reason")}
    numbers = {
        each.name: np.full(shape, UNKNOWN_COUNT, np.int64) if each.kind is int else np.full(shape, np.nan)
        for each in OF_SPECTRUM
    }
    num_values = np.zeros(shape, dtype=np.int64)
    for cell in cells:
        at = (cell.checkpoint, place[cell.site])
        values[at][: cell.values.size] = cell.values
        errors[at][: cell.errors.size] = cell.errors
        num_values[at] = cell.values.size
        for name, array in (told | numbers).items():
            if name in cell.facts:
                array[at] = cell.facts[name]
    spectra = [
        (f"{kind}s", values, "in descending order", unit),
        ("stderr", errors, f"standard error of {kind}s, a jackknife over blocks of the probe", unit),
    ]
    return ArrayGroup(
        name=measurement,
        coordinates=(*_of_checkpoints(series), *_of_sites(sites), *_of_ranks(num_ranks)),
        variables=(
            *(
                Variable(name=name, dims=(*_ALONG_BOTH, "rank"), values=array, meaning=words, unit=of)
                for name, array, words, of in (spectra if num_ranks else ())
            ),
            _per_spectrum("num_values", num_values, "values in the spectrum; 0: it was not measured"),
            *(_per_spectrum(each.name, numbers[each.name], each.meaning) for each in OF_SPECTRUM),
            _per_spectrum(
                STATUS, told[STATUS], "ok, or why it was not measured; empty: nothing asked for it"
            ),
            _per_spectrum("reason", told["reason"], "a sentence beside every other status"),
        ),
    )


def _per_spectrum(name: str, values: NDArray[Any], meaning: str) -> Variable:
    return Variable(name=name, dims=_ALONG_BOTH, values=values, meaning=meaning)


def _one_kind(measurement: str, cells: Sequence[Cell]) -> tuple[str, str]:
    """Kind and unit of all the values; none where nothing was measured."""
    found = list(dict.fromkeys((c.facts["kind"], c.facts["unit"]) for c in cells if c.values.size))
    if len(found) > 1:
        kinds = ", ".join(f"{kind} in {unit!r}" for kind, unit in found)
        raise UsageError(
            f"the spectra of {measurement} are not of one kind and unit ({kinds}) and cannot share an array; "
            "export each archive into a file of its own, or as .parquet"
        )
    return found[0] if found else ("", "")


def _of_checkpoints(series: Sequence[dict[str, Any]]) -> Iterator[Variable]:
    along = ("checkpoint",)
    places = np.arange(len(series))
    yield Variable(name="checkpoint", dims=along, values=places, meaning="place among all, from 0")
    for each in OF_SERIES:
        name = "key" if each.name == "checkpoint" else each.name
        values = as_array(each.kind, [one[each.name] for one in series])
        yield Variable(name=name, dims=along, values=values, meaning=each.meaning, unit=each.unit)


def _of_sites(sites: Sequence[Site]) -> Iterator[Variable]:
    along = ("site",)
    addresses = as_array(str, [site.address for site in sites])
    yield Variable(name="site", dims=along, values=addresses, meaning="canonical address")
    layers = as_array(int, [site.layer for site in sites])
    yield Variable(name="layer", dims=along, values=layers, meaning="number of the block, from 0")
    components = as_array(str, [site.component for site in sites])
    yield Variable(name="component", dims=along, values=components, meaning="address inside its block")


def _of_ranks(count: int) -> Iterator[Variable]:
    if count:
        ranks = np.arange(1, count + 1)
        yield Variable(name="rank", dims=("rank",), values=ranks, meaning="place in descending order, from 1")


def num_by_status(group: ArrayGroup) -> dict[str, int]:
    """Status -> sites of checkpoints that have it."""
    (status,) = [each.values for each in group.variables if each.name == STATUS]
    return {str(one): int((status == one).sum()) for one in set(status.ravel()) if one}
