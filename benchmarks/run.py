"""The table of speed and memory claims, measured on this machine: `python -m benchmarks.run --help`."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.figures import Figure, table_of
from benchmarks.machine import describe_machine
from benchmarks.rows import ROWS, Options


def main() -> None:
    """Run the rows asked for; after each, write the JSON anew; at the end, print the table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    options = Options(
        rounds=1 if arguments.quick else arguments.rounds,
        sequences=16 if arguments.quick else None,
        threads=arguments.threads,
    )
    messages = Console(stderr=True)
    report: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": arguments.quick,
        "rounds": options.rounds,
        "machine": describe_machine(),
        "seconds": {},
        "figures": [],
    }
    figures: list[Figure] = []
    for row in arguments.rows or ROWS:
        messages.print(f"{row} ...")
        started = time.perf_counter()
        found = ROWS[row](options)
        if arguments.quick:  # shortened work: its ratios are not those that were promised
            found = [replace(figure, must=None, aim=None) for figure in found]
        report["seconds"][row] = round(time.perf_counter() - started, 1)
        report["figures"] += _entries(row, found)
        figures += found
        _write(arguments.output, report)
        for figure in found:
            messages.print(f"  {figure.name}: {figure.measured.median:.3g} {figure.verdict}", highlight=False)
    Console().print(table_of(figures))
    messages.print(f"written to {arguments.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved repetitions a row (default 5)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round on shortened work, held against no bound: does it run?",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/latest.json"))
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.rows) - set(ROWS)):
        parser.error(f"no row {', '.join(unknown)}; rows: {', '.join(ROWS)}")
    return arguments


def _entries(row: str, figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Figures as JSON objects; NaN and infinity, which JSON lacks, become null."""
    entries = []
    for figure in figures:
        entry = {"row": row, **asdict(figure), "verdict": figure.verdict}
        measured = entry["measured"]
        entry["measured"] = {key: value if math.isfinite(value) else None for key, value in measured.items()}
        entries.append(entry)
    return entries


def _write(output: Path, report: dict[str, Any]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
