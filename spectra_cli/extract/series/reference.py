"""Reading the checkpoint that the weights of a series are compared with."""

from __future__ import annotations

from pathlib import Path

import torch

from spectra_cli.core.errors import CheckpointError, ModelError, UsageError
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.measurements.reference import Reference, reference_of
from spectra_cli.extract.measurements.scope import Scope
from spectra_cli.extract.measurements.weights import weight_views
from spectra_cli.extract.memory import room_for
from spectra_cli.extract.protocols import Model
from spectra_cli.extract.series.opened import Series, family_of


def reference_name(ref: CheckpointRef) -> str:
    """What the settings of an archive call it: its key, or its file's name where no step is known."""
    return ref.key if ref.step is not None else Path(ref.uri).name


def read_reference(series: Series, settings: ScanSettings) -> Reference:
    """The weights to compare with; where they cannot be read, why, since all else can be measured."""
    try:
        cpu = torch.device("cpu")
        with one_reading():
            header = series.reference_source.header(series.reference)
            with room_for(header, cpu):
                state = series.reference_source.open(series.reference)
                digest = state_digest(state)
                model = family_of(header, series.builder).build(header, state, device=cpu)
        return keep_reference(model, settings, digest, archived=series.names_reference)
    except (CheckpointError, ModelError) as error:
        name = reference_name(series.reference)
        return Reference(problem=f"the reference checkpoint {name} cannot be read: {error}")
    except UsageError as error:
        # layers or matrices that the series has and its reference, of another model, has not
        name = reference_name(series.reference)
        return Reference(problem=f"the reference checkpoint {name} lacks what is measured: {error}")


def keep_reference(model: Model, settings: ScanSettings, digest: str, *, archived: bool) -> Reference:
    """The weights that a scan with these settings measures, taken from the reference checkpoint's model."""
    views, _ = weight_views(Scope.of(model, settings, torch.device("cpu")))
    return reference_of(views, digest, archived=archived)
