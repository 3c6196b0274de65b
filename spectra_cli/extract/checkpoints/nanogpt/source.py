"""nanoGPT-style `.pt` files: Karpathy's `ckpt.pt`, the Spectral Lens layouts, bare state dicts.

`CheckpointHeader.config` is flat:

    layout        "nanogpt" (`model_args` inside), "spectral-lens" (`model` and `step` inside), or
                  "state-dict" (`model_state_dict`, `state_dict`, or a bare dict of tensors)
    file_family   which trainers write such top-level keys: "A", "B/F", "C", "D", "E"
                  (specification of the family, section 3.1); "" where the keys do not tell
    every other   `model_args` for "nanogpt"; else the training arguments, from inside the file or
                  from `args.json`; none where neither exists
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.notices import tokens_unknown
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.state_dicts import header_of, tensor_bytes
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.nanochat import is_nanochat, nanochat_files, require_meta
from spectra_cli.extract.checkpoints.nanogpt.payload import (
    ENDING,
    Payload,
    read_payload,
    states_own_step,
    stored_learning_rate,
    stored_loss,
    value_weights,
)
from spectra_cli.extract.checkpoints.nanogpt.training_arguments import (
    RUN_FILES,
    TrainingArguments,
    find_arguments,
    nanogpt_tokens_per_step,
    tokens_per_step,
)
from spectra_cli.extract.checkpoints.series.found import FoundRun, fingerprint, in_series_order, parse_step
from spectra_cli.extract.checkpoints.tensors.stored_values import same_stored
from spectra_cli.extract.checkpoints.tensors.wrappers import COMPILE_AND_DDP, require_gathered, unwrapped
from spectra_cli.extract.protocols import CheckpointHeader

_FORMAT = "nanogpt"
_LEADING = (*COMPILE_AND_DDP, "model")
_FILE_NAME = re.compile(
    r"(?:ckpt|checkpoint|model|state|step|iter)"
    r"(?:[-_]?(?P<label>target_reached|target|best|last|latest|final))?"
    r"(?:[-_]?(?P<stepped>step|iter))?(?:[-_]?\d+)?\.pt",
    re.IGNORECASE,
)
_CHECKPOINTS = "checkpoints"
_ARGUMENT_ENTRIES = ("args", "hparams", "hyper_parameters", "config")


class NanoGPTFormat:
    """Finds nanoGPT-style checkpoints."""

    name = _FORMAT
    summary = (
        "a .pt file, or a folder (or its checkpoints/ subfolder) with such files: ckpt.pt, ckpt_1000.pt, "
        "checkpoint_step000100.pt, checkpoint_target_reached_step000100.pt, ckpt_step_0000100.pt, "
        "model_step_000100.pt"
    )

    def find(self, path: str) -> NanoGPTSource | None:
        """The checkpoints that `path` is, holds, or holds in `checkpoints/`; None if there are none."""
        given = Path(os.path.abspath(path))
        if given.is_file() and given.suffix == ".pt" and not is_nanochat(given):
            return _source(given.parent, [given], notices=())
        if not given.is_dir():
            return None
        below = given / _CHECKPOINTS
        found = {folder: _checkpoint_files(folder) for folder in (given, below) if folder.is_dir()}
        folder = next((folder for folder, files in found.items() if files), None)
        if folder is None:
            return None
        notices = []
        if temporary := sorted(file.name for file in folder.glob("*.tmp")):
            notices.append(f"temporary files are not read: {', '.join(temporary)}")
        return _source(folder, found[folder], notices=tuple(notices))


def _checkpoint_files(folder: Path) -> list[Path]:
    files = {file for file in folder.glob("*.pt") if _FILE_NAME.fullmatch(file.name) and file.is_file()}
    return sorted(files.difference(nanochat_files(folder)))


def _source(folder: Path, files: Sequence[Path], *, notices: tuple[str, ...]) -> NanoGPTSource:
    run = folder.parent.name if folder.name == _CHECKPOINTS else folder.name
    refs = in_series_order(_ref(file, run=run) for file in files)
    return NanoGPTSource(run=run, checkpoints=refs, notices=notices)


def _ref(file: Path, *, run: str) -> CheckpointRef:
    name = _FILE_NAME.fullmatch(file.name)
    step = parse_step(file.stem)
    if not _states_step(file):
        # nanoGPT numbers its files as it likes; the count of its updates is inside. A damaged file
        # must not hide the other checkpoints: `header` says what is wrong with it.
        try:
            inside = read_payload(file).step
        except CheckpointError:
            inside = None
        step = step if inside is None else inside
    label = (name["label"] or "") if name else ""
    return CheckpointRef(run=run, step=step, uri=str(file), format=_FORMAT, label=label)


def _states_step(file: Path) -> bool:
    """Whether the name gives the step; the content does where it can, if not."""
    name = _FILE_NAME.fullmatch(file.name)
    return name is not None and bool(name["stepped"]) and parse_step(file.stem) is not None


@dataclass(kw_only=True, slots=True)
class NanoGPTSource(FoundRun):
    """One run of nanoGPT-style checkpoints."""

    format: str = _FORMAT

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says, from its pickle and `args.json`; tensor data is not read.

        Raises:
            CheckpointError: damaged, or without a state dict.
            UnsafePickleError: it needs types outside the allow-list.
        """
        file = Path(ref.uri)
        payload = read_payload(file, ending=(ENDING,))
        if not _states_step(file) and payload.step not in (None, ref.step):
            raise CheckpointError(
                f"{file}: it was of step {ref.step} when the series was listed, and is of step "
                f"{payload.step} now: it changed while it was being read; scan it again once nothing writes "
                "to it"
            )
        state, removed = unwrapped(payload.state, leading=_LEADING)
        require_gathered({name: header_of(tensor) for name, tensor in state.items()}, where=str(file))
        arguments = _arguments(file, payload)
        if not payload.content and arguments.file is None:
            require_meta(file, state)
        batch = _tokens_per_step(file, payload, arguments)
        tokens, token_notices = _tokens(ref, payload, batch)
        loss, loss_notices = stored_loss(payload, names=state, target_reached=ref.label.startswith("target"))
        rate = stored_learning_rate(payload)
        sources = {
            "config": _relative(arguments.file, file),
            **{f"config.{name}": _relative(origin, file) for name, origin in arguments.origins.items()},
            "tokens_seen": f"{batch.origin}: step x {batch.rule}" if batch and tokens is not None else "",
            "batch_size_tokens": f"{batch.origin}: {batch.rule}" if batch else "",
            "learning_rate": f"{file.name}: optimizer" if rate is not None else "",
            "eval_loss": file.name if loss is not None else "",
        }
        beside = dict.fromkeys((file, *arguments.files))
        return CheckpointHeader(
            ref=ref,
            tensors={name: header_of(tensor) for name, tensor in state.items()},
            config={**arguments.values, "layout": payload.layout, "file_family": payload.file_family},
            fingerprint=fingerprint(file.parent, list(beside)),
            num_bytes=tensor_bytes(state),
            tokens_seen=tokens,
            eval_loss=loss,
            learning_rate=rate,
            batch_size_tokens=batch.tokens if batch else None,
            stated_step=payload.step,
            sources={name: source for name, source in sources.items() if source},
            value_weights=value_weights(state),
            same_values=partial(_same_values, file),
            notices=(
                *self.notices,
                *removed,
                *_step_notices(file, payload),
                *_argument_notices(payload, arguments),
                *arguments.notices,
                *token_notices,
                *loss_notices,
            ),
        )

    @one_reading()
    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The model's tensors as stored.

        Raises:
            CheckpointError, UnsafePickleError: as `header`.
        """
        return unwrapped(read_payload(Path(ref.uri), with_values=True).state, leading=_LEADING)[0]


def _same_values(file: Path, one: str, other: str) -> bool:
    state = unwrapped(read_payload(file, ending=(one, other)).state, leading=_LEADING)[0]
    return same_stored(state, one, other, where=str(file))


def _arguments(file: Path, payload: Payload) -> TrainingArguments:
    if payload.layout == "nanogpt":
        return TrainingArguments(values=payload.mapping("model_args"), file=file)
    entries = (payload.content.get(name) for name in _ARGUMENT_ENTRIES)
    kinds = (Mapping, argparse.Namespace)
    return find_arguments(file, next((e for e in entries if isinstance(e, kinds) and e), None))


def _argument_notices(payload: Payload, arguments: TrainingArguments) -> tuple[str, ...]:
    if payload.layout == "nanogpt" or arguments.file is not None:
        return ()
    names = f"{', '.join(RUN_FILES[:-1])} or {RUN_FILES[-1]}"
    return (f"no training arguments: none in the file, no {names} beside it, above it or in logs/ above",)


def _step_notices(file: Path, payload: Payload) -> tuple[str, ...]:
    named = parse_step(file.stem)
    if named is None or payload.step is None or named == payload.step:
        return ()
    return (f"the file's name says step {named}, its content step {payload.step}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Tokens of one optimiser step, the rule that gave them, and the file it was read from."""

    tokens: int
    rule: str
    origin: str


def _tokens_per_step(file: Path, payload: Payload, arguments: TrainingArguments) -> _Batch | None:
    training: Mapping[str, Any] = payload.mapping("config") if payload.layout == "nanogpt" else {}
    derived = payload.mapping("derived")
    found = nanogpt_tokens_per_step(training) or tokens_per_step(arguments=arguments.values, derived=derived)
    if found is None:
        return None
    inside = training or found[1] in derived
    origin = file.name if inside else _relative(arguments.file, file)
    return _Batch(tokens=found[0], rule=found[1], origin=origin)


def _tokens(ref: CheckpointRef, payload: Payload, batch: _Batch | None) -> tuple[int | None, tuple[str, ...]]:
    """Tokens seen, or why they are unknown."""
    training: Mapping[str, Any] = payload.mapping("config") if payload.layout == "nanogpt" else {}
    if str(training.get("init_from", "")).startswith("gpt2"):
        return None, (tokens_unknown("the run started from pretrained GPT-2 weights"),)
    if ref.step == 0 and payload.file_family not in ("", "A") and not states_own_step(payload):
        return None, (tokens_unknown("some of these trainers save step 0 after one update"),)
    if ref.step is None or batch is None:
        missing = "no step" if ref.step is None else "no arguments that give the tokens of one step"
        return None, (tokens_unknown(missing),)
    return ref.step * batch.tokens, ()


def _relative(source: Path | None, file: Path) -> str:
    return "" if source is None else Path(os.path.relpath(source, file.parent)).as_posix()
