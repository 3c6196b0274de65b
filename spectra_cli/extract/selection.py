"""Which layers and matrices a scan measures: from the user's words to sites of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from spectra_cli.core.errors import NotHeldError, UnknownNameError, UsageError
from spectra_cli.core.types import Site, Skipped, Status
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.extract.models.canonical import COMPONENTS
from spectra_cli.extract.protocols import MatrixView, Model

_NAMED = ("all", "five", "paper-d12")  # choices of layers


def select_layers(words: str, num_layers: int) -> tuple[int, ...]:
    """The layers named by `all`, `five`, `paper-d12` or a list such as `0,3,6-9`.

    >>> select_layers("five", 12)
    (0, 3, 6, 8, 11)
    >>> select_layers("0,2-3,-1", 6)
    (0, 2, 3, 5)

    Raises:
        UsageError: not a layer, or a layer that the model does not have.
    """
    if words == "all":
        return tuple(range(num_layers))
    if words == "five":
        return tuple(sorted({round(i * (num_layers - 1) / 4) for i in range(5)}))
    if words == "paper-d12":
        words = "0,3,6,9,11"
    chosen: set[int] = set()
    for word in words.split(","):
        first, last = _range(word.strip(), words, num_layers)
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def _range(word: str, words: str, num_layers: int) -> tuple[int, int]:
    head, dash, tail = word[1:].partition("-")
    try:
        first = int(word[0] + head)
        last = int(tail) if dash else first
    except (ValueError, IndexError):
        raise UsageError(
            f"--layers {words!r}: {word!r} is not a layer{did_you_mean(word, _NAMED)}; "
            "expected all, five, paper-d12 or a list such as 0,3,6-9"
        ) from None
    if first < 0 and not tail:
        first = last = num_layers + first
    if not 0 <= first <= last < num_layers:
        raise NotHeldError(
            f"--layers {words!r}: {word!r} is outside this model's layers 0 to {num_layers - 1}; "
            "--layers five picks five that exist"
        )
    return first, last


def select_matrices(
    model: Model, components: Sequence[str], layers: Sequence[int], *, measurement: str, tapped: bool = False
) -> tuple[tuple[MatrixView, ...], tuple[Skipped, ...]]:
    """The matrices of `components` in `layers`, and what was asked for but is not in this model.

    `all` takes every matrix of the chosen blocks; `embed` and `lm_head` lie outside the blocks and
    are taken only by name (a tied head is the embedding, and is measured once, as `embed`). A pattern
    such as `experts.*.down` takes what goes by such names in the chosen layers.

    A canonical component that this model lacks (another naming, a block without attention) costs
    only its own rows; what is left is measured. So does one that cannot be tapped, if taps are needed.

    Raises:
        UsageError: a component or pattern that is neither canonical nor in any layer of this model.
    """
    in_blocks = [view for view in model.matrices if view.site.layer in layers]
    outside = {view.site.component: view for view in model.matrices if view.site.layer is None}
    for view in list(outside.values()):
        if view.aliases and view.site.component == "embed":
            outside.setdefault("lm_head", view)
    chosen: dict[str, MatrixView] = {}
    missing: list[Skipped] = []
    present = dict.fromkeys(view.site.component for view in model.matrices)
    held = present.keys() | {"all", *outside}
    for component in components:
        if component in outside:
            chosen[outside[component].site.address] = outside[component]
            continue
        pattern = "*" if component == "all" else component
        found = [v for v in in_blocks if fnmatchcase(v.site.component, pattern)]
        chosen |= {view.site.address: view for view in found}
        if component == "all":
            continue
        if component not in held and component not in COMPONENTS:
            if any(fnmatchcase(name, pattern) for name in present):
                continue
            meant = did_you_mean(component, [*present, "all"])
            raise UnknownNameError(
                f"no matrix {component!r} in this {model.family} model{meant}; it has {_names(present)} "
                "(or all)"
            )
        for layer in sorted(set(layers) - {view.site.layer for view in found}):
            site = Site(layer=layer, component=component)
            reason = model.absent.get(site, "this block has no such matrix")
            missing.append(
                Skipped(measurement=measurement, site=site, status=Status.NOT_APPLICABLE, reason=reason)
            )
    if not chosen:
        missing = _with_what_there_is(missing, in_blocks)
    for address, view in list(chosen.items()) if tapped else ():
        if view.site.component in model.untappable:
            del chosen[address]
            why = model.untappable[view.site.component]
            missing.append(
                Skipped(measurement=measurement, site=view.site, status=Status.NOT_APPLICABLE, reason=why)
            )
    order = {id(view): position for position, view in enumerate(model.matrices)}
    return tuple(sorted(chosen.values(), key=lambda view: order[id(view)])), tuple(missing)


def _names(components: Iterable[str]) -> str:
    """The components for a message, experts once."""
    return ", ".join(dict.fromkeys(re.sub(r"^experts\.\d+", "experts.*", name) for name in components))


def _with_what_there_is(missing: Sequence[Skipped], in_blocks: Sequence[MatrixView]) -> list[Skipped]:
    """What is missing where nothing is left to measure, with the names of what each layer has."""
    told = []
    for one in missing:
        there = [view.site.component for view in in_blocks if view.site.layer == one.site.layer]
        names = f"; --matrices takes all, or of {_names(there)}" if there else ""
        told.append(replace(one, reason=one.reason + names))
    return told
