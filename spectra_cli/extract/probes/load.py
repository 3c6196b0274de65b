"""From a request to the probe: one entry for every token source."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spectra_cli.core.errors import ProbeError, UnknownNameError
from spectra_cli.core.scan_facts import IN_MEMORY
from spectra_cli.core.types import ProbeInfo
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.probes.registry import PROBES
from spectra_cli.extract.probes.source import ProbeRequest, SourceInput, SourceTokens, TokenFile
from spectra_cli.extract.probes.windows import Windows, choose_windows, cut_windows, gather_windows
from spectra_cli.extract.protocols import Probe

SYNTHETIC_SOURCE = "synthetic"
NO_TARGET = -100
# a folder is read as a folder of these; text in it is a README, not a probe
_FOLDER_FORMATS = ("bin", "npy")


def load_probe(
    spec: ProbeRequest, *, vocab_size: int, checkpoint_folder: str | None, base_folder: str = ""
) -> Probe:
    """The tokens of a probe, chosen and checked; no model is needed.

    Args:
        spec: what is asked for.
        vocab_size: ids that the model's embedding accepts.
        checkpoint_folder: where text finds the checkpoint's own tokenizer, or its file; None to demand
            `spec.tokenizer`.
        base_folder: of the model under an adapter, whose tokenizer serves where the adapter has none.

    Returns:
        Tokens (N, T) and targets (N, T) with their digest. Of a shard only the chosen sequences are
        read, and only they are checked against the vocabulary.

    Raises:
        ProbeError: no probe, an unknown or damaged file, too few tokens, ids outside the vocabulary.
        UsageError: a format that is not in the registry.
    """
    _check(spec)
    if spec.given is not None:
        format_name, found = IN_MEMORY, SourceTokens(files=(TokenFile(name=IN_MEMORY, ids=spec.given),))
    else:
        paths = () if spec.source == SYNTHETIC_SOURCE else _find_files(spec)
        format_name = spec.source if spec.source == SYNTHETIC_SOURCE else _format_of(spec, paths)
        found = PROBES[format_name].read(
            SourceInput(
                request=spec,
                paths=paths,
                vocab_size=vocab_size,
                checkpoint_folder=None if checkpoint_folder is None else Path(checkpoint_folder),
                base_folder=Path(base_folder) if base_folder else None,
            )
        )
    spec = fitted_length(found.files, spec)
    windows = cut_windows(found.files, spec)
    spec = fitted_count(windows, spec)
    chosen = np.arange(spec.num_sequences) if found.synthetic else choose_windows(windows, spec)
    ids, starts = gather_windows(windows, chosen, vocab_size=vocab_size)
    tokens, targets = _inputs_and_targets(ids, spec)
    info = ProbeInfo(
        digest=probe_digest(tokens, targets, mode=spec.targets),
        source=spec.source,
        format=format_name,
        num_sequences=spec.num_sequences,
        sequence_length=spec.sequence_length,
        targets=spec.targets,
        seed=spec.seed if spec.order == "seeded" or found.synthetic else None,
        starts=() if found.synthetic else tuple(starts.tolist()),
        vocab_size=int(ids.max()) + 1,
        tokenizer=found.tokenizer,
        synthetic=found.synthetic,
        notices=found.notices + _shortened(windows, spec),
    )
    return Probe(info=info, tokens=torch.from_numpy(tokens), targets=torch.from_numpy(targets))


def probe_digest(tokens: NDArray[np.int64], targets: NDArray[np.int64], *, mode: str) -> str:
    """sha256 of N, T, the kind of targets, and both arrays as little-endian int64."""
    digest = hashlib.sha256(f"{tokens.shape[0]},{tokens.shape[1]},{mode},<i8\n".encode())
    for array in (tokens, targets):
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def _check(spec: ProbeRequest) -> None:
    """Refuse what no source could satisfy."""
    if not spec.source:
        raise ProbeError("no probe was given; name a token or text file, or `synthetic` for a smoke run")
    if spec.sequence_length < 2:
        raise ProbeError(f"sequence length is {spec.sequence_length}; expected at least 2 tokens")
    if spec.num_sequences < 1:
        raise ProbeError(f"the probe was asked for {spec.num_sequences} sequences; expected at least 1")
    if spec.order not in ("seeded", "file") or spec.targets not in ("next_token", "ignore_last"):
        raise ProbeError(
            f"order is {spec.order!r} and targets {spec.targets!r}; "
            "expected `seeded` or `file`, and `next_token` or `ignore_last`"
        )
    if spec.order == "seeded" and spec.seed is None:
        raise ProbeError(
            "a seeded choice of sequences was given no seed; give one, or take them in file order"
        )
    if spec.format is not None and spec.format not in PROBES:
        meant = did_you_mean(spec.format, PROBES)
        raise UnknownNameError(
            f"there is no probe format {spec.format!r}{meant}; formats: {', '.join(PROBES)}"
        )


def _find_files(spec: ProbeRequest) -> tuple[Path, ...]:
    """The file, the shards of a folder, or what a glob matches, in sorted order."""
    path = Path(spec.source).expanduser()
    if path.is_file():
        return (path,)
    if path.is_dir():
        names = (spec.format,) if spec.format else _FOLDER_FORMATS
        suffixes = {suffix for name in names for suffix in PROBES[name].suffixes}
        # a format without a suffix of its own says nothing about names: every file is meant
        files = [p for p in path.iterdir() if p.is_file() and (p.suffix in suffixes or not suffixes)]
        absent = f"the folder holds no {' or '.join(sorted(suffixes)) or 'plain'} files"
    else:
        files = [p for match in glob.glob(str(path)) if (p := Path(match)).is_file()]
        absent = "no such file or folder, and no file matches it as a pattern"
    if not files:
        raise ProbeError(f"there is no probe at {path}: {absent}; check the path")
    return tuple(sorted(files))


def _format_of(spec: ProbeRequest, paths: tuple[Path, ...]) -> str:
    """The registry name of the files' format: as named, else by their one suffix."""
    if spec.format is not None:
        return spec.format
    suffixes = sorted({path.suffix for path in paths})
    known = {suffix: name for name, source in PROBES.items() for suffix in source.suffixes}
    if len(suffixes) > 1:
        raise ProbeError(
            f"{spec.source} holds files of several kinds ({', '.join(suffixes)}); name one, as in `*.bin`"
        )
    if suffixes[0] not in known:
        raise ProbeError(
            f"{paths[0]}: {suffixes[0] or 'no suffix'} is not the suffix of a probe ({', '.join(known)})"
            f"{did_you_mean(suffixes[0], known)}; "
            f"rename it or name its format, one of {', '.join(PROBES)}"
        )
    return known[suffixes[0]]


def _inputs_and_targets(
    ids: NDArray[np.int64], spec: ProbeRequest
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and next tokens, both (N, T)."""
    if spec.targets == "next_token":
        return np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
    targets = np.full_like(ids, NO_TARGET)
    targets[:, :-1] = ids[:, 1:]
    return ids, targets


def _shortened(windows: tuple[Windows, ...], spec: ProbeRequest) -> tuple[str, ...]:
    """What to say about ready sequences that are longer than asked for."""
    widest = max(part.stride for part in windows)
    if widest == spec.width:
        return ()
    return (f"of each ready sequence of {widest} ids the first {spec.width} were taken",)


def fitted_length(files: Sequence[TokenFile], request: ProbeRequest) -> ProbeRequest:
    """The request with T as long as the narrowest ready sequences, where it was a default beyond them."""
    narrowest = min((file.ids.shape[1] for file in files if file.ids.ndim == 2), default=request.width)
    length = narrowest - (request.width - request.sequence_length)
    if not request.narrows or narrowest >= request.width or length < 2:
        return request
    return replace(request, sequence_length=length)


def fitted_count(windows: Sequence[Windows], request: ProbeRequest) -> ProbeRequest:
    """The request with as many sequences as there are, where more were a default."""
    available = sum(len(part.rows) for part in windows)
    if request.least_sequences is None or not request.least_sequences <= available < request.num_sequences:
        return request
    return replace(request, num_sequences=available)
