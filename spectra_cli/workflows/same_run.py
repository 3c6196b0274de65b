"""Whether checkpoints are of the run that an archive is of: by where they lie, and by content once moved."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from spectra_cli.archive.layout import checkpoint_order, identity
from spectra_cli.archive.origin import same_place
from spectra_cli.archive.reader import Archive
from spectra_cli.archive.statement import Statement
from spectra_cli.core.types import CheckpointRef
from spectra_cli.workflows.asked_run import RunAsked, portable


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
    at_home = asked.origin in origins or asked.origin in map(os.path.realpath, origins)
    if at_home or any(one.uri and same_place(one.uri, one.ref.uri) for one in known):
        why_another = _why_trained_anew(known, asked, stays)
    else:
        why_another = _why_not_moved(known, asked, adds)
    moved = () if why_another else [one for one in known if one.name != identity(one.ref)]
    return Judgement(
        why_another=why_another,
        same_content=frozenset(identity(one.ref) for one in moved if _is_same(one, asked)),
    )


def _why_not_moved(known: Sequence[_Known], asked: RunAsked, adds: Collection[str]) -> str:
    decisive = _decisive(known)
    if not decisive:
        return "no checkpoint is common to both, by which a run that was moved would be known"
    for one in decisive:
        if not _is_same(one, asked):
            return f"{one.ref.key} is not the same in both"
    if adds and (there := _gone_apart(known)):
        return (
            f"{there} is still there and not in this copy, which has checkpoints that the archive lacks: "
            "they went different ways"
        )
    return ""


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


def _gone_apart(known: Sequence[_Known]) -> str:
    """A checkpoint beside the original that the asked run lacks, where the original is still there.

    Then one of them is a copy, and both went on: they are two runs with a common start.
    """
    for one in known:
        if not one.uri or not os.path.exists(one.uri) or os.path.samefile(one.uri, one.ref.uri):
            continue
        there, here = Path(one.uri), Path(one.ref.uri)
        alike = _without_digits(there.name)
        copied = {path.name for path in here.parent.iterdir()}
        for path in sorted(there.parent.iterdir()):
            if _without_digits(path.name) == alike and path.name not in copied and one.ref.step is not None:
                return str(path)
    return ""


def _without_digits(name: str) -> str:
    return re.sub(r"\d+", "", name)
