"""What is wrong with a series, from headers and small files alone, each by the checkpoints' names."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from spectra_cli.core.bounded_text import parse_json, read_bounded
from spectra_cli.core.errors import CheckpointError, SpectraError
from spectra_cli.core.notices import gathered
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.names import listed
from spectra_cli.extract.checkpoints.gguf.header import tokenizer_digest
from spectra_cli.extract.checkpoints.series.found import is_own, parse_step
from spectra_cli.extract.probes.tokenizer import MOST_BYTES, run_folders
from spectra_cli.extract.protocols import CheckpointHeader
from spectra_cli.extract.series.opened import Series

Headers = Mapping[CheckpointRef, CheckpointHeader | SpectraError]

_NAMED = 4
_WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".gguf", ".distcp"))
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")
# What a configuration says about the software and the file, and not about the model.
_INCIDENTAL = frozenset(
    ("_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache")
)


def read_headers(series: Series) -> dict[CheckpointRef, CheckpointHeader | SpectraError]:
    """The header of every chosen checkpoint, or why it has none."""
    headers: dict[CheckpointRef, CheckpointHeader | SpectraError] = {}
    for ref in series.refs:
        try:
            headers[ref] = series.source.header(ref)
        except SpectraError as error:
            headers[ref] = error
    return headers


def series_notices(headers: Headers) -> tuple[str, ...]:
    """Everything to know about a series before it is scanned, checkpoint by checkpoint.

    Unreadable checkpoints, steps that contradict their names, files that two checkpoints share, and
    changes of tensors, configuration or tokenizer from one checkpoint to the next. What is said of many
    checkpoints, with other numbers, is said once.
    """
    readable = [header for header in headers.values() if isinstance(header, CheckpointHeader)]
    unreadable = [(ref.key, error) for ref, error in headers.items() if isinstance(error, SpectraError)]
    return tuple(f"{key} cannot be read: {error}" for key, error in unreadable) + gathered(_notices(readable))


def _notices(readable: Sequence[CheckpointHeader]) -> tuple[str, ...]:
    return (
        *(notice for header in readable for notice in _step_oddities(header)),
        *_without_step([header.ref for header in readable]),
        *_shared_files([header.ref for header in readable]),
        *(notice for before, after in pairwise(readable) for notice in _changes(before, after)),
        *_tokenizer_changes([header.ref for header in readable]),
    )


def _step_oddities(header: CheckpointHeader) -> Iterator[str]:
    ref, stated = header.ref, header.stated_step
    if is_own(ref) and ref.step is None:
        yield (
            f"{ref.key}: the run folder's own weights, and no file says their step; where they are those "
            "of another checkpoint, its numbers are taken over"
        )
    named = parse_step(Path(ref.uri).name.removesuffix(".pt"))
    # The weights of a run folder itself: its name is that of the run.
    if stated is None or named is None or named == stated or is_own(ref):
        return
    yield f"{ref.key}: {Path(ref.uri).name} is named after step {named} and says step {stated} inside"


def _without_step(refs: Sequence[CheckpointRef]) -> Iterator[str]:
    """Which folders or files the rows without a step are; the run folder's own weights have their notice."""
    unknown = [Path(ref.uri).name for ref in refs if ref.step is None and not is_own(ref)]
    if unknown and len(refs) > 1:
        said = (
            "neither its name nor a file in it says" if len(unknown) == 1 else "neither names nor files say"
        )
        yield f"no step is known of {listed(unknown, 3)}: {said} it"


def _shared_files(refs: Sequence[CheckpointRef]) -> Iterator[str]:
    """Checkpoints whose weight files are the same ones, through links."""
    by_files: dict[frozenset[tuple[int, int]], list[str]] = defaultdict(list)
    for ref in refs:
        by_files[_weight_files(Path(ref.uri))].append(ref.key)
    for files, keys in by_files.items():
        if files and len(keys) > 1:
            yield f"{', '.join(keys)} are links to the same weight files"


def _weight_files(path: Path) -> frozenset[tuple[int, int]]:
    """Device and inode of each weight file."""
    inside = path.iterdir() if path.is_dir() else [path]
    files = [file for file in inside if file.suffix in _WEIGHTS and file.is_file()]
    return frozenset((file.stat().st_dev, file.stat().st_ino) for file in files)


def _changes(before: CheckpointHeader, after: CheckpointHeader) -> Iterator[str]:
    """What is another model, or stored otherwise, than in the checkpoint before."""
    here, there = after.ref.key, before.ref.key
    old, new = before.tensors, after.tensors
    common = [name for name in new if name in old]
    differences = {
        "tensors are new": [name for name in new if name not in old],
        "tensors are gone": [name for name in old if name not in new],
        "shapes differ": [
            f"{name} {_shape(old[name].shape)} -> {_shape(new[name].shape)}"
            for name in common
            if old[name].shape != new[name].shape
        ],
    }
    found = [f"{len(names)} {what}: {listed(names, _NAMED)}" for what, names in differences.items() if names]
    if found:
        yield f"the architecture changes from {there} to {here}: {'; '.join(found)}"
    types = {(old[name].dtype, new[name].dtype) for name in common if old[name].dtype != new[name].dtype}
    if types:
        words = sorted(
            f"{str(a).removeprefix('torch.')} -> {str(b).removeprefix('torch.')}" for a, b in types
        )
        yield f"the stored precision changes from {there} to {here}: {', '.join(words)}"
    settings = [
        f"{name} {before.config.get(name)!r:.60} -> {after.config.get(name)!r:.60}"
        for name in sorted({*before.config, *after.config} - _INCIDENTAL)
        if before.config.get(name) != after.config.get(name)
    ]
    if settings:
        yield f"the configuration changes from {there} to {here}: {listed(settings, _NAMED)}"


def _tokenizer_changes(refs: Sequence[CheckpointRef]) -> Iterator[str]:
    """Checkpoints whose tokenizer is another one than that of the last checkpoint that has one."""
    last: tuple[str, dict[str, str]] | None = None
    content = cache(_tokenizer_content)
    for ref in refs:
        files = _tokenizer_files(Path(ref.uri))
        digests = {file.name: _tokenizer_digest(file, content) for file in files}
        if brought := _brought(Path(ref.uri)):
            digests["tokenizer.ggml"] = brought
        if not digests:
            continue
        if last is not None and digests != last[1]:
            names = sorted(n for n in {*digests, *last[1]} if digests.get(n) != last[1].get(n))
            yield f"the tokenizer changes from {last[0]} to {ref.key}: {', '.join(names)}"
        last = ref.key, digests


def _brought(path: Path) -> str:
    """Digest of the tokenizer that a GGUF file brings; empty for all other files."""
    if path.suffix != ".gguf":
        return ""
    try:
        return tokenizer_digest(path)
    except CheckpointError as error:
        return str(error)


def _tokenizer_digest(file: Path, content: Callable[[str, bytes], str]) -> str:
    """Of its content; of its size alone where no tokenizer is so large."""
    try:
        return content(file.suffix, read_bounded(file, MOST_BYTES, CheckpointError))
    except CheckpointError as error:
        return str(error)


def _tokenizer_content(suffix: str, content: bytes) -> str:
    """Digest of a tokenizer file; how a text is cut and padded is not the tokenizer's."""
    if suffix == ".json":
        try:
            document = parse_json(content)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            kept = {name: value for name, value in document.items() if name not in ("padding", "truncation")}
            content = json.dumps(kept, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _tokenizer_files(folder: Path) -> list[Path]:
    """Those of the checkpoint, else those of its run."""
    for place in (folder, *run_folders(folder)):
        if files := [place / name for name in _TOKENIZERS if (place / name).is_file()]:
            return files
    return []


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"
