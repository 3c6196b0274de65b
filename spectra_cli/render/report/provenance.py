"""How the numbers of a run came to be, for a page: facts, and the commands that repeat them."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from spectra_cli.analysis.run import Run
from spectra_cli.core.scan_facts import IN_MEMORY
from spectra_cli.core.words.numbers import count

SETTINGS_FILE = "settings.toml"


def facts(run: Run) -> list[tuple[str, str]]:
    """What was measured, on what and by what: (name, value)."""
    series, probe, last = run.series, run.series.provenance.probe, run.infos[-1]
    tokens = f"{probe.num_sequences} sequences of {probe.sequence_length} tokens"
    told = [
        ("archive", str(series.path)),
        ("model", f"{last.architecture or last.family}, {count(last.num_parameters)} parameters"),
        ("checkpoints", f"{len(series)}, {series.refs[0].key} to {series.refs[-1].key}"),
        (
            "probe",
            f"{tokens} of {probe.source or probe.format}" + (" (synthetic)" if probe.synthetic else ""),
        ),
        ("probe digest", probe.digest),
        ("versions", ", ".join(f"{name} {held}" for name, held in series.provenance.versions.items())),
    ]
    return [(name, value) for name, value in told if value]


def settings_toml(settings: Mapping[str, Any]) -> str:
    """The settings of a scan as a run file, which `spectra scan --config` reads.

    >>> print(settings_toml({"layers": "all", "matrices": ["attn.o"], "seed": 0}))
    [scan]
    layers = "all"
    matrices = ["attn.o"]
    seed = 0
    """
    return "\n".join(
        ["[scan]", *(f"{name} = {json.dumps(held)}" for name, held in settings.items() if held is not None)]
    )


def scan_command(run: Run) -> str:
    """The command that scans the run again, with its settings in a file beside; none of tokens in memory."""
    if run.series.provenance.probe.format == IN_MEMORY:
        return ""
    uris = [ref.uri for ref in run.series.refs]
    folder = (
        os.path.commonpath(uris)
        if len(uris) > 1 and len({os.path.isabs(uri) for uri in uris}) == 1
        else uris[0]
    )
    source = run.series.provenance.probe.source
    probe = ["--probe", "synthetic" if run.series.provenance.probe.synthetic else source] if source else []
    return _command(["spectra", "scan", folder or uris[0], "--config", SETTINGS_FILE, *probe])


def report_command(archives: Sequence[str], options: Mapping[str, Any], output: str) -> str:
    """The command that writes this page again."""
    given = [
        word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))
    ]
    return _command(["spectra", "report", *archives, *given, "-o", output])


def _command(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
