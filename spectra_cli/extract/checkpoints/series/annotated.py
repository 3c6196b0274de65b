"""A series with what the user says about it put over what its files say.

For each value the first of these that gives it counts: the training log, `run.toml`, the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from spectra_cli.core.errors import CheckpointError, UsageError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.files.unchanged import one_reading
from spectra_cli.extract.checkpoints.series.run_file import RunFile, read_run_file
from spectra_cli.extract.checkpoints.series.training_log import TrainingLog, nearest_step, read_training_log
from spectra_cli.extract.protocols import CheckpointHeader, CheckpointSource

TRUST = "trust_remote_code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says about one checkpoint: values by field of the header, and their sources."""

    values: Mapping[str, float | int]
    sources: Mapping[str, str]


@dataclass(kw_only=True, slots=True)
class AnnotatedSource:
    """A source whose headers carry the user's words.

    Attributes:
        inner: the source itself.
        run_file, log: what the user wrote down; log None without one.
        model: facts about the architecture over those of the files; model_sources: where they stand.
        trust_remote_code: said on the command line; no file can say so.
    """

    inner: CheckpointSource
    run_file: RunFile
    log: TrainingLog | None
    model: Mapping[str, Any]
    model_sources: Mapping[str, str]
    trust_remote_code: bool
    _own: dict[CheckpointRef, CheckpointRef] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """Name of the checkpoint format."""
        return self.inner.format

    @property
    def run(self) -> str:
        """Name of the run."""
        return self.run_file.name or self.inner.run

    def refs(self) -> Sequence[CheckpointRef]:
        """The checkpoints, under the name that the user gives the run."""
        own = self.inner.refs()
        renamed = [replace(ref, run=self.run) for ref in own]
        self._own = dict(zip(renamed, own, strict=True))
        return tuple(renamed)

    @one_reading()
    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says, and what the user says about it.

        Raises:
            CheckpointError: as the source itself.
        """
        with _readable(ref):
            stored = _counted(self.inner.header(self._own.get(ref, ref)))
        config = {name: value for name, value in stored.config.items() if name != TRUST} | dict(self.model)
        if self.trust_remote_code:
            config[TRUST] = True
        given = self.given(ref)
        stale = NoticeKind.TOKENS_UNKNOWN if "tokens_seen" in given.values else None
        notices = [notice for notice in stored.notices if kind_of(notice) is not stale]
        notices += (*_contradictions(stored, given), *self._overruled(stored))
        notices += self._not_logged(ref, stored, given)
        values: dict[str, Any] = dict(given.values)
        header = replace(
            stored,
            ref=ref,
            config=config,
            **values,
            facts={**stored.facts, **self.run_file.facts},
            sources={**stored.sources, **self.model_sources, **given.sources},
            notices=tuple(notices),
        )
        return _counted(header)

    @one_reading()
    def stored_names(self, ref: CheckpointRef) -> frozenset[str]:
        """Names in the configuration of the files, without the user's.

        Raises:
            CheckpointError: as `header`.
        """
        with _readable(ref):
            return frozenset(self.inner.header(self._own.get(ref, ref)).config)

    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors of `ref`, as the source itself.

        Raises:
            CheckpointError: as the source itself.
        """
        with _readable(ref):
            return self.inner.open(self._own.get(ref, ref))

    def given(self, ref: CheckpointRef) -> Given:
        """What the user says about `ref`: `run.toml` first, the log over it."""
        values: dict[str, float | int] = {}
        sources: dict[str, str] = {}
        if (batch := self.run_file.batch_size_tokens) is not None:
            file = str(self.run_file.path)
            values["batch_size_tokens"], sources["batch_size_tokens"] = batch, file
            if ref.step is not None:
                values["tokens_seen"] = ref.step * batch
                sources["tokens_seen"] = f"{file}: step x batch_size_tokens"
        if self.log is not None:
            logged = self.log.at(ref.step)
            values |= logged
            sources |= {name: self.log.source(name) for name in logged}
        return Given(values=values, sources=sources)

    def _overruled(self, stored: CheckpointHeader) -> list[str]:
        """Facts about the model that files state otherwise than the user, or `run.toml` than `--set`."""
        own = stored.sources.get("config", "its files")
        said = [
            (name, value, stored.sources.get(f"config.{name}", own)) for name, value in stored.config.items()
        ]
        said += [(name, value, str(self.run_file.path)) for name, value in self.run_file.model.items()]
        return [
            f"{name} is {self.model[name]!r} by {self.model_sources[f'config.{name}']}, and {value!r} by "
            f"{source}: the former is taken"
            for name, value, source in said
            if name in self.model and name != TRUST and self.model[name] != value
        ]

    def _not_logged(self, ref: CheckpointRef, stored: CheckpointHeader, given: Given) -> list[str]:
        """The columns of the log that say nothing at this step, and what stands in their place."""
        if self.log is None:
            return []
        if ref.step is None:
            return [*self.log.notices, f"{self.log.file} says nothing of it: its step is unknown"]
        missing = [name for name, by_step in self.log.values.items() if ref.step not in by_step]
        said = [_missing(self.log, name, ref.step, _known_from(name, stored, given)) for name in missing]
        return [*self.log.notices, *said]


def annotated(inner: CheckpointSource, path: str, options: SeriesOptions) -> AnnotatedSource:
    """The source at `path` with its `run.toml`, the log and the facts that the user gives.

    Raises:
        UsageError: a log or `run.toml` that cannot be read, or one that would let code run.
    """
    run_file = read_run_file(path)
    for where, facts in ((str(run_file.path), run_file.model), ("--set", options.model)):
        if TRUST in facts:
            raise UsageError(
                f"{where}: model.{TRUST} is no fact about the model; the flag is --trust-remote-code"
            )
    log = os.fspath(options.log) or run_file.log
    sources = dict.fromkeys(run_file.model, str(run_file.path)) | dict.fromkeys(options.model, "--set")
    return AnnotatedSource(
        inner=inner,
        run_file=run_file,
        log=read_training_log(log) if log else None,
        model={**run_file.model, **options.model},
        model_sources={f"config.{name}": where for name, where in sources.items()},
        trust_remote_code=options.trust_remote_code,
    )


@contextmanager
def _readable(ref: CheckpointRef) -> Iterator[None]:
    """Read files of `ref` inside: what the system refuses is an error of that checkpoint."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{ref.key}: {error.filename or ref.uri} cannot be read: {reason}") from error


def _known_from(name: str, stored: CheckpointHeader, given: Given) -> str:
    """Where a value comes from that the log lacks; empty where nothing has it."""
    if name in given.values:
        return given.sources[name]
    return stored.sources.get(name, "the checkpoint") if getattr(stored, name) is not None else ""


def _missing(log: TrainingLog, name: str, step: int, instead: str) -> str:
    taken = f"; that of {instead} is taken" if instead else ""
    if reason := log.unread[name].get(step):
        return f"{log.file}: {log.columns[name]} at step {step} {reason}{taken}"
    nearest = nearest_step(log.values[name], step)
    where = "" if nearest is None else f"; the nearest is at step {nearest}"
    return f"{log.file} has no {log.columns[name]} at step {step}{where}{taken}"


def _counted(header: CheckpointHeader) -> CheckpointHeader:
    """The header itself, its counts within what 64 bits hold.

    Raises:
        CheckpointError: they are not.
    """
    for name in ("tokens_seen", "batch_size_tokens"):
        count = getattr(header, name)
        if count is not None and not 0 <= count < 2**63:
            where = header.sources.get(name, "its files")
            raise CheckpointError(
                f"{header.ref.uri}: {name} is {count} by {where}; expected a number of tokens below 2^63"
            )
    return header


def _contradictions(stored: CheckpointHeader, given: Given) -> list[str]:
    """Values of the files that the user's replace by another number."""
    found = {name: getattr(stored, name) for name in given.values}
    return [
        f"{name} is {given.values[name]:.12g} by {given.sources[name]}, and {value:.12g} by "
        f"{stored.sources.get(name, 'the checkpoint')}: the former is taken"
        for name, value in found.items()
        if value is not None and value != given.values[name]
    ]
