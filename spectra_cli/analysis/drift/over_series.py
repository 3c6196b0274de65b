"""Drift over a series: against its first checkpoint, and from one to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spectra_cli.analysis.drift.pairs import CheckpointPair, compare, similarity
from spectra_cli.analysis.drift.prepared import REFERENCE, TRAJECTORY_RANK, Prepared, prepare
from spectra_cli.core.errors import DataError, NotHeldError
from spectra_cli.core.measurements import ACTIVATIONS, WEIGHT_DRIFT, WEIGHTS
from spectra_cli.core.scan_facts import ReferenceFacts
from spectra_cli.core.series import MeasuredSeries, Unfinished
from spectra_cli.core.shown import Shown
from spectra_cli.core.types import CheckpointRef, Provenance
from spectra_cli.core.words.names import listed

FIRST, PREVIOUS = "first", "previous"
DEFAULT_RANKS = (16, 64)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DriftReport(Shown):
    """The drift of an archive.

    Attributes:
        path: of the archive; provenance: of its scan; refs: its checkpoints, in order.
        ranks: that were asked for; num_vectors: kept by the scan, 0 for none.
        pairs: against the first (or the reference that was named), then against the previous, each in
            order of the later checkpoint.
        similarity: (checkpoint, site) -> overlap of the right subspaces with the last checkpoint's.
        similarity_rank: of these subspaces.
        notices: what to know, in sentences.
        unfinished: what a scan still owes the archive; None where nothing.
    """

    path: Path
    provenance: Provenance
    refs: tuple[CheckpointRef, ...]
    ranks: tuple[int, ...]
    num_vectors: int
    pairs: tuple[CheckpointPair, ...]
    similarity: Mapping[CheckpointRef, Mapping[str, float]]
    similarity_rank: int
    notices: tuple[str, ...]
    unfinished: Unfinished | None = None

    def against(self, relation: str) -> tuple[CheckpointPair, ...]:
        """The pairs of one kind."""
        return tuple(pair for pair in self.pairs if pair.against == relation)


def drift_of(
    series: MeasuredSeries,
    *,
    against: Sequence[str] = (FIRST, PREVIOUS),
    ranks: Sequence[int] | None = None,
) -> DriftReport:
    """How the principal directions of a series moved.

    Args:
        against: `first`, `previous` or both.
        ranks: of the subspaces; by default 16 and 64, as far as vectors were kept.

    Raises:
        ArchiveError: its archive is damaged.
        DataError: one checkpoint alone, or no weights and no vectors in it.
        UsageError: a rank beyond the vectors that were kept.
    """
    kept = series.provenance.setting_facts.num_vectors
    chosen = _ranks(ranks, kept, series.path)
    middle = range(1, len(series) - 1)
    read = _read(series, [len(series) - 1, *([0] if len(series) > 1 else []), *middle], chosen)
    last = next(read)
    first = last if len(series) == 1 else next(read)
    if len(series) == 1 and last.reference is None:
        raise DataError(
            f"{series.path} holds one checkpoint, {last.name}: drift needs two. Scan a series, or scan this "
            "one with --vectors 64 --reference BASE, the checkpoint that it was trained from"
        )
    pairs: list[CheckpointPair] = []
    to_last: dict[CheckpointRef, Mapping[str, float]] = {}
    previous: Prepared | None = None
    # one for the series: what the last was trained from
    baseline = last.reference or first
    said: dict[str, ReferenceFacts | None] = {}
    for index, ref in enumerate(series.refs):
        current = {0: first, len(series) - 1: last}.get(index) or next(read)
        if FIRST in against and current is not baseline:
            pairs.append(compare(baseline, current, FIRST, chosen))
        if PREVIOUS in against and previous is not None:
            pairs.append(compare(previous, current, PREVIOUS, chosen))
        to_last[ref] = similarity(current, last)
        said[current.name] = current.said
        previous = current
    if not any(pair.sites for pair in pairs):
        raise DataError(
            f"{series.path} holds no weights to compare: scan with --measure weights --vectors 64"
        )
    return DriftReport(
        path=series.path,
        provenance=series.provenance,
        refs=series.refs,
        ranks=chosen,
        num_vectors=kept,
        pairs=tuple(sorted(pairs, key=lambda pair: pair.against)),
        similarity=to_last,
        similarity_rank=min(TRAJECTORY_RANK, kept),
        unfinished=series.unfinished,
        notices=(*series.notices, *_notices(series, kept, baseline, said)),
    )


def _ranks(asked: Sequence[int] | None, kept: int, path: Path) -> tuple[int, ...]:
    if asked is None:
        return tuple(dict.fromkeys(min(rank, kept) for rank in DEFAULT_RANKS)) if kept else ()
    if wrong := [rank for rank in asked if rank < 1 or rank > kept]:
        held = f"{kept} vectors a spectrum" if kept else "no vectors"
        raise NotHeldError(
            f"-k {','.join(map(str, asked))}: {path} holds {held}, so that {wrong[0]} cannot be had; "
            f"scan again with --vectors {max(asked)} and --overwrite"
        )
    return tuple(dict.fromkeys(asked))


def _read(series: MeasuredSeries, places: Sequence[int], ranks: Sequence[int]) -> Iterator[Prepared]:
    """Checkpoints in this order: no more of each than a reading is made from."""
    wanted = [WEIGHTS, WEIGHT_DRIFT, REFERENCE, *([ACTIVATIONS] if ranks else [])]
    for checkpoint in series.checkpoints(places, vectors=bool(ranks), measurements=wanted):
        yield prepare(checkpoint, ranks)


def _notices(
    series: MeasuredSeries, kept: int, baseline: Prepared, said: Mapping[str, ReferenceFacts | None]
) -> Iterator[str]:
    """What keeps checkpoints from a reading; `said` is the reference of each one, None without a change."""
    if not kept:
        yield (
            "this archive holds no vectors: only the spectral shift can be told. Scan again with "
            "--vectors 64 (and --overwrite, or another --output) for rotations and for where the change lies"
        )
        return
    of_reference: dict[ReferenceFacts, list[str]] = {}
    for checkpoint, reference in said.items():
        if reference:
            of_reference.setdefault(reference, []).append(checkpoint)
    for reference, checkpoints in of_reference.items():
        name, digest = reference.checkpoint, reference.digest
        if digest == baseline.digest:
            continue
        those = listed(checkpoints, 1, of=f" checkpoint{'s' * (len(checkpoints) > 2)}")
        where = "" if len(of_reference) == 1 else f"{those}: "
        if not digest:
            yield (
                f"{those}: the reference checkpoint {name} could not be read when the change "
                "was to be measured: no readings. Scan again with --overwrite once it can be"
            )
        elif any(info.digest == digest for info in series.infos):
            yield (
                f"{where}the change was measured from {name}, which is not the first here "
                f"({baseline.name}): no readings"
            )
        elif name == baseline.name:
            yield (
                f"{where}{name} was written anew since the change was measured from it: scan again with "
                "--overwrite"
            )
        else:
            yield (
                f"{where}the change was measured from {name}, which is not in this archive: no readings "
                f"against {baseline.name}. Scan {name} too, or name it with --reference"
            )
