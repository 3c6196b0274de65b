"""The run that a command was given, and how its checkpoints are told from others: by files and by tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.archive.content.layout import identity
from spectra_cli.archive.origin import origin_of
from spectra_cli.core.errors import SpectraError
from spectra_cli.core.types import CheckpointRef

if TYPE_CHECKING:
    from spectra_cli.extract.checkpoints.series.annotated import AnnotatedSource
    from spectra_cli.extract.protocols import CheckpointSource


@dataclass(frozen=True, kw_only=True)
class RunAsked:
    """A run as the user gave it.

    Attributes:
        path: as given; origin: where it lies, as `origin_of` gives it.
        refs: all checkpoints there; chosen: identities of those that are to be measured.
        fingerprint: of the files of a checkpoint, empty where they cannot be read.
        digest: of its tensors, which it reads; empty where it cannot.
    """

    path: str
    origin: str
    refs: Sequence[CheckpointRef]
    chosen: Collection[str]
    fingerprint: Callable[[CheckpointRef], str]
    digest: Callable[[CheckpointRef], str]

    @cached_property
    def by_name(self) -> Mapping[str, CheckpointRef]:
        """Identity -> checkpoint; and those of unknown step also by what a move leaves of their name."""
        return {portable(ref): ref for ref in self.refs} | {identity(ref): ref for ref in self.refs}


def portable(ref: CheckpointRef) -> str:
    """A name that a move leaves as it is, also of a checkpoint whose step is unknown."""
    return identity(ref) if ref.step is not None else f"{ref.key}@{Path(ref.uri).name}"


def run_asked(
    path: str, source: CheckpointSource | AnnotatedSource, chosen: Sequence[CheckpointRef]
) -> RunAsked:
    """The run at `path`, of which `chosen` are to be measured; nothing is read yet."""
    from spectra_cli.extract.digest import state_digest

    @cache
    def fingerprint(ref: CheckpointRef) -> str:
        try:
            return source.header(ref).fingerprint
        except SpectraError:
            return ""

    @cache
    def digest(ref: CheckpointRef) -> str:
        try:
            return state_digest(source.open(ref))
        except SpectraError:
            return ""

    refs = source.refs()
    return RunAsked(
        path=path,
        origin=origin_of(path, refs),
        refs=refs,
        chosen=frozenset(map(identity, chosen)),
        fingerprint=fingerprint,
        digest=digest,
    )
