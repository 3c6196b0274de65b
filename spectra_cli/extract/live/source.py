"""The checkpoints of a training that is under way: each is there while its weights are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spectra_cli.core.errors import CheckpointError
from spectra_cli.core.training import TrainingMetadata
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.checkpoints.nanogpt.payload import value_weights
from spectra_cli.extract.checkpoints.series.annotated import AnnotatedSource
from spectra_cli.extract.checkpoints.series.run_file import RunFile, read_run_file
from spectra_cli.extract.digest import same_content, state_digest
from spectra_cli.extract.live.saved_form import SavedForm, saved_form
from spectra_cli.extract.protocols import CheckpointHeader, TensorHeader
from spectra_cli.extract.series.opened import Series, build_skeleton

IN_MEMORY = "(in memory)"
_LIVE = "live:"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    ref: CheckpointRef
    header: CheckpointHeader
    form: SavedForm


class LiveSource:
    """A run whose checkpoints are taken from a module, one at a time.

    Attributes:
        run: its name; format: of the checkpoints that the module would be saved as.
    """

    def __init__(self, path: str) -> None:
        """Hold nothing yet; `path` is the folder of the run, empty for one that has none."""
        self._path = path and os.path.abspath(path)
        self.run = Path(self._path).name or "live"
        self.format = ""
        self._held: _Held | None = None
        self._seen: dict[CheckpointRef, str] = {}

    def take(self, module: nn.Module, *, step: int | None, training: TrainingMetadata) -> CheckpointRef:
        """Copy the module's weights as the checkpoint of this step; those held before are let go.

        Raises:
            ModelError: a module that a live scan does not know.
        """
        self._held = None
        form = saved_form(module)
        self.format = form.format
        name = "model" if step is None else f"checkpoint-{step}"
        uri = os.path.join(self._path, name) if self._path else IN_MEMORY
        ref = CheckpointRef(run=self.run, step=step, uri=uri, format=form.format)
        fingerprint = f"{_LIVE}{state_digest(form.state)}"
        self._held = _Held(ref=ref, header=_header(ref, form, training, fingerprint), form=form)
        self._seen[ref] = fingerprint
        return ref

    def let_go(self) -> None:
        """Let go of the weights."""
        self._held = None

    @property
    def seen(self) -> Mapping[CheckpointRef, str]:
        """Every checkpoint that was taken -> its fingerprint: of its content, since it has no files."""
        return self._seen

    def refs(self) -> tuple[CheckpointRef, ...]:
        """The checkpoints that were taken, by step."""
        return tuple(sorted(self._seen, key=lambda ref: -1 if ref.step is None else ref.step))

    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What the module says of itself.

        Raises:
            CheckpointError: its weights are no longer held.
        """
        return self._at(ref).header

    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The copies of its tensors.

        Raises:
            CheckpointError: as `header`.
        """
        return dict(self._at(ref).form.state)

    def _at(self, ref: CheckpointRef) -> _Held:
        if self._held is None or self._held.ref != ref:
            raise CheckpointError(f"{ref.key}: the weights of this step are no longer in memory")
        return self._held

    def series(self, ref: CheckpointRef) -> Series:
        """The run as a series whose first checkpoint is the one that is held."""
        header = self.header(ref)
        run_file = read_run_file(self._path) if self._path and os.path.isdir(self._path) else RunFile()
        source = AnnotatedSource(
            inner=self, run_file=run_file, log=None, model={}, model_sources={}, trust_remote_code=False
        )
        return Series(
            source=source,
            refs=(ref,),
            first=header,
            skeleton=build_skeleton(header),
            reference=ref,
            reference_source=source,
        )


def _header(
    ref: CheckpointRef, form: SavedForm, training: TrainingMetadata, fingerprint: str
) -> CheckpointHeader:
    state = form.state
    said: dict[str, Any] = asdict(training)
    said["notices"] = (*form.notices, *training.notices)
    return CheckpointHeader(
        ref=ref,
        tensors={name: TensorHeader(shape=tuple(t.shape), dtype=t.dtype) for name, t in state.items()},
        config=form.config,
        fingerprint=fingerprint,
        num_bytes=sum({t.data_ptr(): t.nbytes for t in state.values()}.values()),
        stated_step=ref.step,
        same_values=lambda one, other: same_content(state[one], state[other]),
        value_weights=value_weights(state) if form.format == "nanogpt" else {},
        **said,
    )
