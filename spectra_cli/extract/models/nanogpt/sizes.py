"""Sizes that a run's own files state of a decoder, against those of its tensors; heads, which none shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spectra_cli.core.errors import ModelError
from spectra_cli.core.words.plurals import counted
from spectra_cli.extract.models.claims.sizes import layers_apart
from spectra_cli.extract.models.decoder.config import DecoderConfig
from spectra_cli.extract.models.nanogpt.arguments import Stated, unstated
from spectra_cli.extract.models.nanogpt.structure import Seen

# ours first, then those of other trainers of the family
_NAMES = {
    "n_layer": ("n_layer", "n_layers", "num_layers"),
    "n_embd": ("n_embd", "d_model", "model_dim"),
    "vocab_size": ("vocab_size",),
}
_IN_LAYER = re.compile(r"(transformer\.h\.)(\d+)(\..+)")
# what the training code rounds a vocabulary up to
_PADDED_TO = (64, 128)
_TENSORS = "the tensors decide"


def size_notices(seen: Seen, stated: Stated, shown: DecoderConfig, *, name: str) -> tuple[str, ...]:
    """A notice for each size that the tensors contradict: they decide.

    Layers are another matter: what is left of a model that lost its last blocks is a model, too. They are as
    many as stated, unless `skip_weights`, one for each pair of layers, shows that none is lost (variant 9
    accepts `n_layer` and ignores it).

    Args:
        name: of the variant, for the message.

    Raises:
        ModelError: another number of layers is stated than there is, with what is missing or unexpected.
    """
    notices = []
    for size, own, number in _statements(seen, stated, shown):
        said = _whole(stated.values[own])
        if said == number and not isinstance(said, bool):
            continue
        source = _source(seen, stated, own)
        if size == "n_layer" and type(said) is int and not _depth_is_proven(seen, number):
            raise ModelError(
                f"{seen.where}: its tensors do not fit {name}: {own} is {said} by {source}, and its tensors "
                f"are of {counted(number, 'layer')}: "
                f"{layers_apart(seen.shapes, _IN_LAYER, stated=said)}. The file is "
                "incomplete, or its arguments are another model's: copy or save it again, or correct them "
                f"with --set model.n_layer={number}"
            )
        decides = "padded with rows" if size == "vocab_size" and _is_padded(said, number) else _TENSORS
        notices.append(f"{own} is {said!r:.40} by {source}, and the tensors have {number}: {decides}")
    biases, said = shown.norm_bias or shown.mlp_bias, stated.values.get("bias")
    if shown.norm == "layer" and isinstance(said, bool) and said is not biases:
        have, source = "biases" if biases else "no biases", _source(seen, stated, "bias")
        notices.append(f"bias is {said} by {source}, and the tensors have {have}: {_TENSORS}")
    return tuple(notices)


def _statements(seen: Seen, stated: Stated, shown: DecoderConfig) -> Iterator[tuple[str, str, int]]:
    """Each size that files state: our name, theirs, and what the tensors have."""
    found: dict[str, int] = {size: getattr(shown, size) for size in _NAMES}
    names = dict(_NAMES)
    if shown.num_positions is not None and not seen.toy:
        found["block_size"], names["block_size"] = shown.num_positions, ("block_size",)
    for size, number in found.items():
        if size not in stated.by_user:  # whose word has been held against the tensors before
            yield from ((size, own, number) for own in names[size] if own in stated.values)


def _depth_is_proven(seen: Seen, num_layers: int) -> bool:
    return seen.shapes.get("skip_weights") == (num_layers // 2,)


def _is_padded(said: Any, rows: int) -> bool:
    return type(said) is int and said > 0 and any(rows == -(-said // m) * m for m in _PADDED_TO)


def _whole(said: Any) -> Any:
    """The whole number that a text or a float is; anything else as it is."""
    if isinstance(said, str) and re.fullmatch(r"\d{1,18}", said):
        return int(said)
    return int(said) if isinstance(said, float) and said.is_integer() else said


def _source(seen: Seen, stated: Stated, name: str) -> str:
    source = stated.source(name) or "its arguments"
    inside = seen.arguments.get("layout") == "nanogpt" and f"config.{name}" not in seen.sources
    return f"model_args of {source}" if inside else source


_HEADS_BY_WIDTH = {768: 6, 1024: 16, 1280: 20, 1600: 25}


def num_heads(
    seen: Seen, stated: Stated, shown: DecoderConfig, key: str | None
) -> tuple[int, str, tuple[str, ...]]:
    """Heads, what says so, and a notice if they were looked up.

    Raises:
        ModelError: nothing says it, or it is no number of heads for this width.
    """
    width, even = shown.n_embd, shown.num_positions is None
    source = stated.source("n_head") or ""
    notices: tuple[str, ...] = ()
    said = stated.values.get("n_head")
    table = _HEADS_BY_WIDTH if shown.norm != "layer" and not seen.toy else {}
    ignored = key == "9" and "n_head" not in stated.by_user
    if ignored and width in table and said not in (None, table[width]):
        source = "the code of variant 9, which ignores its argument"
        notices = (f"{table[width]} heads: variant 9 ignores its argument n_head = {said}",)
        said = table[width]
    elif said is None and width in table:
        said, source = table[width], f"inferred: the paper's number at width {width}"
        why = f"the paper's number at width {width}: no argument states n_head"
        notices = (f"{said} heads, {why}; --set model.n_head says otherwise",)
    if said is None:
        raise unstated(
            f"{seen.where}: the number of attention heads shows in no tensor, and no argument states it",
            "n_head",
        )
    if type(said) is not int:
        raise ModelError(f"{seen.where}: n_head is {said!r:.40}; expected a whole number of heads")
    if said < 1 or width % said or (even and width // said % 2):
        kind = "even heads" if even else "heads"
        raise ModelError(
            f"{seen.where}: n_head is {said}, which does not divide the width {width} into {kind}"
        )
    return said, source, notices
