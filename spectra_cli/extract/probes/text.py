"""Text and JSON Lines, turned into one stream of ids by a local tokenizer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from spectra_cli.core.bounded_text import parse_json, read_bounded
from spectra_cli.core.errors import CheckpointError, ProbeError
from spectra_cli.core.notices import Notice, NoticeKind
from spectra_cli.extract.probes.source import ProbeSource, SourceInput, SourceTokens, TokenArray, TokenFile
from spectra_cli.extract.probes.tokenizer import (
    LocalTokenizer,
    find_tokenizer,
    load_tokenizer,
    own_tokenizer,
)

MOST_BYTES = 1 << 29
_TOKENISE = "turn it into a .bin or .npy file of tokens first, of which only what is needed is read"


def read_text_document(path: Path) -> list[str]:
    """A text file as one document.

    Raises:
        ProbeError: it is not UTF-8.
    """
    try:
        text = read_bounded(path, MOST_BYTES, ProbeError, advice=_TOKENISE).decode()
        return [text.replace("\r\n", "\n").replace("\r", "\n")]
    except UnicodeDecodeError as error:
        raise ProbeError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def read_jsonl_documents(path: Path) -> list[str]:
    """The field `text` of every line of a JSON Lines file; blank lines are no documents.

    Raises:
        ProbeError: a line that is not such an object, with its number.
    """
    documents = []
    lines = io.BytesIO(read_bounded(path, MOST_BYTES, ProbeError, advice=_TOKENISE))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except (ValueError, RecursionError) as error:  # of the JSON, or of its UTF-8
            raise ProbeError(f"{path}, line {number}: not JSON ({error})") from error
        text = record.get("text") if isinstance(record, dict) else None
        if not isinstance(text, str):
            found = f"fields {', '.join(record)}" if isinstance(record, dict) else type(record).__name__
            raise ProbeError(f"{path}, line {number}: found {found}, expected an object with a string `text`")
        documents.append(text)
    return documents


def join_documents(documents: list[str], tokenizer: LocalTokenizer) -> TokenArray:
    """The ids (length,) of all documents, with the end-of-text id between two of them."""
    pieces: list[int] = []
    for index, ids in enumerate(tokenizer.encode(documents) if documents else ()):
        if index and tokenizer.end_of_text is not None:
            pieces.append(tokenizer.end_of_text)
        pieces.extend(ids)
    return np.array(pieces, dtype=np.int64)


def read_documents(wanted: SourceInput, *, json_lines: bool) -> SourceTokens:
    """Every text file as one stream; every JSON Lines file as one stream of its documents."""
    read = read_jsonl_documents if json_lines else read_text_document
    documents = [read(path) for path in wanted.paths]
    path = find_tokenizer(
        named=wanted.request.tokenizer,
        checkpoint_folder=wanted.checkpoint_folder,
        base_folder=wanted.base_folder,
    )
    tokenizer = load_tokenizer(path)
    notices = tokenizer.notices
    if json_lines and tokenizer.end_of_text is None:
        notices += (
            f"the tokenizer {path} has no end-of-text token: documents follow each other without one",
        )
    files = tuple(
        TokenFile(name=str(file), ids=join_documents(texts, tokenizer))
        for file, texts in zip(wanted.paths, documents, strict=True)
    )
    notices += _said_of_another(wanted, tokenizer, documents)
    return SourceTokens(files=files, tokenizer=str(path), notices=notices)


def _said_of_another(
    wanted: SourceInput, used: LocalTokenizer, documents: Sequence[list[str]]
) -> tuple[str, ...]:
    """That the tokenizer is not the checkpoint's own: another content, which gives this text other ids."""
    own = own_tokenizer(checkpoint_folder=wanted.checkpoint_folder, base_folder=wanted.base_folder)
    if wanted.request.tokenizer is None or own is None:
        return ()
    try:
        theirs = load_tokenizer(own)
    except (CheckpointError, ProbeError):
        return (
            f"the checkpoint's own tokenizer, {own}, cannot be read: {used.path} was not held against it",
        )
    if theirs.digest == used.digest or all(
        list(a) == list(b)
        for texts in documents
        if texts
        for a, b in zip(used.encode(texts), theirs.encode(texts), strict=True)
    ):
        return ()
    said = (
        f"the probe was tokenised by {used.path} (sha256 {used.digest[:12]}), which is not the checkpoint's "
        f"own tokenizer, {own} (sha256 {theirs.digest[:12]}), and gives this text other ids"
    )
    return (Notice(NoticeKind.FOREIGN_TOKENIZER, said),)


TEXT = ProbeSource(
    summary="UTF-8 text, with the checkpoint's own tokenizer or --tokenizer",
    suffixes=(".txt", ".md"),
    read=partial(read_documents, json_lines=False),
)
JSONL = ProbeSource(
    summary="JSON Lines with a field `text`, one document a line, with a tokenizer as for text",
    suffixes=(".jsonl",),
    read=partial(read_documents, json_lines=True),
)
