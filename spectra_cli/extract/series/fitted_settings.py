"""Settings that fit the model and the probe: a default gives way, what the user asked for does not."""

from __future__ import annotations

from dataclasses import replace

from spectra_cli.core.errors import ProbeError
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.settings import ByDefault, ScanSettings
from spectra_cli.core.types import ProbeInfo
from spectra_cli.extract.measurements.measurement import ParameterMeasurement
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.protocols import Model


def needs_tokens(settings: ScanSettings) -> bool:
    """Whether any of the measurements runs the model."""
    return not all(isinstance(kind, ParameterMeasurement) for kind in measurements_of(settings))


def fitted_to_model(settings: ScanSettings, model: Model) -> tuple[ScanSettings, tuple[str, ...]]:
    """The settings with T within the model's positions, and what the user must know of it.

    Raises:
        ProbeError: a longer T was asked for.
    """
    length, positions = settings.sequence_length, model.max_length
    if positions is None or length <= positions:
        return settings, ()
    if not isinstance(length, ByDefault) or positions < 2:
        raise ProbeError(
            f"sequences of {length} tokens were asked for; this {model.architecture} model "
            f"has {positions} positions: use --sequence-length {positions} or less"
        )
    notice = (
        f"sequences are of {positions} tokens, where {length} is the default: this {model.architecture} "
        f"model has {positions} positions"
    )
    return replace(settings, sequence_length=positions), (notice,)


def fitted_to_probe(settings: ScanSettings, probe: ProbeInfo) -> tuple[ScanSettings, tuple[str, ...]]:
    """The settings with the counts and the length of the probe that was found for them, and what the user
    must know of it.
    """
    length = settings.sequence_length
    notices = []
    if probe.sequence_length < length:
        notices.append(
            f"sequences are of {probe.sequence_length} tokens, where {length} is the default: those of the "
            "probe are no longer"
        )
    # what is not measured keeps its default, so that archives of before can be continued
    kinds = [kind for kind in MEASUREMENTS.values() if kind.made_by in settings.measurements]
    words = {kind.samples: kind.words for kind in reversed(kinds) if kind.samples}
    fewer = {name: min(getattr(settings, name), probe.num_sequences) for name in words}
    short = {name: words[name] for name in reversed(words) if fewer[name] < getattr(settings, name)}
    for count in dict.fromkeys(getattr(settings, name) for name in short):
        of = " and ".join(short[name] for name in short if getattr(settings, name) == count)
        notices.append(
            f"{of}: {probe.num_sequences} sequences are measured, where {count} is the default: the probe "
            f"holds no more of {probe.sequence_length} tokens"
        )
    return replace(settings, sequence_length=min(length, probe.sequence_length), **fewer), tuple(notices)
