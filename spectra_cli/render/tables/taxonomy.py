"""The taxonomy's label with what it rests on: counts, floors, what is missing, caveats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from spectra_cli.analysis.compare.quantities import statistic_words
from spectra_cli.core.types import Site
from spectra_cli.core.words.numbers import target_words, with_error
from spectra_cli.core.words.plurals import agreed
from spectra_cli.render.output import Fields
from spectra_cli.render.table import Line, Part, Table, key, line, number, words

if TYPE_CHECKING:
    from spectra_cli.analysis.taxonomy.evidence import Counted, FlagEvidence
    from spectra_cli.analysis.taxonomy.labels import Taxonomy
    from spectra_cli.analysis.taxonomy.token_gain import Performance

_EVIDENCE = Fields("flag measurement layers num_sites num_all_equal")
_COUNTED = Fields(
    "statistic has_moved risen fallen num_equal num_undecided num_missing obstacles delta stderr floor "
    "seed_floor margin sequences_to_differ sequences_to_equal"
)


def taxonomy_report(found: Taxonomy, at: str) -> Iterator[Part]:
    """The label at one aligned point with its evidence.

    Args:
        found: the taxonomy.
        at: the point in words ("loss 3.2812").
    """
    yield line("")
    yield line((str(found.label), "bold"), f"  ({found.confidence}, at {at})")
    yield line(found.reason)
    if len(found.possible) > 1:
        yield line(f"left: {', '.join(found.possible)}")
    yield line(_gains(found.performance))
    flags = (f"{name}: {part.flag} ({part.num_sites} sites)" for name, part in parts(found))
    yield line("; ".join(flags))
    yield _table(found)
    for name, evidence in parts(found):
        yield from _moved_places(name, evidence)
        yield from _undecided(name, evidence)
    yield from (line(f"- {caveat}", style="dim", hang=2) for caveat in found.caveats)


def taxonomy_overview(found: Sequence[Taxonomy], unit: str) -> Table:
    """One row an aligned point: whether the label is the same along the run."""
    return Table(
        title="Taxonomy at each aligned point",
        columns=[key(unit), *map(words, ("label", "head", "gradients", "tail", "tokens"))],
        rows=[
            [
                target_words(one.target, unit),
                one.label,
                *(str(evidence.flag) for _, evidence in parts(one)),
                one.performance.tokens,
            ]
            for one in found
        ],
    )


def as_document(found: Taxonomy) -> dict[str, Any]:
    """The taxonomy as JSON values."""
    return {
        **Fields("target label reason possible confidence").of(found),
        **Fields("token_gain token_gain_error throughput_gain").of(found.performance),
        "evidence": [
            {"name": name, **_EVIDENCE.of(one), "statistics": list(map(_COUNTED.of, one.statistics))}
            for name, one in parts(found)
        ],
        "caveats": list(found.caveats),
    }


def parts(found: Taxonomy) -> tuple[tuple[str, FlagEvidence], ...]:
    """The kinds of evidence by name, in the order of the tables."""
    return ("head", found.head), ("gradients", found.gradients), ("tail", found.tail)


def _gains(performance: Performance) -> str:
    if math.isnan(performance.token_gain):
        tokens = "unknown"
    else:
        error = performance.token_gain_error
        known = f"± {100 * error:.1f}" if math.isfinite(error) else "with an unknown error"
        tokens = f"{100 * performance.token_gain:+.1f} % {known} (fewer is +)"
    throughput = performance.throughput_gain
    speed = "not given" if math.isnan(throughput) else f"{100 * throughput:+.1f} %"
    return f"gain in tokens: {tokens}; in throughput: {speed}"


def _table(found: Taxonomy) -> Table:
    columns = map(number, ("up", "down", "equal", "open", "median\nB - A", "probe\nfloor"))
    return Table(
        columns=[key("evidence"), key("statistic"), *columns],
        rows=[
            ["" if place else name, statistic_words(counted.statistic), *_cells(counted)]
            for name, evidence in parts(found)
            for place, counted in enumerate(evidence.statistics)
        ],
    )


def _cells(counted: Counted) -> tuple[str, ...]:
    if counted.num_missing == counted.num_sites:
        return (*[""] * 4, "-", "-")
    return (
        str(len(counted.risen)),
        str(len(counted.fallen)),
        str(counted.num_equal),
        str(counted.num_undecided),
        with_error(counted.delta, counted.stderr),
        "-" if math.isnan(counted.floor) else f"{counted.floor:.2g}",
    )


def _moved_places(name: str, evidence: FlagEvidence) -> Iterator[Line]:
    for counted in evidence.statistics:
        what = statistic_words(counted.statistic)
        for word, addresses in (("up", counted.risen), ("down", counted.fallen)):
            if addresses:
                yield line(f"{name}: {what} {word} in {places(addresses)}", style="dim")


def _undecided(name: str, evidence: FlagEvidence) -> Iterator[Line]:
    """For each statistic that is open somewhere: which floor was not beaten, and what would decide."""
    for counted in evidence.statistics:
        what = statistic_words(counted.statistic)
        if counted.num_missing and evidence.num_sites:
            yield line(
                f"{name}: {what} has no number in {counted.num_missing} of "
                f"{counted.num_sites} sites (--json has the reasons)",
                style="yellow",
            )
        if not counted.num_undecided:
            continue
        floors = ", ".join(f"{kind} ({times})" for kind, times in counted.obstacles.items())
        needed = [
            f"{what} {number:,} {agreed(number, 'sequence', 'sequences')}"
            for what, number in (
                ("for a difference of this size", counted.sequences_to_differ),
                ("for equality", counted.sequences_to_equal),
            )
            if number is not None
        ]
        told = f"{name}: {what} open in {counted.num_undecided} of {evidence.num_sites} sites; "
        told += f"not beaten: {floors}"
        yield line(told + (f"; needed {', '.join(needed)}" if needed else ""), style="yellow")


def places(addresses: Sequence[str]) -> str:
    """Addresses by component, with runs of layers drawn together.

    >>> places(["blocks.0.resid_post", "blocks.1.resid_post", "blocks.3.resid_post", "blocks.2.attn.q"])
    'layers 0-1, 3; attn.q 2'
    """
    sites = sorted((Site.parse(address) for address in addresses), key=lambda s: s.component != "resid_post")
    by_component: dict[str, list[int]] = {}
    for site in sites:
        by_component.setdefault(site.component, [])
        if site.layer is not None:
            by_component[site.component].append(site.layer)
    return "; ".join(
        f"{'layers' if component == 'resid_post' else component} {_spans(sorted(layers))}".rstrip()
        for component, layers in by_component.items()
    )


def _spans(layers: Sequence[int]) -> str:
    spans = []
    for _, group in groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0]):
        members = [layer for _, layer in group]
        spans.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ", ".join(spans)
