"""The tokenizer that a GGUF file brings in its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectra_cli.core.errors import ProbeError
from spectra_cli.extract.checkpoints.gguf.header import read_tokenizer_metadata

# names of llama.cpp for how a text is cut before it is merged, where transformers knows none
_AS_GPT2 = frozenset(("gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "exaone4"))
_DIGITS_ALONE = frozenset(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"))
_AS_QWEN2 = frozenset(("stablelm2",))


def read_gguf_tokenizer(path: Path) -> tuple[Any, int | None, tuple[str, ...]]:
    """The tokenizer (`tokenizers.Tokenizer`), its end-of-text id, and what the user must know of it.

    transformers builds it from vocabulary and merges; how it cuts a text first is llama.cpp's.

    Raises:
        CheckpointError: a damaged file.
        ProbeError: it has no vocabulary, or cuts texts in a way that is not known here.
    """
    found = read_tokenizer_metadata(path)
    if "tokens" not in found:
        raise ProbeError(
            f"{path} brings no tokenizer: its metadata has no tokenizer.ggml.tokens; name a tokenizer's "
            "folder or file with --tokenizer"
        )
    names, convert = _of_transformers()
    described = {own: found[name] for name, own in names.items() if name in found}
    splits, notices = "", tuple[str, ...]()
    if found.get("model") == "gpt2":
        splits, notices = _way_of_splitting(path, found.get("pre"))
        described["pre_tokenizer_type"] = splits
    tokenizer, _ = convert(found.get("general.architecture", ""), described)
    if splits == "digits alone":
        _split_digits(tokenizer)
    end = found.get("eos_token_id")
    return tokenizer, end if isinstance(end, int) else None, notices


def _of_transformers() -> tuple[dict[str, str], Any]:
    """What its converter calls each entry, and the converter: both moved in its version 5.23."""
    try:
        from transformers.integrations import gguf as integration
    except ImportError:
        from transformers.integrations import ggml as integration
    names = integration.GGUF_TOKENIZER_MAPPING["tokenizer"]
    own = {name.removeprefix("ggml."): ours for name, ours in names.items()}
    return own, integration.convert_gguf_tokenizer


def _way_of_splitting(path: Path, stated: object) -> tuple[str, tuple[str, ...]]:
    """The name under which the converter knows it, and a notice where the file states none."""
    if stated in (None, "", "default"):
        said = (
            f"{path} does not say how its tokenizer cuts a text into words (tokenizer.ggml.pre is "
            f"{stated or 'missing'}): it is cut as for GPT-2; with "
            "--tokenizer the model's own is sure"
        )
        return "gpt-2", (said,)
    if stated in _AS_GPT2:
        return "gpt-2", ()
    if stated in _DIGITS_ALONE:
        return "digits alone", ()
    if stated in _AS_QWEN2:
        return "qwen2", ()
    if stated in _known_to_transformers():
        return str(stated), ()
    raise ProbeError(
        f"{path}: its tokenizer cuts a text into words as {stated!r} (tokenizer.ggml.pre), which is not "
        "known here, so that its ids would be others; name the model's own tokenizer with --tokenizer"
    )


def _known_to_transformers() -> frozenset[str]:
    try:
        from transformers.integrations.gguf import gguf_tokenizer_mapping
    except ImportError:
        return frozenset()
    return frozenset(gguf_tokenizer_mapping.GGUF_PRE_TOKENIZER_SPLITS)


def _split_digits(tokenizer: Any) -> None:
    """Each digit a word of its own, then as GPT-2."""
    from tokenizers import pre_tokenizers

    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
