"""May two archives be compared? Only what was measured in the same way; every other way has a name.

See docs/explanation/estimators.md (compare only if probe, normalisation, pooling, T, dtype and n agree).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.measurements import ACTIVATIONS, MEASUREMENTS, PROBED
from spectra_cli.core.scan_facts import UNKNOWN
from spectra_cli.core.types import Provenance

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
            raise UsageError(f"--allow {name}: expected some of {', '.join(names)}")
    refused = [m for m in found if m.aspect.name not in allowed]
    if refused:
        listed = "; ".join(f"{m.aspect.name}: {m.first} against {m.second}" for m in refused)
        words = ",".join(dict.fromkeys([*allowed, *(m.aspect.name for m in refused)]))
        raise DataError(
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
