"""The families of tiny runs that the studies train: what differs between their runs, and what does not.

All runs see the same task and the same validation sequences, and save at the same numbers of training
sequences (four in an octave), so that runs of different batch sizes have checkpoints at equal tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from spectra_cli.extract.demo.settings import DemoSettings

SAVES_PER_OCTAVE = 4
EARLY_BATCH_SIZES = (16, 32, 64)
EARLY_RATES = (1e-3, 2e-3, 4e-3)

# run of the taxonomy's family -> the side that its one change is known to be on
INTERVENTIONS: Mapping[str, str] = {
    "math-attention": "execution",
    "stored-bfloat16": "execution",
    "muon": "learning",
    "untied": "learning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What all runs of a family share.

    Attributes:
        base: of every run.
        target_loss: validation loss at which a run ends.
        batch_sizes: of the study of batch sizes, in sequences.
        first_save, most_sequences: training sequences at the first checkpoint after the start, and at
            which a run ends that has not reached the loss.
        early_sequences: of the early checkpoint; one of those that are saved.
        scan: settings of the scans that differ from the studies' own.
    """

    base: DemoSettings
    target_loss: float
    batch_sizes: tuple[int, ...]
    first_save: int
    early_sequences: int
    most_sequences: int
    scan: Mapping[str, Any] = field(default_factory=dict)


FULL = Scale(
    base=DemoSettings(num_train=20_000, n_layer=3, lr=2e-3, save_optimizers=False),
    target_loss=3.0,
    batch_sizes=(16, 32, 64, 128),
    first_save=2048,
    early_sequences=4096,
    most_sequences=65_536,
)
QUICK = replace(FULL, target_loss=3.4, batch_sizes=(16, 32, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRun:
    """One run of a family.

    Attributes:
        name: of its folder.
        recipe: of the optimiser.
        settings: of the training.
    """

    name: str
    recipe: str
    settings: DemoSettings


def batch_size_family(scale: Scale, num_seeds: int) -> tuple[FamilyRun, ...]:
    """Batch sizes at one learning rate, each with the same seeds, all to the same loss."""
    return tuple(
        _run(f"batch{size}-seed{seed}", scale, batch_size=size, seed=seed)
        for size, seed in product(scale.batch_sizes, range(num_seeds))
    )


def early_tail_family(scale: Scale, num_seeds: int) -> tuple[FamilyRun, ...]:
    """Every batch size with every learning rate and seed, all to the same loss."""
    return tuple(
        _run(f"batch{size}-lr{rate:g}-seed{seed}", scale, batch_size=size, lr=rate, seed=seed)
        for size, rate, seed in product(EARLY_BATCH_SIZES, EARLY_RATES, range(num_seeds))
    )


def taxonomy_family(scale: Scale, num_seeds: int) -> tuple[FamilyRun, ...]:
    """A baseline with tied embeddings in several seeds, and four interventions in its first seed."""
    return (
        *(_run(f"baseline-seed{seed}", scale, tied=True, seed=seed) for seed in range(num_seeds)),
        _run("math-attention", scale, tied=True, attention_kernel="math"),
        _run("stored-bfloat16", scale, tied=True, stored_dtype="bfloat16"),
        _run("muon", scale, recipe="muon", tied=True),
        _run("untied", scale, tied=False),
    )


FAMILIES: Mapping[str, Callable[[Scale, int], tuple[FamilyRun, ...]]] = {
    "batch-size": batch_size_family,
    "early-tail": early_tail_family,
    "taxonomy": taxonomy_family,
}


def saved_sequences(first: int, last: int) -> tuple[int, ...]:
    """Four numbers in each octave from `first` on, up to `last`.

    >>> saved_sequences(512, 2048)
    (512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048)
    """
    found, octave = [], first
    while octave <= last:
        found += [octave + octave * part // SAVES_PER_OCTAVE for part in range(SAVES_PER_OCTAVE)]
        octave *= 2
    return tuple(number for number in found if number <= last)


def _run(name: str, scale: Scale, *, recipe: str = "adamw", **changes: Any) -> FamilyRun:
    settings = replace(scale.base, target_loss=scale.target_loss, **changes)
    numbers = saved_sequences(scale.first_save, scale.most_sequences)
    steps = dict.fromkeys((0, *(number // settings.batch_size for number in numbers)))
    settings = replace(settings, save_steps=tuple(steps), num_steps=max(steps))
    return FamilyRun(name=name, recipe=recipe, settings=settings)
