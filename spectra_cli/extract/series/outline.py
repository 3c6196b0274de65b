"""The checkpoints of a series, outlined from their headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spectra_cli.core.errors import SpectraError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.training import TRAINING_VALUES, TrainingMetadata
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.tensors.stored_values import precision_notices
from spectra_cli.extract.models.facts import facts_of, sources_of
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import CheckpointHeader, Model
from spectra_cli.extract.series.fit import require_fit, skeleton_of
from spectra_cli.extract.series.opened import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointOutline(TrainingMetadata):
    """One checkpoint as its header describes it.

    Attributes:
        num_bytes: of tensor data as stored; loaded_bytes: to be read, and held once they are.
        problem: why it could not be scanned.
    """

    ref: CheckpointRef
    architecture: str = ""
    num_parameters: int | None = None
    num_bytes: int | None = None
    loaded_bytes: int = 0
    problem: str = ""


def outlines(
    series: Series,
    headers: Mapping[CheckpointRef, CheckpointHeader | SpectraError],
    settings: ScanSettings,
    *,
    probe_ids: int,
    plan: Callable[[Model, ScanSettings], ScanPlan] | None,
) -> tuple[CheckpointOutline, ...]:
    """Every checkpoint as its header describes it, with what a scan would refuse it for.

    Args:
        probe_ids, plan: as of `require_fit`; plan None where the series itself has no plan.
    """
    found = []
    for ref, header in headers.items():
        try:
            if isinstance(header, SpectraError):
                raise header
            own = skeleton_of(series, header, heeds_ties=True)
            if plan is not None:
                require_fit(ref, own, settings, probe_ids=probe_ids, plan=plan)
            found.append(outline_header(series, header, own, compute_dtype=settings.dtype))
        except SpectraError as error:
            found.append(CheckpointOutline(ref=ref, problem=str(error)))
    return tuple(found)


def outline_header(
    series: Series, header: CheckpointHeader, model: Model, *, compute_dtype: str
) -> CheckpointOutline:
    """What a header of the series says, with the parameters of its model counted, and what a scan in
    `compute_dtype` would note about it; notices of its model only where the series' first lacks them.
    """
    own = tuple(notice for notice in model.notices if notice not in series.skeleton.notices)
    return CheckpointOutline(
        ref=header.ref,
        architecture=model.architecture,
        num_parameters=num_parameters(model),
        num_bytes=header.num_bytes,
        loaded_bytes=max(header.num_bytes, header.loaded_bytes),
        notices=header.notices + own + precision_notices(header.tensors, compute_dtype=compute_dtype),
        **training_of(header, model),
    )


def training_of(header: CheckpointHeader, model: Model) -> dict[str, Any]:
    """What a header says of the training, and the facts of its model, by field of `TrainingMetadata`;
    notices apart.
    """
    return {name: getattr(header, name) for name in TRAINING_VALUES} | {
        "facts": {**header.facts, **facts_of(model)},
        "sources": {**header.sources, **sources_of(model)},
    }


def num_parameters(model: Model) -> int:
    """Distinct parameters of `model`, tied ones once; also on the meta device."""
    distinct = {id(parameter): parameter.numel() for parameter in model.module.parameters()}
    return sum(distinct.values())
