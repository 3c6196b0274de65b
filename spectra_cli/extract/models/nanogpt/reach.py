"""In how many layers at each end values are mixed with a table: stated, fixed by the paper's code, or shown.

attn.mix[1] of a layer without a value embedding never gets a gradient, so that it stays at exactly 0.5 unless
something else moves it (weight decay, an average of models).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.config import DecoderConfig
from spectra_cli.extract.models.decoder.values import default_reach
from spectra_cli.extract.models.nanogpt.arguments import Stated, count, unstated
from spectra_cli.extract.models.nanogpt.structure import Seen

_START = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Layers at each end with a sparse value embedding, what says so, and what there is to know about it."""

    layers: int
    source: str
    notices: tuple[str, ...] = ()


def value_reach(seen: Seen, stated: Stated, shown: DecoderConfig) -> Reach:
    """The reach: what is stated counts, then what weights that stood still show, then the paper's rule.

    Weights that moved in every layer show nothing: the code of the d12 variants fixes the reach at 3.

    Raises:
        ModelError: the files state one reach and the weights show another; or no reach of this model.
    """
    if shown.value_mix != "sparse":
        return Reach(layers=0, source="its tensors: no value embeddings of such a kind")
    num_layers, said = shown.n_layer, count(stated.values, "value_reach", seen.where)
    moved = {layer for layer, weight in seen.value_weights.items() if weight != _START}
    by_weights = _shown(moved, seen.value_weights, num_layers)
    if said is not None:
        source = stated.source("value_reach") or ""
        if by_weights is not None and by_weights != said and "value_reach" not in stated.by_user:
            raise unstated(
                f"{seen.where}: value embeddings reach {said} layers by {source}, but attn.mix moved from "
                f"its start in the first and last {by_weights} layers and nowhere else",
                "value_reach",
            )
        reach = Reach(layers=said, source=source)
    elif by_weights is not None:
        reach = _inferred(by_weights, f"attn.mix has moved from {_START} there and nowhere else")
    else:
        rule = "the paper's code at 12 layers" if num_layers == 12 else "the paper's rule, not stated"
        reach = _inferred(default_reach(num_layers), rule)
    if not 1 <= reach.layers <= num_layers // 2:
        raise ModelError(
            f"{seen.where}: value embeddings reach {reach.layers} layers; expected 1 to {num_layers // 2}"
        )
    unexplained = {i for i in moved if reach.layers <= i < num_layers - reach.layers}
    if not unexplained:
        return reach
    notice = (
        f"attn.mix[1] is not {_START} in layers {_listed(unexplained)} too, which value embeddings in the "
        f"first and last {reach.layers} layers do not explain; --set model.value_reach says otherwise"
    )
    return Reach(layers=reach.layers, source=reach.source, notices=(*reach.notices, notice))


def _inferred(layers: int, why: str) -> Reach:
    where = f"value embeddings in the first and last {layers} layers"
    notice = f"{where}: {why}; --set model.value_reach says otherwise"
    return Reach(layers=layers, source=f"inferred: {why}", notices=(notice,))


def _shown(moved: set[int], weights: Iterable[int], num_layers: int) -> int | None:
    """The one reach that leaves just the other layers at their start; None without one, or if all moved."""
    layers = set(weights)
    if not moved or moved == layers:
        return None
    ends = range(1, num_layers // 2 + 1)
    fitting = [
        reach for reach in ends if {i for i in layers if i < reach or i >= num_layers - reach} == moved
    ]
    return fitting[0] if len(fitting) == 1 else None


def _listed(layers: set[int]) -> str:
    return ", ".join(map(str, sorted(layers)))
