"""What the name of a revision on the Hugging Face hub says: step, tokens, stage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from spectra_cli.extract.checkpoints.series.found import natural_key, parse_step

_TOKENS = re.compile(r"(?<![a-z])tokens[-_]?(\d+(?:\.\d+)?)([KMBT])(?![0-9a-z])", re.IGNORECASE)
_UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_STEP_WORDS = r"(?<![a-z])(?:global_?step|step|iter|checkpoint|ckpt)[-_]?0*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A branch, tag or commit, by name.

    Attributes:
        name: as on the hub.
        step: optimiser steps that the name states, None if it states none.
        tokens_seen: tokens that the name states, None if it states none.
        label: what the name says besides (the stage of training), fit for a reference's key.
    """

    name: str
    step: int | None
    tokens_seen: int | None
    label: str


def parse_revision(name: str) -> Revision:
    """A revision as OLMo and Pythia name theirs.

    >>> parse_revision("stage1-step1000-tokens5B")
    Revision(name='stage1-step1000-tokens5B', step=1000, tokens_seen=5000000000, label='stage1')
    >>> parse_revision("step1000")
    Revision(name='step1000', step=1000, tokens_seen=None, label='')
    >>> parse_revision("main")
    Revision(name='main', step=None, tokens_seen=None, label='main')
    """
    step, tokens, rest = parse_step(name), _TOKENS.search(name), _TOKENS.sub("", name)
    if step is not None:
        rest = re.sub(rf"{_STEP_WORDS}{step}(?!\d)", "", rest, count=1, flags=re.IGNORECASE)
    return Revision(
        name=name,
        step=step,
        tokens_seen=round(float(tokens[1]) * _UNITS[tokens[2].upper()]) if tokens else None,
        label=_fit_for_a_key(rest),
    )


def in_order_of_training(names: Iterable[str]) -> tuple[Revision, ...]:
    """Revisions by stage, then by step, those without a step last; no two alike in step and label.

    >>> [r.name for r in in_order_of_training(["main", "stage2-step5", "stage1-step20", "stage1-step3"])]
    ['stage1-step3', 'stage1-step20', 'stage2-step5', 'main']
    """
    ordered = sorted(
        (parse_revision(name) for name in names),
        key=lambda r: (r.step is None, natural_key(r.label), r.step or 0, natural_key(r.name)),
    )
    uses = Counter((revision.step, revision.label) for revision in ordered)
    return tuple(
        r if uses[r.step, r.label] == 1 else replace(r, label=_fit_for_a_key(r.name)) for r in ordered
    )


def _fit_for_a_key(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-_")
