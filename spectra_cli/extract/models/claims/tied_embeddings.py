"""Input and output embedding: one matrix or two, by the tensors, whatever the configuration says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any

from spectra_cli.extract.protocols import CheckpointHeader


def stored_pairs(module: Any, stored: Collection[str]) -> dict[tuple[str, str], tuple[str, str]]:
    """The matrices that class and configuration tie and the file holds twice, by their names in both.

    Args:
        module: a transformers model, tied or not; others have no such pairs.
        stored: names of the file.

    Returns:
        (output, input) in the model -> the same in the file.
    """
    expand = getattr(module, "get_expanded_tied_weights_keys", None)
    if expand is None:
        return {}
    prefix = f"{module.base_model_prefix}."
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for pair in expand(all_submodels=False).items():
        own = [next((n for n in (name, name.removeprefix(prefix)) if n in stored), "") for name in pair]
        if all(own):
            pairs[pair] = (own[0], own[1])
    return pairs


def tie_by_values(module: Any, header: CheckpointHeader) -> None:
    """Tie a module without values as the file ties it: pairs that hold different values stay apart."""
    for (output, _), (one, other) in stored_pairs(module, header.tensors).items():
        if not header.same_values(one, other):
            module.all_tied_weights_keys.pop(output, None)
    module.tie_weights(recompute_mapping=False)


def apart_notices(module: Any, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """A notice for each pair that the configuration ties and the module, once loaded, does not."""
    tied = module.all_tied_weights_keys
    return tuple(
        f"config.json ties {output} to {source}, and the file holds them apart: measured as two matrices"
        for output, source in stored_pairs(module, stored)
        if output not in tied
    )


def advice_on_ties(module: Any, missing: Set[str]) -> str:
    """What to do where nothing is missing but a head that the class can tie; empty otherwise."""
    tieable = getattr(module, "_tied_weights_keys", None)
    if len(missing) != 1 or not isinstance(tieable, Mapping) or not missing <= tieable.keys():
        return ""
    (head,) = missing
    return f"Where the model ties {head} to its embedding, --set model.tie_word_embeddings=true says so"
