"""What a scan would do: its tables, its JSON document, and a row a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spectra_cli.render.output import Fields, Output
from spectra_cli.render.table import Part
from spectra_cli.render.tables.inspect import findings, model, plan, series
from spectra_cli.render.tables.show import skipped_lines

if TYPE_CHECKING:
    from spectra_cli.workflows.estimates.outlook import Outlook
    from spectra_cli.workflows.inspect import Inspection

_MODEL = Fields(
    "run format family architecture recognised num_layers width vocab_size notices series_notices"
)
_CHECKPOINT = Fields(
    "key=ref.key step=ref.step uri=ref.uri architecture num_parameters num_bytes tokens_seen train_loss "
    "eval_loss batch_size_tokens learning_rate facts sources notices problem"
)
_WORK = Fields("device sites=sites_measured sequence_length passes batch_size sequences_to_run")
COLUMNS = tuple(name for name in _CHECKPOINT.names if name not in ("facts", "sources", "notices"))
"""Columns of the CSV table, one row a checkpoint."""


def output(before: Outlook) -> Output:
    """What a scan would do, for every form."""
    told, found = document(before), before.inspection
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


def document(before: Outlook) -> dict[str, Any]:
    """The JSON document of `spectra inspect`: schema `spectra.inspect/1`."""
    found, time = before.inspection, before.time
    return {
        "schema": "spectra.inspect/1",
        **_MODEL.of(found),
        "matrices": [
            {"site": address, "name": name, "fan_out": shape[0], "fan_in": shape[1]}
            for address, name, shape in found.matrices
        ],
        "checkpoints": list(map(_CHECKPOINT.of, found.checkpoints)),
        "plan": {
            **_WORK.of(found),
            "operations": {} if found.cost is None else found.cost.operations,
            "bytes_moved": None if found.cost is None else found.cost.bytes_moved,
            "seconds_estimated": None if time is None else time.seconds,
            "seconds_by_part": {} if time is None else dict(time.parts),
            "proposals": [asdict(proposal) for proposal in before.proposals],
            **Fields("memory_bytes budget_bytes").of(found),
            "skipped": list(map(Fields("measurement site=site.address reason").of, found.skipped)),
            "problem": found.plan_problem,
        },
    }


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
