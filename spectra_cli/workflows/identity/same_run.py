"""Whether checkpoints are of the run that an archive is of: by where they lie, and by content once moved.

The run that a command was given tells its checkpoints from others: by files and by tensors.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from spectra_cli.archive.content.layout import checkpoint_order, identity
from spectra_cli.archive.content.provenance import Statement
from spectra_cli.archive.origin import lies_in, origin_of, same_place
from spectra_cli.archive.reader import Archive
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an archive, or a scan of it, says of a checkpoint that the asked run has too."""

    name: str
    ref: CheckpointRef
    uri: str = ""
    fingerprint: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether it is the same run.

    Attributes:
        why_another: why not; empty where it is.
        same_content: identities, as the asked run has them, of checkpoints of unknown step that the archive
            holds under the address that they had before the move.
    """

    why_another: str = ""
    same_content: frozenset[str] = frozenset()


def judge_archive(archive: Archive, asked: RunAsked) -> Judgement:
    """Whether what `archive` holds is of the asked run."""
    known = []
    for entry in archive.entries:
        row, name = entry.row, identity(entry.row.ref)
        ref = asked.by_name.get(name) or asked.by_name.get(portable(row.ref))
        if ref is not None:
            known.append(
                _Known(
                    name=name,
                    ref=ref,
                    uri=row.ref.uri,
                    fingerprint=row.info.fingerprint,
                    digest=row.info.digest,
                )
            )
    known += _waiting(archive.statement, asked)
    held = [identity(ref) for ref in archive.refs]
    stays = [name for name in held if name not in asked.chosen]
    adds = [name for name in asked.chosen if name not in held]
    return _judge(known, archive.origins, asked, stays=stays, adds=adds)


def judge_statement(statement: Statement, asked: RunAsked) -> Judgement:
    """Whether a scan that has measured nothing yet is of the asked run."""
    return _judge(_waiting(statement, asked), statement.origins, asked, stays=(), adds=())


def _waiting(statement: Statement, asked: RunAsked) -> list[_Known]:
    return [
        _Known(name=name, ref=asked.by_name[name], fingerprint=files)
        for name, files in statement.waiting.items()
        if name in asked.by_name
    ]


def _judge(
    known: Sequence[_Known],
    origins: Collection[str],
    asked: RunAsked,
    *,
    stays: Collection[str],
    adds: Collection[str],
) -> Judgement:
    """Compare what both have; `stays` is what the archive keeps unmeasured, `adds` what it would get."""
    if _is_at_home(origins, asked):
        why_another = _why_trained_anew(known, asked, stays)
    else:
        why_another = _why_not_moved(known, asked, adds)
    moved = () if why_another else [one for one in known if one.name != identity(one.ref)]
    return Judgement(
        why_another=why_another,
        same_content=frozenset(identity(one.ref) for one in moved if _is_same(one, asked)),
    )


def _is_at_home(origins: Collection[str], asked: RunAsked) -> bool:
    """Whether the run lies where that of the archive does, every checkpoint of it; links are followed.

    A link into a run among checkpoints of another one does not make them one.
    """
    if asked.origin in origins or asked.origin in map(os.path.realpath, origins):
        return True
    return bool(asked.refs) and any(all(lies_in(ref.uri, one) for ref in asked.refs) for one in origins)


def _why_not_moved(known: Sequence[_Known], asked: RunAsked, adds: Collection[str]) -> str:
    decisive = _decisive(known)
    if not decisive:
        return "no checkpoint is common to both, by which a run that was moved would be known"
    for one in decisive:
        if not _is_same(one, asked):
            return f"{one.ref.key} is not the same in both"
    added = [asked.by_name[name] for name in adds]
    return f"{apart}: they went different ways" if added and (apart := _gone_apart(known, added)) else ""


def _why_trained_anew(known: Sequence[_Known], asked: RunAsked, stays: Collection[str]) -> str:
    """At the same place, only what was trained anew is another run: old and new would be mixed."""
    elsewhere = [one for one in known if one.uri and not same_place(one.uri, one.ref.uri)]
    decisive = _decisive(known)
    if not decisive or not (stays or elsewhere):
        return ""
    if any(one.fingerprint and one.fingerprint == asked.fingerprint(one.ref) for one in reversed(known)):
        return ""
    if any(_is_same(one, asked) for one in decisive):
        return ""
    names = ", ".join(one.ref.key for one in decisive)
    return (
        f"{names} has other weights there than when it was measured, so that checkpoints of two trainings "
        "would be mixed"
    )


def _decisive(known: Sequence[_Known]) -> list[_Known]:
    """The latest common checkpoint, which tells two runs with a common start apart; without steps, all."""
    stepped = sorted((k for k in known if k.ref.step is not None), key=lambda k: checkpoint_order(k.ref))
    latest = [one for one in stepped if one.digest][-1:] or [one for one in stepped if one.fingerprint][-1:]
    return latest + [k for k in known if k.ref.step is None and (k.digest or k.fingerprint)]


def _is_same(one: _Known, asked: RunAsked) -> bool:
    if one.fingerprint and one.fingerprint == asked.fingerprint(one.ref):
        return True
    # two runs may share their start: equal weights before the first step show nothing
    return bool(one.digest) and one.ref.step != 0 and one.digest == asked.digest(one.ref)


def _gone_apart(known: Sequence[_Known], added: Sequence[CheckpointRef]) -> str:
    """What shows that the original, where it is still there, and the asked run both went on; else empty.

    Then one of them is a copy, or has links into the other: they are two runs with a common start.
    """
    for one in known:
        if not one.uri or not os.path.exists(one.uri):
            continue
        there, here = Path(one.uri), Path(one.ref.uri)
        if os.path.samefile(there.parent, here.parent):
            continue
        alike = _without_digits(there.name)
        copied = {path.name for path in here.parent.iterdir()}
        for path in sorted(there.parent.iterdir()):
            if _without_digits(path.name) == alike and path.name not in copied and one.ref.step is not None:
                return f"{path} is still there and not in this copy, which has others of its own"
        before, now = _apart_from(there, here)
        for ref in sorted(added, key=checkpoint_order, reverse=True):
            if not Path(ref.uri).is_relative_to(now):
                continue
            original = before / Path(ref.uri).relative_to(now)
            if original.exists():
                if _same_files(original, Path(ref.uri)):
                    break  # the latest that both have
                return f"{original}, which is still there, is not {ref.uri}"
    return ""


def _apart_from(there: Path, here: Path) -> tuple[Path, Path]:
    """The folders in which both have the same path: `/a/out/step1` and `/b/out/step1` give `/a` and `/b`."""
    while there.name == here.name and there.name:
        there, here = there.parent, here.parent
    return there, here


def _same_files(one: Path, other: Path) -> bool:
    """Whether two files, or all that two folders have by the same name, are equal byte for byte."""
    if one.is_dir() != other.is_dir():
        return False
    if not one.is_dir():
        return filecmp.cmp(one, other, shallow=False)
    names = [{path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in (one, other)]
    common = names[0] & names[1]
    return bool(common) and all(filecmp.cmp(one / name, other / name, shallow=False) for name in common)


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "", name)
