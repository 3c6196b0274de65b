"""The spectra themselves as one flat table: a row a checkpoint, site and rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spectra_cli.core.types import Spectrum, SpectrumKind, Status
from spectra_cli.render.exports.columns import SPECTRA
from spectra_cli.render.exports.statistics import of_series, why_skipped
from spectra_cli.render.exports.target import FlatTable
from spectra_cli.render.tidy import of_place
from spectra_cli.statistics.jackknife import standard_errors_of_values

if TYPE_CHECKING:
    from spectra_cli.workflows.export import ExportedRun

KIND_WORDS = {SpectrumKind.EIGENVALUES: "eigenvalue", SpectrumKind.SINGULAR_VALUES: "singular_value"}
_NOTHING = {column.name: "" if column.kind is str else None for column in SPECTRA}


def table_of_spectra(runs: Sequence[ExportedRun]) -> FlatTable:
    """A row a value, and one for each site that was asked for and not measured."""
    return FlatTable(columns=SPECTRA, parts=_parts(runs))


def _parts(runs: Sequence[ExportedRun]) -> Iterator[Mapping[str, Sequence[Any]]]:
    """A part a spectrum, and one a site without.

    Raises:
        UsageError: there is nothing of one of the runs.
    """
    for run in runs:
        found = False
        for one, loss in zip(run.checkpoints(), run.probe_losses().tolist(), strict=True):
            found = found or bool(one.spectra or one.skipped)
            shared = _NOTHING | of_series(run.run.name, one, loss)
            for spectrum in one.spectra:
                yield _repeated(shared | facts(spectrum), _values(spectrum), spectrum.values.size)
            for skipped in one.skipped:
                place = of_place(skipped.measurement, skipped.site)
                yield _repeated(shared | place | why_skipped(skipped), {}, 1)
        if not found:
            raise run.nothing()


def facts(spectrum: Spectrum) -> dict[str, Any]:
    """What is the same in each of its rows."""
    return {
        **of_place(spectrum.measurement, spectrum.site),
        "kind": KIND_WORDS[spectrum.kind],
        "unit": spectrum.unit,
        "status": Status.OK.value,
        "num_samples": spectrum.num_samples,
        "ambient_dim": spectrum.ambient_dim,
        "centered": int(spectrum.centered),
        "zero_threshold": spectrum.zero_threshold,
    }


def _values(spectrum: Spectrum) -> dict[str, list[Any]]:
    """What is of each rank."""
    return {
        "rank": list(range(1, spectrum.values.size + 1)),
        "value": spectrum.values.tolist(),
        "stderr": standard_errors_of_values(spectrum).tolist(),
    }


def _repeated(same: Mapping[str, Any], own: Mapping[str, list[Any]], count: int) -> dict[str, list[Any]]:
    return {name: own[name] if name in own else [cell] * count for name, cell in same.items()}
