"""A tokenizer from local files: never a hub, never remote code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import too_large
from spectra_cli.core.errors import ProbeError, SpectraError
from spectra_cli.extract.checkpoints.gguf.header import brings_tokenizer
from spectra_cli.extract.checkpoints.series.found import parse_step
from spectra_cli.extract.probes.gguf_tokenizer import read_gguf_tokenizer

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_OF_RUN = "tokenizer"  # a run may keep its tokenizer in a folder beside the checkpoints
MOST_BYTES = 1 << 27  # four times the largest that is published
# what ends a document in the published tokenizers, for those that do not say so themselves
_END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTokenizer:
    """Text to ids.

    Attributes:
        path: file or folder it was read from.
        encode: documents to their ids, no special tokens added.
        end_of_text: id that stands between two documents; None if the tokenizer has none.
        digest: sha256 of what decides its ids, wherever it lies.
        notices: what the user must know of it.
    """

    path: Path
    encode: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    end_of_text: int | None
    digest: str
    notices: tuple[str, ...] = ()


def find_tokenizer(
    *, named: str | None, checkpoint_folder: Path | None, base_folder: Path | None = None
) -> Path:
    """The tokenizer that the user names, else the checkpoint's own, else that of the model under an adapter.

    A GGUF file may bring one. A folder is searched first, then its children by name, then the folder of the
    run that it is a checkpoint of: a run keeps one tokenizer.

    Raises:
        ProbeError: there is none.
    """
    if named is not None:
        path = Path(named).expanduser()
        if not path.exists():
            raise ProbeError(
                f"no tokenizer at {path}; give a local folder or a tokenizer.json (hubs are not asked)"
            )
        return path
    if checkpoint_folder is None:
        raise ProbeError(
            "a text probe needs a tokenizer and there is no checkpoint folder; name one with --tokenizer"
        )
    own = own_tokenizer(checkpoint_folder=checkpoint_folder, base_folder=base_folder)
    if own is not None:
        return own
    given = [path for path in (checkpoint_folder, base_folder) if path is not None]
    places = " nor ".join(
        " nor ".join((f"{_folder(path)} nor a folder in it", *map(str, run_folders(_folder(path)))))
        for path in given
    )
    bare = [f", and {path} has no tokenizer.ggml.tokens" for path in given if path.suffix == ".gguf"]
    raise ProbeError(
        f"a text probe needs a tokenizer and neither {places} has a "
        f"{' or '.join(_TOKENIZER_FILES)}{''.join(bare)}; name one with --tokenizer"
    )


def own_tokenizer(*, checkpoint_folder: Path | None, base_folder: Path | None = None) -> Path | None:
    """The checkpoint's own tokenizer, else that of the model under an adapter; None without one."""
    for path in (checkpoint_folder, base_folder):
        if path is None:
            continue
        if brings_tokenizer(path):
            return path
        folder = _folder(path)
        below = sorted(child for child in folder.iterdir() if child.is_dir())
        above = [place for run in run_folders(folder) for place in (run, run / _OF_RUN)]
        for place in (folder, *below, *above):
            if any((place / name).is_file() for name in _TOKENIZER_FILES):
                return place
    return None


def run_folders(folder: Path) -> tuple[Path, ...]:
    """The folders above a checkpoint's that are of its run, the nearest first; none where it is of no run.

    A checkpoint of a run is named by its step, or `rev-main`; an adapter may lie in a folder inside.
    """
    folder = Path(os.path.abspath(folder))
    above = folder.parent
    if _is_of_a_run(folder.name):
        return (above,)
    return (above, above.parent) if _is_of_a_run(above.name) else ()


def _is_of_a_run(name: str) -> bool:
    return parse_step(name) is not None or name.startswith("rev-")


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def load_tokenizer(path: Path) -> LocalTokenizer:
    """The tokenizer in a folder (as transformers saves it), in a bare `tokenizer.json` or in a GGUF file.

    Raises:
        ProbeError: it cannot be read, or needs code of its own.
    """
    is_gguf = path.suffix == ".gguf" and path.is_file()
    if not is_gguf:  # of which only the metadata is read, and that within a bound
        _check_sizes(path)
    try:
        if is_gguf:
            return _from_gguf(path)
        if path.is_dir():
            return _from_folder(path)
        from tokenizers import Tokenizer

        return _local(path, Tokenizer.from_file(str(path)))
    except SpectraError:
        raise
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        first_line = (str(error).splitlines() or [""])[0]
        raise ProbeError(
            f"{path} cannot be read as a tokenizer ({type(error).__name__}: {first_line}); "
            "name another with --tokenizer"
        ) from error


def _check_sizes(path: Path) -> None:
    """Refuse files that are too large for a tokenizer before any is read."""
    names = (*_TOKENIZER_FILES, "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json")
    files = [path / name for name in names] if path.is_dir() else [path]
    for file in files:
        if file.is_file() and file.stat().st_size > MOST_BYTES:
            raise ProbeError(
                too_large(str(file), file.stat().st_size, MOST_BYTES, "name another with --tokenizer")
            )


def _from_folder(path: Path) -> LocalTokenizer:
    from transformers import AutoTokenizer  # seconds to import, and most probes need no tokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)

    def encode(documents: Sequence[str]) -> Sequence[Sequence[int]]:
        batch = tokenizer(list(documents), add_special_tokens=False, verbose=False)
        ids: Sequence[Sequence[int]] = batch["input_ids"]
        return ids

    end_of_text = tokenizer.eos_token_id
    if end_of_text is None:
        end_of_text = _first_known(tokenizer.get_vocab())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = {} if backend is None else json.loads(backend.to_str())
    return LocalTokenizer(
        path=path,
        encode=encode,
        end_of_text=end_of_text,
        digest=_digest(rules, tokenizer.get_vocab()),
    )


def _from_gguf(path: Path) -> LocalTokenizer:
    tokenizer, end_of_text, notices = read_gguf_tokenizer(path)
    found = _local(path, tokenizer)
    if end_of_text is None:
        end_of_text = found.end_of_text
    return replace(found, end_of_text=end_of_text, notices=notices)


def _local(path: Path, tokenizer: Any) -> LocalTokenizer:
    def encode(documents: Sequence[str]) -> Sequence[Sequence[int]]:
        return [item.ids for item in tokenizer.encode_batch(list(documents), add_special_tokens=False)]

    vocabulary = tokenizer.get_vocab()
    return LocalTokenizer(
        path=path,
        encode=encode,
        end_of_text=_first_known(vocabulary),
        digest=_digest(json.loads(tokenizer.to_str()), vocabulary),
    )


def _digest(rules: Mapping[str, Any], vocabulary: Mapping[str, int]) -> str:
    """sha256 of vocabulary and rules, without those for padding, cutting and special tokens around a text."""
    deciding = {name: rules.get(name) for name in ("model", "normalizer", "pre_tokenizer")}
    text = json.dumps([deciding, vocabulary], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _first_known(vocabulary: dict[str, int]) -> int | None:
    return next((vocabulary[token] for token in _END_OF_TEXT if token in vocabulary), None)
