"""What a scan would do: its tables, its JSON document, and a row a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Output
from spectra_cli.render.table import Part
from spectra_cli.render.tables.inspect import findings, model, plan, series
from spectra_cli.render.tables.show import skipped_lines

if TYPE_CHECKING:
    from spectra_cli.workflows.estimates.proposals import Proposal
    from spectra_cli.workflows.estimates.scan_estimate import ScanEstimate
    from spectra_cli.workflows.inspect import Inspection

COLUMNS = (
    "key",
    "step",
    "uri",
    "architecture",
    "num_parameters",
    "num_bytes",
    "tokens_seen",
    "train_loss",
    "eval_loss",
    "batch_size_tokens",
    "learning_rate",
    "problem",
)
"""Columns of the CSV table, one row a checkpoint."""


def output(found: Inspection, time: ScanEstimate | None, proposals: Sequence[Proposal]) -> Output:
    """What a scan would do, for every form."""
    told = document(found, time, proposals)
    return Output(
        tables=lambda: tables(found, told),
        document=lambda: told,
        columns=COLUMNS,
        rows=lambda: told["checkpoints"],
        notices=(*found.notices, *found.series_notices),
    )


def tables(found: Inspection, told: dict[str, Any]) -> Iterator[Part]:
    """The model, the checkpoints, the plan, and what would not be measured; `told` is the document."""
    yield from model(told | {"matrices": _kinds(found)})
    yield series(told["checkpoints"])
    yield from findings(told)
    yield from plan(told)
    yield from skipped_lines(found.skipped)


def document(found: Inspection, time: ScanEstimate | None, proposals: Sequence[Proposal]) -> dict[str, Any]:
    """The JSON document of `spectra inspect`: schema `spectra.inspect/1`."""
    return {
        "schema": "spectra.inspect/1",
        "run": found.run,
        "format": found.format,
        "family": found.family,
        "architecture": found.architecture,
        "recognised": found.recognised,
        "num_layers": found.num_layers,
        "width": found.width,
        "vocab_size": found.vocab_size,
        "notices": list(found.notices),
        "series_notices": list(found.series_notices),
        "matrices": [
            {"site": address, "name": name, "fan_out": shape[0], "fan_in": shape[1]}
            for address, name, shape in found.matrices
        ],
        "checkpoints": _checkpoints(found),
        "plan": {
            "device": found.device,
            "sites": list(found.sites_measured),
            "sequence_length": found.sequence_length,
            "passes": [list(members) for members in found.passes],
            "batch_size": found.batch_size,
            "sequences_to_run": found.sequences_to_run,
            "operations": {} if found.cost is None else found.cost.operations,
            "bytes_moved": None if found.cost is None else found.cost.bytes_moved,
            "seconds_estimated": None if time is None else time.seconds,
            "seconds_by_part": {} if time is None else dict(time.parts),
            "proposals": [asdict(proposal) for proposal in proposals],
            "memory_bytes": found.memory_bytes,
            "budget_bytes": found.budget_bytes,
            "skipped": [
                {"measurement": s.measurement, "site": s.site.address, "reason": s.reason}
                for s in found.skipped
            ],
            "problem": found.plan_problem,
        },
    }


def _checkpoints(found: Inspection) -> list[dict[str, Any]]:
    return [
        {
            "key": c.ref.key,
            "step": c.ref.step,
            "uri": c.ref.uri,
            "architecture": c.architecture,
            "num_parameters": c.num_parameters,
            "num_bytes": c.num_bytes,
            "tokens_seen": c.tokens_seen,
            "train_loss": c.train_loss,
            "eval_loss": c.eval_loss,
            "batch_size_tokens": c.batch_size_tokens,
            "learning_rate": c.learning_rate,
            "facts": dict(c.facts),
            "sources": dict(c.sources),
            "notices": list(c.notices),
            "problem": c.problem,
        }
        for c in found.checkpoints
    ]


def _kinds(found: Inspection) -> list[dict[str, str]]:
    """Matrices of one component and shape as one row: layers are alike."""
    groups: dict[tuple[str, tuple[int, int]], list[tuple[str, str]]] = defaultdict(list)
    for address, name, shape in found.matrices:
        component = address.split(".", 2)[2] if address.startswith("blocks.") else address
        groups[component, shape].append((address, name))
    rows = []
    for (component, (fan_out, fan_in)), members in groups.items():
        layers = [address.split(".")[1] for address, _ in members if address.startswith("blocks.")]
        span = f"{layers[0]}-{layers[-1]} ({len(layers)})" if layers else ""
        rows.append(
            {"component": component, "shape": f"{fan_out} x {fan_in}", "layers": span, "name": members[0][1]}
        )
    return rows
