"""The seam of a token source: what is asked of it, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from spectra_cli.core.errors import ProbeError

TokenArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRequest:
    """The probe that a user asks for.

    Attributes:
        source: path of a file, a folder of shards or a glob; or `synthetic`.
        num_sequences: N; sequence_length: T, in tokens.
        least_sequences: how many will do where the source has fewer than N; None for all of them.
        narrows: whether ready sequences shorter than T will do.
        seed: of the choice of sequences (and of synthetic tokens); None only in file order.
        order: `seeded`, a random choice without replacement; or `file`, the first N.
        targets: `next_token`, T real targets read from T + 1 ids; or `ignore_last`, T ids whose last
            position has no target.
        tokenizer: path of a tokenizer for text, None for the checkpoint's own.
        format: a name in the registry that overrules the file's suffix (`bin-uint16`, `text`).
        given: the ids themselves, where they are in memory: one stream, or ready sequences by row.
    """

    source: str
    num_sequences: int
    sequence_length: int
    least_sequences: int | None = None
    narrows: bool = False
    seed: int | None = 0
    order: str = "seeded"
    targets: str = "next_token"
    tokenizer: str | None = None
    format: str | None = None
    given: TokenArray | None = None

    @property
    def width(self) -> int:
        """Ids that one sequence takes from its source."""
        return self.sequence_length + (self.targets == "next_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInput:
    """What a source may need to find its tokens.

    Attributes:
        request: as the user made it; paths: the files it names, in sorted order.
        vocab_size: ids that the model's embedding accepts.
        checkpoint_folder: where the checkpoint's own tokenizer may lie, or its file; base_folder: where that
            of the model under an adapter may.
    """

    request: ProbeRequest
    paths: tuple[Path, ...]
    vocab_size: int
    checkpoint_folder: Path | None
    base_folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenFile:
    """The ids of one file: one stream (length,), or ready sequences (rows, ids a row)."""

    name: str
    ids: TokenArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceTokens:
    """What a source found; nothing is chosen or checked against the vocabulary yet.

    Attributes:
        files: in order; memory-mapped where the format allows.
        tokenizer: path of what turned text into ids, empty for token files.
        synthetic: whether the tokens were drawn at random.
        notices: what the user must know.
    """

    files: tuple[TokenFile, ...]
    tokenizer: str = ""
    synthetic: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSource:
    """One kind of token source.

    Attributes:
        summary: one line for the user.
        suffixes: of the files that are taken for this kind unasked; empty if it must be named.
        read: how its tokens are found. Raises ProbeError.
    """

    summary: str
    suffixes: tuple[str, ...]
    read: Callable[[SourceInput], SourceTokens]


def each_file(read_file: Callable[[Path], TokenArray]) -> Callable[[SourceInput], SourceTokens]:
    """The `read` of a source whose files stand by themselves."""

    def read(wanted: SourceInput) -> SourceTokens:
        return SourceTokens(files=tuple(TokenFile(name=str(p), ids=read_file(p)) for p in wanted.paths))

    return read


def ids_of(given: Any) -> TokenArray:
    """Token ids in memory as an array: of numpy, of torch on any device, or lists.

    >>> ids_of([[1, 2], [3, 4]]).shape
    (2, 2)

    Raises:
        ProbeError: they are not whole numbers, or not (length,) or (rows, ids a row).
    """
    array = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2) or not array.size:
        raise ProbeError(
            f"tokens are {array.dtype} of shape {array.shape}; expected whole numbers, one stream (length,) "
            "or ready sequences (rows, ids a row)"
        )
    return array
