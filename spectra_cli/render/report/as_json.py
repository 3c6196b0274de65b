"""A report as JSON: what the script of the page reads. Long arrays of numbers are bytes in base64."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.analysis.run import Loss, Run
from spectra_cli.core.measurements import EXACT, MEASUREMENTS, measurement_words
from spectra_cli.core.types import FloatArray, Site, StatisticValue
from spectra_cli.core.words.places import component_words, place_words
from spectra_cli.render.drawing.style import DASHES, STYLES
from spectra_cli.render.figures.parts.captions import archive_words, measured_words
from spectra_cli.render.figures.parts.over_training import DEFAULTS, OTHERS
from spectra_cli.render.output import plain
from spectra_cli.render.report.contents import Contents, RunContents, Section
from spectra_cli.render.report.measured import Curve, Measured
from spectra_cli.render.text.neutral import for_terminal
from spectra_cli.statistics.registry import DEFINITIONS

NOT_MEASURED = "not measured at this checkpoint"
_DIGITS = 7  # of numbers that are only drawn
_MOST_CODE = {np.dtype(np.uint16): 65534, np.dtype(np.uint8): 254}


def document(contents: Contents) -> dict[str, Any]:
    """Everything that the page draws and lists."""
    written = {
        "styles": {name: _style(name) for name in ("paper", "dark")},
        "dashes": DASHES,
        "runs": [_run(one) for one in contents.runs],
        "sections": [_section(one) for one in contents.sections],
        "loss": None if contents.loss is None else f"{contents.loss.value} loss",
    }
    return {name: _neutral(value) for name, value in written.items()}


def _neutral(value: Any) -> Any:
    """The same, with every text as a terminal would get it: nothing in it acts on what stands around."""
    if isinstance(value, str):
        return for_terminal(value, keep="\n")
    if isinstance(value, dict):
        return {_neutral(name): _neutral(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_neutral(one) for one in value]
    return value


def _style(name: str) -> dict[str, Any]:
    style = STYLES[name]
    names = ("ground", "ink", "muted", "palette", "shades", "diverging")
    return {one: getattr(style, one) for one in names}


def _section(one: Section) -> dict[str, Any]:
    # a column without any value is none in the page's table
    columns = [name for name in one.columns if any(plain(row[name]) not in (None, "") for row in one.rows)]
    return {
        "name": one.name,
        "figure": None if one.figure is None else _drawn(one.figure),
        "columns": columns,
        "rows": [[plain(row[column]) for column in columns] for row in one.rows],
    }


def _drawn(value: Any) -> Any:
    """A figure's parts by their names; what is None, empty or False is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _drawn(part) for name, part in parts.items() if not _is_nothing(part)}
    if isinstance(value, np.ndarray):
        return [_drawn(one) for one in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_drawn(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _is_nothing(part: Any) -> bool:
    return part is None or part is False or (isinstance(part, (str, tuple, list)) and not len(part))


def _run(one: RunContents) -> dict[str, Any]:
    run = one.run
    return {
        "name": run.name,
        "checkpoints": _checkpoints(run),
        "measured": [_measured(run, each) for each in one.measured],
    }


def _checkpoints(run: Run) -> dict[str, Any]:
    infos = run.series.infos
    losses = {f"{kind.value} loss": run.losses(kind).tolist() for kind in Loss}
    numbers = {
        "tokens": run.tokens.tolist(),
        **losses,
        "learning rate": [info.learning_rate for info in infos],
    }
    held = {name: [plain(each) for each in values] for name, values in numbers.items()}
    return {
        "keys": [ref.key for ref in run.series.refs],
        "steps": [ref.step for ref in run.series.refs],
        "numbers": {name: values for name, values in held.items() if any(one is not None for one in values)},
    }


def _measured(run: Run, found: Measured) -> dict[str, Any]:
    num = len(run.series)
    usual = [name for name in DEFAULTS.get(found.name, OTHERS) if name in found.statistics]
    reasons: dict[str, int] = {"": 0}
    components = dict.fromkeys(site.component for site in found.sites)
    return {
        "name": found.name,
        "words": measurement_words(found.name),
        "title": MEASUREMENTS[found.name].title,
        "unit": found.unit,
        "exact": found.name in EXACT,
        "caption": " ".join([measured_words([run], found.name), *archive_words([run])]),
        "components": [{"name": name, "words": component_words(name)} for name in components],
        "sites": [_site(found.name, site) for site in found.sites],
        "usual": usual or list(found.statistics)[:3],
        "statistics": [
            {
                "name": name,
                "title": DEFINITIONS[name].title,
                "head": DEFINITIONS[name].head.replace("\n", " "),
                "summary": DEFINITIONS[name].summary,
                **_grid(values, found.sites, num, reasons),
            }
            for name, values in found.statistics.items()
        ],
        "curves": [list(_curves(found, site, num)) for site in found.sites],
        "reasons": list(reasons),
    }


def _site(measurement: str, site: Site) -> dict[str, Any]:
    words = place_words(measurement, site)
    return {"address": site.address, "layer": site.layer, "component": site.component, "words": words}


def _grid(
    values: Mapping[tuple[int, str], StatisticValue], sites: Sequence[Site], num: int, reasons: dict[str, int]
) -> dict[str, str]:
    """(checkpoint, site) values, errors, and numbers of reasons."""
    number, error = np.full((num, len(sites)), np.nan), np.full((num, len(sites)), np.nan)
    why = np.zeros((num, len(sites)), dtype=np.uint32)  # reasons have numbers in them: there may be many
    missing = reasons.setdefault(NOT_MEASURED, len(reasons))
    for column, site in enumerate(sites):
        for place in range(num):
            one = values.get((place, site.address))
            if one is None:
                why[place, column] = missing
                continue
            number[place, column], error[place, column] = one.value, one.stderr
            why[place, column] = reasons.setdefault(one.reason, len(reasons))
    known_errors = {"errors": packed(error)} if np.isfinite(error).any() else {}
    return {"values": packed(number), **known_errors, "reasons": packed(why)}


def _curves(found: Measured, site: Site, num: int) -> Iterator[dict[str, Any]]:
    """The curves of a site, those together that are drawn at the same ranks over the same windows."""
    alike: dict[object, list[tuple[int, Curve]]] = {}
    for place in range(num):
        curve = found.curves.get((place, site.address))
        if curve is not None:
            windows = tuple((fit.statistic, fit.window) for fit in curve.fits)
            alike.setdefault((curve.size, windows, curve.error_ranks.size), []).append((place, curve))
    for group in alike.values():
        first = group[0][1]
        curves = [curve for _, curve in group]
        yield {
            "places": [place for place, _ in group],
            "size": first.size,
            "ranks": _spans(first.ranks),
            "values": log_codes(np.array([one.values for one in curves]), np.uint16),
            **(
                {
                    "errorRanks": first.error_ranks.tolist(),
                    "errors": log_codes(np.array([one.errors for one in curves]), np.uint8),
                }
                if first.error_ranks.size
                else {}
            ),
            "fits": [
                {
                    "statistic": fit.statistic,
                    "window": fit.window,
                    "heights": packed(
                        np.array([one.fits[number].heights for one in curves], dtype=np.float32)
                    ),
                }
                for number, fit in enumerate(first.fits)
            ],
        }


def _spans(ranks: NDArray[np.int64]) -> list[int | list[int]]:
    """Ascending whole numbers, with neighbours as `[first, last]`.

    >>> _spans(np.array([1, 2, 3, 7]))
    [[1, 3], 7]
    """
    parts = np.split(ranks, np.flatnonzero(np.diff(ranks) > 1) + 1)
    return [[int(one[0]), int(one[-1])] if one.size > 1 else int(one[0]) for one in parts]


def log_codes(values: FloatArray, kind: type[np.unsignedinteger[Any]]) -> dict[str, str]:
    """Positive numbers in a byte or two each: equally spaced in the logarithm between the ends of each row.

    With two bytes a number over twelve decades is right to two parts in ten thousand, which nobody sees in a
    picture; the tables have the numbers themselves.

    Args:
        values: (rows, n); what is not above zero or not finite has no code but the last.

    Returns:
        `codes` (rows, n) and `ends` (rows, 2) float32 logarithms.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    known = np.isfinite(logs)
    low = np.where(known, logs, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, logs, -np.inf).max(axis=1, initial=-np.inf)
    low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
    ends = np.stack([low, high], axis=1).astype(np.float32)
    most = _MOST_CODE[np.dtype(kind)]
    width = np.where(high > low, high - low, 1.0)
    shares = (np.where(known, logs, low[:, None]) - low[:, None]) / width[:, None]
    codes = np.where(known, np.rint(most * shares), most + 1).astype(kind)
    return {"codes": packed(codes), "ends": packed(ends)}


def packed(array: NDArray[Any]) -> str:
    """The bytes of an array in base64, the least first."""
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(ordered.tobytes()).decode("ascii")
