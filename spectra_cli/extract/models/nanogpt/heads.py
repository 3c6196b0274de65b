"""How many attention heads a decoder has: no tensor shows it."""

from __future__ import annotations

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.config import DecoderConfig
from spectra_cli.extract.models.nanogpt.arguments import Stated, unstated
from spectra_cli.extract.models.nanogpt.structure import Seen

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
