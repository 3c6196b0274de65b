"""Hugging Face folders: `config.json` and weights, alone or as the children of a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.distributed.folder import distributed_payload
from spectra_cli.extract.checkpoints.files.json_object import read_json_object
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.files.weight_files import (
    WEIGHT_NAMES,
    WeightFiles,
    find_weights,
    has_weights,
    open_some,
    open_tensors,
    read_headers,
)
from spectra_cli.extract.checkpoints.huggingface.float8 import dequantised, with_float8_dequantised
from spectra_cli.extract.checkpoints.series.found import (
    FoundRun,
    find_run,
    fingerprint,
    is_own,
    parse_step,
    step_notices,
    training_values,
)
from spectra_cli.extract.checkpoints.series.incomplete import CONFIG, no_config
from spectra_cli.extract.checkpoints.series.trainer_state import (
    TRAINER_STATE,
    TrainerState,
    read_trainer_state,
)
from spectra_cli.extract.checkpoints.tensors.stored_values import same_stored
from spectra_cli.extract.checkpoints.tensors.wrappers import require_gathered, unwrapped
from spectra_cli.extract.protocols import CheckpointHeader

_FORMAT = "huggingface"


class HuggingFaceFormat:
    """Finds Hugging Face checkpoints."""

    name = _FORMAT
    summary = (
        f"a folder with {CONFIG} and {', '.join(WEIGHT_NAMES[:-1])} or {WEIGHT_NAMES[-1]}, or a run folder "
        "with such children (checkpoint-500, step500, global_step500, iter_0000500, rev-main)"
    )

    def find(self, path: str) -> HuggingFaceSource | None:
        """The checkpoints in `path` or directly below it, None if there are none."""
        return find_run(
            HuggingFaceSource,
            path,
            format_name=_FORMAT,
            is_child=_is_child,
            has_a_part=lambda child: (child / CONFIG).is_file() or has_weights(child),
            is_checkpoint=_has_config_and_weights,
        )


@dataclass(kw_only=True, slots=True)
class HuggingFaceSource(FoundRun):
    """One run of Hugging Face checkpoints."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says, from its JSON files and the headers of its weight files.

        Raises:
            CheckpointError: no configuration, no weights, half-written or contradictory files.
            UnsafePickleError: a `.bin` that needs types outside the allow-list.
        """
        folder = Path(ref.uri)
        described_by = _config_file(folder)
        config = read_json_object(described_by)
        weights = find_weights(folder)
        headers = read_headers(weights)
        tensors, removed = unwrapped(headers.tensors)
        require_gathered(tensors, where=str(folder))
        described = with_float8_dequantised(tensors, config, where=str(folder))
        state = read_trainer_state(folder)
        values, sources = training_values(state)
        beside = (described_by, weights.index, folder / TRAINER_STATE)
        files = [*weights.files, *(file for file in beside if file is not None and file.is_file())]
        return CheckpointHeader(
            ref=ref,
            tensors=described.tensors,
            config=described.config,
            fingerprint=fingerprint(folder, files),
            num_bytes=headers.num_bytes,
            read_bytes=described.read_bytes,
            **values,
            sources={"config": Path(os.path.relpath(described_by, folder)).as_posix(), **sources},
            notices=(
                *self.notices,
                *_outside(folder, described_by),
                *headers.notices,
                *removed,
                *described.notices,
                *self._step_notices(ref, state),
            ),
            same_values=partial(_same_values, weights, unwrapped({n: n for n in headers.tensors})[0]),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors as stored.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        folder = Path(ref.uri)
        state = unwrapped(open_tensors(find_weights(folder)))[0]
        return dequantised(state, read_json_object(_config_file(folder)), where=str(folder))

    def _step_notices(self, ref: CheckpointRef, state: TrainerState | None) -> tuple[str, ...]:
        notices = list(step_notices(ref, state))
        if is_own(ref) and ref.step is not None:
            twins = [r for r in self.checkpoints if r.step == ref.step and r.uri != ref.uri]
            notices.extend(
                f"the run folder's own weights are of step {ref.step}, as are those of {Path(twin.uri).name}"
                for twin in twins
            )
        if is_own(ref) and state and parse_step(state.best_checkpoint) not in (None, state.step):
            notices.append(
                f"the best checkpoint is {state.best_checkpoint}: under load_best_model_at_end the run "
                f"folder's own weights, and not those of step {state.step}, are the best ones"
            )
        return tuple(notices)


def _same_values(weights: WeightFiles, stored: Mapping[str, str], one: str, other: str) -> bool:
    names = stored[one], stored[other]
    return same_stored(open_some(weights, names), *names, where=str(weights.folder))


def _config_file(folder: Path) -> Path:
    """What says which model it is: in the folder, or in that of the run.

    Raises:
        CheckpointError: there is none.
    """
    own, above = folder / CONFIG, folder.parent / CONFIG
    if os.path.lexists(own) or not has_weights(folder):
        return own
    if parse_step(folder.name) is None or not above.is_file():
        raise CheckpointError(no_config(folder))
    return above


def _outside(folder: Path, described_by: Path) -> tuple[str, ...]:
    inside = described_by.parent == folder
    return () if inside else (f"described by ../{CONFIG}, outside its own folder",)


def _is_child(folder: Path) -> bool:
    if distributed_payload(folder) is not None and not has_weights(folder):
        return False
    named = parse_step(folder.name) is not None or folder.name.startswith("rev-")
    return named or _has_config_and_weights(folder)


def _has_config_and_weights(folder: Path) -> bool:
    config = folder / CONFIG
    # accelerate leaves checkpoints without one
    by_run = parse_step(folder.name) is not None and not os.path.lexists(config)
    return has_weights(folder) and (config.is_file() or (by_run and (folder.parent / CONFIG).is_file()))
