"""Whether a checkpoint can be scanned as the series is, and settings that fit the model and the probe.

It is asked of its header, before a weight is read; `inspect` and `scan` ask it here, so that they refuse the
same checkpoints in the same words. Of settings a default gives way, what the user asked for does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from spectra_cli.core.errors import CheckpointError, ProbeError, UsageError
from spectra_cli.core.measurements import MEASUREMENTS
from spectra_cli.core.scan_request import Resources
from spectra_cli.core.settings import ByDefault, ScanSettings
from spectra_cli.core.types import CheckpointRef, ProbeInfo
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.measurements.measurement import ParameterMeasurement
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.memory import rounded_resident_bytes
from spectra_cli.extract.models.claims.tied_embeddings import stored_pairs
from spectra_cli.extract.planning.plan import ScanPlan, plan_scan
from spectra_cli.extract.protocols import CheckpointHeader, Model
from spectra_cli.extract.series.opened import Series, build_skeleton


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
            f"{of}: {counted(probe.num_sequences, 'sequence')} {agreed(probe.num_sequences)} measured, "
            f"where {count} is the default: the probe "
            f"holds no more of {probe.sequence_length} tokens"
        )
    return replace(settings, sequence_length=min(length, probe.sequence_length), **fewer), tuple(notices)


# Families whose models differ from step to step: their windows grow.
_BY_STEP = ("nanogpt",)


def skeleton_of(series: Series, header: CheckpointHeader, *, heeds_ties: bool = False) -> Model:
    """The model of a header of the series, without values; that of the first where names, shapes and
    configuration are its own.

    Args:
        heeds_ties: whether it matters if two stored matrices are one, which is known from their values.

    Raises:
        ModelError: no model fits it.
    """
    same = header.tensors == series.first.tensors and header.config == series.first.config
    same = same and (series.skeleton.family not in _BY_STEP or header.ref == series.first.ref)
    same = same and not (heeds_ties and stored_pairs(series.skeleton.module, header.tensors))
    return series.skeleton if same else build_skeleton(header, series.builder)


def planner(series: Series, device: torch.device, resources: Resources) -> Callable[..., ScanPlan]:
    """`plan_scan` for models of the series; what the process holds is read once, so that every checkpoint
    gets the same plan.
    """
    return partial(
        plan_scan,
        device=device,
        budget_bytes=resources.memory_bytes,
        batch_size=resources.batch_size,
        checkpoint_bytes=series.first.loaded_bytes,
        process_bytes=rounded_resident_bytes() if device.type == "cpu" else 0,
    )


def require_fit(
    ref: CheckpointRef,
    model: Model,
    settings: ScanSettings,
    *,
    probe_ids: int,
    plan: Callable[[Model, ScanSettings], ScanPlan],
) -> None:
    """Nothing, if the model takes the probe's tokens and has the layers and matrices of the settings.

    Args:
        ref, model: the checkpoint, with values or without.
        settings: those of the series, fitted to its first checkpoint and the probe.
        probe_ids: how large a vocabulary the probe needs; 0 where it is not known.
        plan: how such a model would be measured: a `planner`.

    Raises:
        CheckpointError: this checkpoint is of another model than the first of the series.
        BudgetError: it takes more memory than there is.
    """
    another = "this is another model than the first of the series"
    if probe_ids > model.vocab_size:
        raise CheckpointError(
            f"{ref.uri}: its vocabulary has {model.vocab_size} ids and the probe needs {probe_ids}: {another}"
        )
    length = settings.sequence_length
    if needs_tokens(settings) and model.max_length is not None and length > model.max_length:
        raise CheckpointError(
            f"{ref.uri}: it has {model.max_length} positions, and sequences are of {length} tokens: {another}"
        )
    try:
        plan(model, settings)
    except UsageError as error:
        raise CheckpointError(f"{ref.uri}: {error}: {another}") from error
