"""What a series' archive already holds: twins to copy from, metadata to bring up to date, oddities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectra_cli.archive.content.layout import identity, list_parts
from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.archive.writer import write_part
from spectra_cli.core.errors import ArchiveError, SpectraError
from spectra_cli.core.notices import NoticeKind, gathered, kind_of, signs_of_wrong_tokens
from spectra_cli.core.types import MODEL_FACT, CheckpointInfo, CheckpointRef, CheckpointSpectra

if TYPE_CHECKING:
    from spectra_cli.extract.checkpoints.series.annotated import AnnotatedSource, Given
    from spectra_cli.extract.protocols import CheckpointHeader


class EarlierScans:
    """The measured checkpoints of a series, those of earlier scans and those of this one."""

    def __init__(
        self,
        archive: Path,
        headers: Mapping[CheckpointRef, CheckpointHeader | SpectraError],
        origins: Sequence[str] = (),
    ) -> None:
        """Look up what `archive` holds; headers are those of the series, origins where its run lies."""
        self._archive = archive
        self.origins = origins
        self._headers = {
            identity(ref): header for ref, header in headers.items() if not isinstance(header, SpectraError)
        }
        self._places: dict[str, tuple[Archive, int]] = {}
        self._by_digest: dict[str, list[str]] = defaultdict(list)
        if archive.is_file() or list_parts(archive):
            earlier = _opened(archive)
            for index, info in enumerate(earlier.infos if earlier else ()):
                self._place(earlier, index, info)

    def _place(self, archive: Archive | None, index: int, info: CheckpointInfo) -> None:
        if archive is not None:
            name = identity(archive.refs[index])
            self._places[name] = archive, index
            self._by_digest[info.digest].append(name)

    def add(self, checkpoint: CheckpointSpectra, part: Path) -> None:
        """Note a checkpoint that was just measured, and the part it lies in."""
        self._place(_opened(part), 0, checkpoint.info)

    def find_twin(
        self, digest: str, header: CheckpointHeader
    ) -> tuple[CheckpointHeader, CheckpointSpectra] | None:
        """A measured checkpoint of the series with the same tensors and the same configuration."""
        for name in self._by_digest.get(digest, ()):
            other = self._headers.get(name)
            if other is None or other.ref == header.ref or other.config != header.config:
                continue
            twin = self._read(name)
            # of the files whose header this is: they may have been replaced before they were measured
            if twin and (twin.info.digest, twin.info.fingerprint) == (digest, other.fingerprint):
                return other, twin
        return None

    def restate(self, ref: CheckpointRef, source: AnnotatedSource) -> bool:
        """Write a kept checkpoint anew where the user now says other things of its training."""
        given, facts = source.given(ref), source.run_file.facts
        if identity(ref) not in self._places:  # of unknown step, and moved since it was measured
            return False
        archive, index = self._places[identity(ref)]
        info = archive.infos[index]
        header = self._headers.get(identity(ref))
        current = _as_given(info, given, facts, () if header is None else header.notices)
        if current == info:
            return False
        checkpoint = archive.checkpoint(index)
        write_part(self._archive, replace(checkpoint, info=current), self.origins)
        return True

    def _read(self, name: str) -> CheckpointSpectra | None:
        archive, index = self._places[name]
        try:
            return archive.checkpoint(index)
        except ArchiveError:  # another scan replaced the file meanwhile: measuring costs more, and works
            return None


def _opened(path: Path) -> Archive | None:
    try:
        return open_archive(path)
    except ArchiveError:  # damaged, or merged by another scan; the scan itself says so where it matters
        return None


def _as_given(
    info: CheckpointInfo, given: Given, facts: Mapping[str, str], said: tuple[str, ...]
) -> CheckpointInfo:
    """What is known of a kept checkpoint with what the user gives now, and what is said of that now."""
    values: dict[str, Any] = {n: v for n, v in given.values.items() if getattr(info, n) != v}
    of_model = {name: text for name, text in info.facts.items() if name.startswith(MODEL_FACT)}
    if facts and {**facts, **of_model} != dict(info.facts):
        values["facts"] = {**facts, **of_model}
    new = tuple(notice for notice in said if notice not in info.notices)
    if not values and not new:
        return info
    stale = NoticeKind.TOKENS_UNKNOWN if "tokens_seen" in values else None
    return replace(
        info,
        **values,
        sources={**info.sources, **given.sources},
        notices=tuple(n for n in info.notices if kind_of(n) is not stale) + new,
    )


def found_in(archive: Path) -> tuple[str, ...]:
    """What is odd about the measured checkpoints: the same content twice, non-finite weights, losses above
    those of uniform guesses.
    """
    opened = open_archive(archive)
    by_digest: dict[str, list[str]] = defaultdict(list)
    for ref, info in zip(opened.refs, opened.infos, strict=True):
        by_digest[info.digest].append(ref.key)
    return (
        *(
            f"{', '.join(keys)} hold identical tensors: duplicates in the series"
            for keys in by_digest.values()
            if len(keys) > 1
        ),
        *gathered(
            n for info in opened.infos for n in info.notices if kind_of(n) is NoticeKind.NON_FINITE_WEIGHTS
        ),
        *signs_of_wrong_tokens((), [info.notices for info in opened.infos]),
    )
