"""Hugging Face folders: `config.json` and weights, alone or as the children of a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.distributed_folder import distributed_payload
from spectra_cli.extract.checkpoints.float8 import dequantised, with_float8_dequantised
from spectra_cli.extract.checkpoints.json_object import read_json_object
from spectra_cli.extract.checkpoints.series import fingerprint, in_series_order, parse_step
from spectra_cli.extract.checkpoints.trainer_state import TRAINER_STATE, TrainerState, read_trainer_state
from spectra_cli.extract.checkpoints.weight_files import (
    WEIGHT_NAMES,
    find_weights,
    open_tensors,
    read_headers,
)
from spectra_cli.extract.checkpoints.wrappers import unwrapped
from spectra_cli.extract.protocols import CheckpointHeader

CONFIG = "config.json"
_FORMAT = "huggingface"
_FINAL = "final"


class HuggingFaceFormat:
    """Finds Hugging Face checkpoints."""

    name = _FORMAT
    summary = (
        f"a folder with {CONFIG} and {', '.join(WEIGHT_NAMES[:-1])} or {WEIGHT_NAMES[-1]}, or a run folder "
        "with such children (checkpoint-500, step500, global_step500, iter_0000500, rev-main)"
    )

    def find(self, path: str) -> HuggingFaceSource | None:
        """The checkpoints in `path` or directly below it, None if there are none."""
        folder = Path(os.path.abspath(path))
        if not folder.is_dir():
            return None
        below = sorted(child for child in folder.iterdir() if child.is_dir())
        staged = [child for child in below if child.name.startswith(("tmp", ".")) or child.suffix == ".tmp"]
        children = [child for child in below if child not in staged and _is_child(child)]
        # A child without any of the files is damaged among others, but alone it is not of this format.
        if not any(_has_config_or_weights(child) for child in children):
            children = []
        is_checkpoint = _has_config_and_weights(folder)
        if not children and not is_checkpoint:
            return None
        refs = [_ref(child, run=folder.name) for child in children]
        if is_checkpoint:
            refs.append(_ref(folder, run=folder.name, label=_FINAL if children else ""))
        unfinished = [child.name for child in staged if children and parse_step(child.name) is not None]
        notices = (f"unfinished folders are not read: {', '.join(unfinished)}",) if unfinished else ()
        return HuggingFaceSource(run=folder.name, checkpoints=in_series_order(refs), notices=notices)


@dataclass(kw_only=True, slots=True)
class HuggingFaceSource:
    """One run of Hugging Face checkpoints.

    Attributes:
        run: name of the run folder.
        checkpoints: in order of their steps.
        notices: about the series as a whole; every header repeats them.
    """

    run: str
    checkpoints: tuple[CheckpointRef, ...]
    notices: tuple[str, ...] = ()
    format: str = _FORMAT

    def refs(self) -> Sequence[CheckpointRef]:
        """The checkpoints, ordered by step."""
        return self.checkpoints

    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says, from its JSON files and the headers of its weight files.

        Raises:
            CheckpointError: no configuration, no weights, half-written or contradictory files.
            UnsafePickleError: a `.bin` that needs types outside the allow-list.
        """
        folder = Path(ref.uri)
        config = read_json_object(folder / CONFIG)
        weights = find_weights(folder)
        headers = read_headers(weights)
        tensors, removed = unwrapped(headers.tensors)
        described = with_float8_dequantised(tensors, config, headers.num_bytes, where=str(folder))
        state = read_trainer_state(folder)
        beside = (folder / CONFIG, weights.index, folder / TRAINER_STATE)
        files = [*weights.files, *(file for file in beside if file is not None and file.is_file())]
        return CheckpointHeader(
            ref=ref,
            tensors=described.tensors,
            config=described.config,
            fingerprint=fingerprint(folder, files),
            num_bytes=described.num_bytes,
            tokens_seen=state.tokens_seen if state else None,
            train_loss=state.train_loss if state else None,
            eval_loss=state.eval_loss if state else None,
            learning_rate=state.learning_rate if state else None,
            batch_size_tokens=state.batch_size_tokens if state else None,
            stated_step=state.step if state else None,
            sources=_sources(state),
            notices=(
                *self.notices,
                *headers.notices,
                *removed,
                *described.notices,
                *self._step_notices(ref, state),
            ),
        )

    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors as stored, mapped from their files.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        folder = Path(ref.uri)
        state = unwrapped(open_tensors(find_weights(folder)))[0]
        return dequantised(state, read_json_object(folder / CONFIG), where=str(folder))

    def _step_notices(self, ref: CheckpointRef, state: TrainerState | None) -> tuple[str, ...]:
        notices = list(state.notices) if state else []
        named = parse_step(Path(ref.uri).name)
        if state is not None and named is not None and ref.label != _FINAL and named != state.step:
            notices.append(
                f"the folder's name says step {named}, its {TRAINER_STATE} step {state.step}: the name is "
                "taken as the step, tokens and losses are those of the file"
            )
        if ref.label == _FINAL and ref.step is not None:
            twins = [r for r in self.checkpoints if r.step == ref.step and r.uri != ref.uri]
            notices.extend(
                f"the run folder's own weights are of step {ref.step}, as are those of {Path(twin.uri).name}"
                for twin in twins
            )
        if ref.label == _FINAL and state and parse_step(state.best_checkpoint) not in (None, state.step):
            notices.append(
                f"the best checkpoint is {state.best_checkpoint}: under load_best_model_at_end the run "
                f"folder's own weights, and not those of step {state.step}, are the best ones"
            )
        return tuple(notices)


def _sources(state: TrainerState | None) -> Mapping[str, str]:
    sources = {"config": CONFIG}
    if state is not None:
        values = {
            "tokens_seen": state.tokens_seen,
            "train_loss": state.train_loss,
            "eval_loss": state.eval_loss,
            "learning_rate": state.learning_rate,
        }
        sources |= {name: TRAINER_STATE for name, value in values.items() if value is not None}
        if state.batch_size_tokens is not None:
            sources["batch_size_tokens"] = f"{TRAINER_STATE}: num_input_tokens_seen / global_step"
    return sources


def _ref(folder: Path, *, run: str, label: str = "") -> CheckpointRef:
    step = None if label == _FINAL else parse_step(folder.name)
    if step is None:
        # A damaged file must not hide the other checkpoints; `header` says what is wrong with it.
        try:
            state = read_trainer_state(folder)
        except CheckpointError:
            state = None
        step = state.step if state else None
    return CheckpointRef(run=run, step=step, uri=str(folder), format=_FORMAT, label=label)


def _is_child(folder: Path) -> bool:
    if distributed_payload(folder) is not None and not _has_weights(folder):
        return False
    named = parse_step(folder.name) is not None or folder.name.startswith("rev-")
    return named or _has_config_and_weights(folder)


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in WEIGHT_NAMES)


def _has_config_and_weights(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and _has_weights(folder)


def _has_config_or_weights(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or _has_weights(folder)
