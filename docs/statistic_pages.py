"""What of the pages of statistics and measurements follows from the code, and what from samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from docs.finite_samples import figures
from docs.finite_samples.experiments import EXPERIMENTS
from docs.sections import with_section
from spectra_cli.core.measurements import MEASUREMENTS, MeasurementKind
from spectra_cli.statistics.registry import DEFINITIONS, STATISTICS
from spectra_cli.statistics.statistic import Definition, Family, Statistic, always, never

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
PICTURES = DOCS / "pictures" / "statistics"

_HOW_TO_READ_STATISTICS = """\
In the order of the registry; each has a page of its own: formula, what moves it, what it cannot tell, and
what few samples make of it. Exponents are always those of eigenvalues. *Of* names the spectra that a
statistic is defined for ([measurements](measurements.md)). One marked *asked for* is computed only when
`--statistic` names it; *asked for, or where it fits*: also by default for spectra that are wide enough.
"""


def page_of(kind: str, name: str) -> Path:
    """Where the page of a statistic or of a measurement lies."""
    return REFERENCE / kind / f"{name}.md"


def pages_from_code() -> Mapping[Path, str]:
    """The two lists, and every page of their members with its first section made anew."""
    statistics = {page_of("statistics", name): what(one) for name, one in DEFINITIONS.items()}
    measurements = {
        page_of("measurements", name): what_is_measured(one) for name, one in MEASUREMENTS.items()
    }
    return {
        REFERENCE / "statistics.md": statistics_list(),
        REFERENCE / "measurements.md": with_section(
            (REFERENCE / "measurements.md").read_text(), "measurements", measurements_table()
        ),
        **{
            path: with_section(path.read_text(), "what", text)
            for path, text in (statistics | measurements).items()
        },
    }


def write_finite_samples() -> None:
    """Draw all samples, and write the figures and the sections with their numbers: a minute."""
    PICTURES.mkdir(exist_ok=True)
    for name in EXPERIMENTS:
        path = page_of("statistics", name)
        path.write_text(with_section(path.read_text(), "finite samples", figures.section(name)))
        (PICTURES / f"{name}.svg").write_bytes(figures.picture(name))
        print(f"wrote the finite samples of {name}")
    for name in figures.SPECTRA:
        (PICTURES / f"{name}.svg").write_bytes(figures.picture_of_spectra(name))


# ----------------------------------------------------------------------------- statistics


def heading(definition: Definition) -> str:
    """First line of the page of a statistic."""
    return f"# {_sentence(definition.title)} (`{definition.name}`)"


def statistics_list() -> str:
    """What each statistic means, with the way to its page."""
    lines = [
        "<!-- Written by docs/generate.py: change the code, then run `make docs`. -->\n",
        "# Statistics\n",
        _HOW_TO_READ_STATISTICS,
    ]
    for one in DEFINITIONS.values():
        lines.append(f"## `{one.name}`\n")
        lines.append(f"[{_sentence(one.title)}](statistics/{one.name}.md). {one.summary}{_unit(one)}\n")
        lines.append(f"{_of(one)}\n")
    return "\n".join(lines)


def what(definition: Definition) -> str:
    """Summary, unit, of what, how it is compared, source."""
    return (
        f"{definition.summary}{_unit(definition)}\n\n"
        f"{_of(definition)} {_compared(definition.family)} Source: {_source(definition)}.\n"
    )


def _of(definition: Definition) -> str:
    if not isinstance(definition, Statistic):
        return "Of the scalars `gradient_signal` and `gradient_noise`, for each matrix and pooled."
    of = ", ".join(f"`{name}`" for name in definition.measurements)
    if definition.by_default in (always, never):
        return f"Of {of}." + ("" if definition.by_default is always else " Asked for.")
    return f"Of {of}. Asked for, or where it fits."


def _compared(family: Family) -> str:
    """How two values are compared, and how near they have to be for equality."""
    of_what = "ratio" if family.logarithm else "difference"
    margin = f"{family.margin:.2g}" + (" in its logarithm" if family.logarithm else "")
    return (
        f"[Compared](../../explanation/comparing.md#different-equal-inconclusive) by {of_what}; the margin "
        f"of equality is {margin}."
    )


def _source(definition: Definition) -> str:
    page, _, part = definition.source.partition(", ")
    if page != "docs/explanation/estimators.md":
        return definition.source
    return f"[the estimators](../../explanation/estimators.md#{part})"


def _unit(definition: Definition) -> str:
    return f" Unit: {definition.unit}." if definition.unit else ""


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


# ----------------------------------------------------------------------------- measurements


def heading_of_measurement(kind: MeasurementKind) -> str:
    """First line of the page of a measurement."""
    return f"# {_sentence(kind.words)} (`{kind.name}`)"


def measurements_table() -> str:
    """Every measurement with the user's word and its page."""
    rows = [
        [f"[`{one.name}`](measurements/{one.name}.md)", _asked(one), one.title]
        for one in MEASUREMENTS.values()
    ]
    lines = [["in an archive", "asked for by", "what it is"], ["---"] * 3, *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def what_is_measured(kind: MeasurementKind) -> str:
    """Title, how it is asked for, what counts its samples, and the statistics of it."""
    samples = (
        f"Its samples are counted by the [setting](../settings.md) `{kind.samples}`."
        if kind.samples
        else "It is made of parameters alone: no probe, and no standard error."
    )
    of_it = [name for name, one in STATISTICS.items() if kind.name in one.measurements]
    links = ", ".join(f"[`{name}`](../statistics/{name}.md)" for name in of_it)
    statistics = f"\n\nStatistics of it: {links}." if of_it else ""
    return f"{kind.title}. Asked for by {_asked(kind)}. {samples}{statistics}\n"


def _asked(kind: MeasurementKind) -> str:
    if kind.asked and kind.made_by != kind.name and not kind.compared:
        return f"`--measure gradients`, and called `{kind.asked}` where archives are read"
    return f"`--measure {kind.asked}`" if kind.asked else "`--vectors`, with weights"
