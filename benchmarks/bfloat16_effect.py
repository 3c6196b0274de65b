"""How far each statistic moves when the passes run in bfloat16.

    python -m benchmarks.bfloat16_effect FLOAT32_ARCHIVE BFLOAT16_ARCHIVE

Both archives are scans of one run with the same probe, which differ in `--dtype` alone. A row is a
statistic of one measurement over all checkpoints and sites that both have: its shift over its value, and
over its own standard error, which is what a comparison of two checkpoints would weigh it against.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.core.types import StatisticValue
from spectra_cli.statistics.summarise import summarise

Key = tuple[int | None, str, str, str]


def values_of(archive: Archive) -> dict[Key, StatisticValue]:
    """(step, site, measurement, statistic) -> value, of the spectra of every checkpoint."""
    return {
        (value.step, value.site.address if value.site else "", value.measurement, value.name): value
        for checkpoint in archive
        for value in summarise(checkpoint)
    }


def main(exact: Path, rounded: Path) -> None:
    """Print the table."""
    first, second = values_of(open_archive(exact)), values_of(open_archive(rounded))
    groups: dict[tuple[str, str], list[tuple[StatisticValue, StatisticValue]]] = defaultdict(list)
    for key in first.keys() & second.keys():
        groups[key[2:]].append((first[key], second[key]))
    print(
        f"{'measurement':22}{'statistic':28}{'values':>7}{'lost':>6}{'median':>10}{'largest':>10}{'/stderr':>20}"
    )
    for (measurement, name), pairs in sorted(groups.items()):
        both = [(a, b) for a, b in pairs if a.status.has_value and b.status.has_value]
        lost = sum(a.status.has_value != b.status.has_value for a, b in pairs)
        if not both:
            continue
        shift = np.abs([b.value - a.value for a, b in both])
        scale = np.abs([a.value for a, _ in both])
        relative = shift / np.where(scale > 0, scale, 1.0)
        with_error = np.array([s / a.stderr for (a, _), s in zip(both, shift, strict=True) if a.stderr > 0])
        errors = f"{np.median(with_error):.2g} ({with_error.max():.2g})" if with_error.size else "-"
        print(
            f"{measurement:22}{name:28}{len(both):>7}{lost:>6}{np.median(relative):>10.1e}"
            f"{relative.max():>10.1e}{errors:>20}"
        )
    print("shift over value: median and largest; over the standard error: median (largest);")
    print("lost: values that only one of the two scans has")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
