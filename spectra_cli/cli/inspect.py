"""`spectra inspect`: what a scan would do, without reading a weight."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spectra_cli.cli import options
from spectra_cli.cli.groups.probe import ProbeOptions
from spectra_cli.cli.groups.resources import ResourceOptions
from spectra_cli.cli.groups.series import KnowledgeOptions, SelectionOptions
from spectra_cli.cli.groups.settings import SettingsOptions
from spectra_cli.cli.help import examples

if TYPE_CHECKING:
    from spectra_cli.workflows.inspect import Inspection
    from spectra_cli.workflows.proposals import Proposal
    from spectra_cli.workflows.scan_estimate import ScanEstimate

EPILOG = examples(
    "spectra inspect runs/a",
    "spectra inspect runs/a --probe validation.bin --config study.toml",
)


def command(
    checkpoints: options.CheckpointsArgument,
    *,
    probe: ProbeOptions,
    selection: SelectionOptions,
    settings: SettingsOptions,
    knowledge: KnowledgeOptions,
    resources: ResourceOptions,
    as_json: options.JsonOption = False,
) -> None:
    """Show what a scan would measure, and how.

    Checkpoints, model, matrices, passes and memory, from headers alone: no weight is read. What headers and
    probe tell against a scan is refused as the scan would, with its exit code.
    """
    from spectra_cli.render import inspection
    from spectra_cli.render.console import print_results
    from spectra_cli.render.summary import skipped_lines
    from spectra_cli.render.tidy import as_json as json_text
    from spectra_cli.workflows.inspect import inspect
    from spectra_cli.workflows.proposals import propose
    from spectra_cli.workflows.scan_estimate import estimate

    chosen = selection.resolve()
    skip_errors = selection.skips_errors
    found = inspect(
        checkpoints,
        settings.resolve(knowledge.about("scan")),
        device=resources.device,
        memory_bytes=resources.memory_bytes,
        batch_size=resources.batch_size,
        probe=probe.probe,
        probe_format=probe.probe_format,
        tokenizer=probe.tokenizer,
        series_options=knowledge.resolve(chosen),
    )
    time = estimate(found)
    proposals = () if time is None else propose(found, time, chosen)
    document = _document(found, time, proposals)
    if as_json:
        sys.stdout.write(json_text(document))
    else:
        print_results(*inspection.model(document | {"matrices": _kinds(found)}))
        print_results(inspection.series(document["checkpoints"]), *inspection.findings(document))
        print_results(*inspection.plan(document))
        print_results(*skipped_lines(found.skipped))
    _end_as_a_scan_would(found, skip_errors=skip_errors)


def _end_as_a_scan_would(found: Inspection, *, skip_errors: bool) -> None:
    """The error or the exit code with which a scan of these checkpoints would end."""
    from spectra_cli.render.console import say

    refusal = found.refusal(skip_errors=skip_errors)
    if refusal is not None:
        sys.stdout.flush()
        raise refusal
    for ref, reason in found.failed:
        say(f"left out: {ref.key}: {reason}")
    if found.failed:
        sys.exit(options.DONE_IN_PART)


def _document(found: Inspection, time: ScanEstimate | None, proposals: Sequence[Proposal]) -> dict[str, Any]:
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
        "checkpoints": [
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
        ],
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
