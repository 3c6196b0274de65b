"""A series of checkpoints found, chosen from and understood, with no weight read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from spectra_cli.core.errors import CheckpointError, DataError, ModelError, UsageError
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection, select
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.checkpoints.series.annotated import AnnotatedSource, annotated
from spectra_cli.extract.checkpoints.series.left_out import left_out
from spectra_cli.extract.memory import room_for
from spectra_cli.extract.models.custom.family import CustomFamily, custom_family
from spectra_cli.extract.models.facts import require_known
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.protocols import CheckpointHeader, Model, ModelFamily

META = torch.device("meta")
# tokens of a sequence: one to read, one to predict from it
_SHORTEST = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Checkpoints found and understood, with no weight read.

    Attributes:
        source: where they come from; `refs`: those chosen, in order.
        first: header of the first that a model fits; `skeleton`: that model, without weights.
        reference: the checkpoint that weights are compared with, from `reference_source`; names_reference:
            whether the user named it, so that the series need not hold it.
        selection: how they were chosen, as typed; empty for all of them.
        model_settings: what the user said about the model, and the numbers depend on.
        builder: `package.module:callable` that builds the model; empty for a known family.
        notices: about the choice, and what lies beside the checkpoints.
    """

    source: AnnotatedSource
    refs: tuple[CheckpointRef, ...]
    first: CheckpointHeader
    skeleton: Model
    reference: CheckpointRef
    reference_source: AnnotatedSource
    names_reference: bool = False
    selection: str = ""
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    builder: str = ""
    notices: tuple[str, ...] = ()

    @property
    def runs_own_code(self) -> bool:
        """Whether code of the user or the checkpoint builds the model: equal files may then not do."""
        return bool(self.builder) or bool(self.model_settings.get("trust_remote_code"))


def open_series(path: str, options: SeriesOptions | None = None) -> Series:
    """Find the checkpoints at `path`, choose, and outline the model of the first that can be scanned.

    Raises:
        CheckpointError: there are none, or none can be scanned.
        ModelError: there is one, and no model fits it.
        UsageError: a choice, a log, a `run.toml` or a fact about the model that cannot mean anything.
    """
    options = options or SeriesOptions()
    found = find_source(path, base=os.fspath(options.base))
    source = annotated(found, path, options)
    refs, notices = select(source.refs(), options.selection)
    notices += left_out(path, found)
    reference_source, reference = _reference(source, options)
    problems: list[DataError] = []
    for ref in refs:
        try:
            header = source.header(ref)
            if source.model and not options.builder:
                said = {n.removeprefix("config."): where for n, where in source.model_sources.items()}
                require_known(said, header, source.stored_names(ref), checkpoints=path)
            skeleton = build_skeleton(header, options.builder)
        except (CheckpointError, ModelError) as error:
            problems.append(error)
            continue
        return Series(
            source=source,
            refs=refs,
            first=header,
            skeleton=skeleton,
            reference=reference,
            reference_source=reference_source,
            names_reference=bool(os.fspath(options.reference)),
            selection=options.selection.words,
            model_settings=_model_settings(source, options),
            builder=options.builder,
            notices=notices,
        )
    if len(refs) == 1:
        raise problems[0]
    raise type(problems[0])(
        f"{path}: none of {len(refs)} checkpoints can be scanned; the first: {problems[0]}"
    ) from problems[0]


def _reference(source: AnnotatedSource, options: SeriesOptions) -> tuple[AnnotatedSource, CheckpointRef]:
    """The checkpoint to compare with: the one named, or the first of the whole series.

    Raises:
        UsageError: the name is that of several checkpoints.
    """
    path = os.fspath(options.reference)
    if not path:
        return source, source.refs()[0]
    alone = replace(options, selection=SeriesSelection(), log="")
    found = find_source(path, base=os.fspath(options.base), needs_base=False)
    named = annotated(found, path, alone)
    # a run folder may hold a model of its own beside checkpoints of it
    own = [ref for ref in named.refs() if ref.uri == os.path.abspath(path)]
    refs = own or named.refs()
    if len(refs) != 1:
        keys = ", ".join(ref.key for ref in refs[:3])
        raise UsageError(
            f"--reference {path} holds {len(refs)} checkpoints ({keys}, ...); give the path of one"
        )
    return named, refs[0]


def family_of(header: CheckpointHeader, builder: str = "") -> ModelFamily | CustomFamily:
    """The family that reads a checkpoint, or the user's own builder.

    Raises:
        ModelError: no family reads it.
        UsageError: there is no such builder.
    """
    return custom_family(builder) if builder else find_family(header)


def build_skeleton(header: CheckpointHeader, builder: str = "") -> Model:
    """The model of a checkpoint on the meta device: sites and shapes, those of an adapter too; no weights.

    Raises:
        ModelError: no model fits the checkpoint, or one that takes no tokens.
    """
    with room_for(header, META):
        model = family_of(header, builder).build(header, None, device=META)
    if model.vocab_size < 1 or model.width < 1 or not model.blocks:
        raise ModelError(
            f"{header.ref.uri}: a vocabulary of {model.vocab_size}, width {model.width} and "
            f"{counted(len(model.blocks), 'block')} are no model that can be measured"
        )
    if model.max_length is not None and model.max_length < _SHORTEST:
        raise ModelError(
            f"{header.ref.uri}: its configuration says {model.max_length} positions; expected at least "
            f"{_SHORTEST}"
        )
    return replace(model, updates=header.update_shapes())


def _model_settings(source: AnnotatedSource, options: SeriesOptions) -> dict[str, Any]:
    said = {
        "base": os.fspath(options.base),
        "builder": options.builder,
        "facts": dict(source.model),
        "trust_remote_code": options.trust_remote_code,
    }
    return {name: value for name, value in said.items() if value}
