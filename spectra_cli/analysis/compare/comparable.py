"""What two runs can be compared in: only what was measured in the same way; every other way has a name.

See docs/explanation/estimators.md (compare only if probe, normalisation, pooling, T, dtype and n agree).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.analysis.run import Run
from spectra_cli.core.errors import DataError, NotComparableError, UnknownNameError
from spectra_cli.core.measurements import ACTIVATIONS, EXACT, MEASUREMENTS, PROBED
from spectra_cli.core.notices import signs_of_wrong_tokens
from spectra_cli.core.scan_facts import UNKNOWN
from spectra_cli.core.types import Provenance
from spectra_cli.core.words.names import did_you_mean

_DIGEST_LENGTH = 64
_PROBED = frozenset(PROBED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One thing that must be equal.

    Attributes:
        name: what `--allow` calls it.
        measurements: that it matters for; None for all.
        unpairs: whether a difference leaves no noise in common between the two runs.
    """

    name: str
    measurements: frozenset[str] | None
    unpairs: bool = False


ASPECTS = (
    Aspect(name="probe", measurements=_PROBED, unpairs=True),
    Aspect(name="length", measurements=_PROBED, unpairs=True),
    Aspect(name="targets", measurements=_PROBED, unpairs=True),
    Aspect(name="samples", measurements=_PROBED, unpairs=True),
    Aspect(name="blocks", measurements=_PROBED, unpairs=True),
    Aspect(name="normalize", measurements=frozenset({ACTIVATIONS})),
    Aspect(name="pool", measurements=frozenset({ACTIVATIONS})),
    Aspect(name="dtype", measurements=_PROBED),
    Aspect(name="numerics", measurements=None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One way in which two archives were measured differently."""

    aspect: Aspect
    first: str
    second: str


def mismatches(first: Provenance, second: Provenance, measurements: Iterable[str]) -> tuple[Mismatch, ...]:
    """What was not the same for the measurements that are compared; empty if everything was.

    Which layers, matrices and measurements were scanned, how the model's settings are named, where and
    when: none of it changes a number.
    """
    compared = frozenset(measurements)
    ours, theirs = _facts(first, compared), _facts(second, compared)
    return tuple(
        Mismatch(aspect=aspect, first=_shown(ours[aspect.name]), second=_shown(theirs[aspect.name]))
        for aspect in ASPECTS
        if (aspect.measurements is None or aspect.measurements & compared)
        and ours[aspect.name] != theirs[aspect.name]
    )


def check_allowed(
    found: Sequence[Mismatch], allowed: Sequence[str], *, first: str, second: str
) -> tuple[str, ...]:
    """What the reader of a comparison must be told about it.

    Args:
        found: mismatches; allowed: names of aspects that may differ; first, second: the archives.

    Raises:
        UsageError: an allowed name is none.
        DataError: something differs that is not allowed, with all of it.
    """
    names = [aspect.name for aspect in ASPECTS]
    for name in allowed:
        if name not in names:
            raise UnknownNameError(
                f"--allow {name}{did_you_mean(name, names)}: expected some of {', '.join(names)}"
            )
    refused = [m for m in found if m.aspect.name not in allowed]
    if refused:
        listed = "; ".join(f"{m.aspect.name}: {m.first} against {m.second}" for m in refused)
        words = ",".join(dict.fromkeys([*allowed, *(m.aspect.name for m in refused)]))
        raise NotComparableError(
            f"{first} and {second} were not measured in the same way: {listed}. Their numbers would differ "
            f"for that alone. Scan one of them again as the other was, or compare all the same, flagged, "
            f"with --allow {words}"
        )
    return tuple(
        f"measured differently ({m.aspect.name}): {m.first} in {first}, {m.second} in {second}" for m in found
    )


def are_paired(found: Iterable[Mismatch]) -> bool:
    """Whether the probe's noise is common to both runs."""
    return not any(m.aspect.unpairs for m in found)


def _facts(provenance: Provenance, compared: frozenset[str]) -> dict[str, str]:
    settings = provenance.setting_facts
    probe = provenance.probe
    counts = dict.fromkeys(MEASUREMENTS[name].samples for name in PROBED if name in compared)
    samples = [f"{name} {getattr(settings, name) or UNKNOWN}" for name in counts]
    return {
        "probe": probe.digest or "none",
        "length": f"{probe.sequence_length} tokens a sequence",
        "targets": probe.targets,
        "samples": ", ".join(samples),
        "blocks": f"{settings.num_blocks or UNKNOWN} blocks",
        "normalize": settings.normalize,
        "pool": settings.pool,
        "dtype": settings.dtype,
        "numerics": f"version {provenance.versions.get('numerics', UNKNOWN)}",
    }


def _shown(fact: str) -> str:
    """A fact for a reader: of a digest the start."""
    return fact[:12] if len(fact) == _DIGEST_LENGTH and " " not in fact else fact


BY_DEFAULT = tuple(name for name, kind in MEASUREMENTS.items() if kind.compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparable:
    """What can be compared between the baseline and a run.

    Attributes:
        choice: of the user, with the measurements that both runs have.
        paired: measured on the same probe, so that its noise is common to both.
        notes: what the reader must know.
        at_every_point: whether weights are compared there too, for the user named measurements or there is
            nothing else.
    """

    choice: Choice
    paired: bool
    notes: tuple[str, ...]
    at_every_point: bool

    def choice_at(self, *, last: bool) -> Choice:
        """What is compared at a point: weights, which have no noise to judge by, at the last one only."""
        if last or self.at_every_point:
            return self.choice
        judged = tuple(name for name in self.choice.measurements or () if name not in EXACT)
        return replace(self.choice, measurements=judged)


def comparable(first: Run, second: Run, choice: Choice, allowed: Sequence[str]) -> Comparable:
    """The measurements that both runs have, and whether they were made in the same way.

    Args:
        first, second: the runs.
        choice: what the user wants compared; allowed: aspects of the measurement that may differ.

    Raises:
        DataError: they have none in common, or something differs that is not allowed.
        UsageError: an allowed aspect is none.
    """
    wanted = choice.measurements or BY_DEFAULT
    ours, theirs = (run.series.measurements for run in (first, second))
    measurements = tuple(name for name in wanted if name in ours and name in theirs)
    if not measurements:
        raise DataError(
            f"{first.name} and {second.name} have no measurement in common to compare: the first holds "
            f"{', '.join(ours)}, the second {', '.join(theirs)}; asked for: {', '.join(wanted)}"
        )
    found = mismatches(first.series.provenance, second.series.provenance, measurements)
    notes = check_allowed(found, allowed, first=first.name, second=second.name)
    only = [
        f"{name}: measured in {first.name if name in ours else second.name} only, and not compared"
        for name in wanted
        if (name in ours) != (name in theirs)
    ]
    return Comparable(
        choice=replace(choice, measurements=measurements),
        paired=are_paired(found),
        notes=(*notes, *only, *_wrong_tokens(first), *_wrong_tokens(second)),
        at_every_point=choice.measurements is not None or set(measurements) <= set(EXACT),
    )


def _wrong_tokens(run: Run) -> tuple[str, ...]:
    notices = [info.notices for info in run.infos]
    found = signs_of_wrong_tokens(run.series.provenance.probe.notices, notices)
    return tuple(f"{run.name}: {notice}" for notice in found)
