"""How an archive came to be, and what it says of its run: root attributes.

They tell when two scans may share one archive, where the run lies, and which checkpoints were asked for and
are missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spectra_cli.archive.content.canonical import json_text
from spectra_cli.archive.content.netcdf import create_dimension, create_variable, text_attribute
from spectra_cli.archive.content.notice_kinds import KINDS, kinds_of, with_kinds
from spectra_cli.core.errors import OtherRunError
from spectra_cli.core.types import ProbeInfo, Provenance

_PROBE_TEXT = ("digest", "source", "format", "targets", "tokenizer")
_PROBE_COUNTS = ("num_sequences", "sequence_length", "vocab_size")
# What the numbers depend on. Where the tokens were read from may change between two scans.
_PROBE_BINDING = ("digest", "targets", "num_sequences", "sequence_length", "synthetic")
# Settings that came later than archives that may be continued, and what leaving them out means.
_LATER_SETTINGS = {"num_vectors": 0}
_DIGEST = re.compile("[0-9a-f]{64}")
ORIGINS, WAITING, FAILED = "origins", "waiting", "failed"


def provenance_fields(provenance: Provenance) -> dict[str, Any]:
    """What the checkpoints of one archive share, as named JSON values."""
    probe = provenance.probe
    kinds = kinds_of(probe.notices)
    return {
        "settings": json_text(provenance.settings, what="settings"),
        "versions": json_text(provenance.versions, what="versions"),
        **{f"probe_{name}": getattr(probe, name) for name in _PROBE_TEXT},
        **{f"probe_{name}": int(getattr(probe, name)) for name in _PROBE_COUNTS},
        "probe_synthetic": int(probe.synthetic),
        "probe_notices": json_text(list(probe.notices), what="probe notices"),
        **({f"probe_{KINDS}": json_text(kinds, what="kinds of probe notices")} if kinds else {}),
        "probe_seed": None if probe.seed is None else int(probe.seed),
        "probe_start": [int(start) for start in probe.starts],
    }


def write_provenance(root: Any, provenance: Provenance) -> None:
    """Write what `provenance_fields` lists: attributes of the root, and one variable."""
    fields = provenance_fields(provenance)
    starts = np.array(fields.pop("probe_start"), dtype=np.int64)
    for name, value in fields.items():
        if isinstance(value, str):
            text_attribute(root, name, value)
        elif value is not None:
            root.attrs.create(name, value, dtype=np.int64)
    if starts.size:
        create_dimension(
            root, "probe_sequence", np.arange(starts.size), long_name="sequence of the probe, from 0"
        )
        create_variable(
            root,
            "probe_start",
            starts,
            ["probe_sequence"],
            long_name="first token of the sequence",
            units="tokens",
        )


def read_provenance(root: Any) -> Provenance:
    """The inverse of `write_provenance`; `execution` is empty, since it belongs to a checkpoint."""
    attributes = root.attrs
    seed = attributes.get("probe_seed")
    starts = root["probe_start"][()].tolist() if "probe_start" in root else ()
    texts: dict[str, Any] = {name: str(attributes[f"probe_{name}"]) for name in _PROBE_TEXT}
    counts: dict[str, Any] = {name: int(attributes[f"probe_{name}"]) for name in _PROBE_COUNTS}
    probe = ProbeInfo(
        **texts,
        **counts,
        seed=None if seed is None else int(seed),
        starts=tuple(starts),
        synthetic=bool(attributes["probe_synthetic"]),
        notices=with_kinds(
            json.loads(attributes["probe_notices"]), json.loads(attributes.get(f"probe_{KINDS}", "[]"))
        ),
    )
    return Provenance(
        settings=json.loads(attributes["settings"]), probe=probe, versions=json.loads(attributes["versions"])
    )


def scan_differences(expected: Provenance, found: Provenance) -> dict[str, str]:
    """Why checkpoints of two scans may not share an archive: name -> sentence, empty if they may.

    Compared are the settings, the probe's tokens and targets, and the version of the numerics.
    """
    pairs, others = _binding(expected), _binding(found)
    missing = object()

    def shown(value: object) -> str:
        return "not set" if value is missing else _in_words(value)

    names = dict.fromkeys([*pairs, *others])
    compared = ((name, pairs.get(name, missing), others.get(name, missing)) for name in names)
    return {name: f"{name}: {shown(a)} against {shown(b)}" for name, a, b in compared if repr(a) != repr(b)}


def _binding(provenance: Provenance) -> dict[str, object]:
    """What has to agree, by name."""
    settings = _LATER_SETTINGS | json.loads(json_text(provenance.settings, what="settings"))
    return {
        **_flat("settings", settings),
        **{f"probe.{name}": getattr(provenance.probe, name) for name in _PROBE_BINDING},
        "versions.numerics": provenance.versions.get("numerics"),
    }


def _in_words(value: object) -> str:
    """A setting as a reader knows it: lists by their entries, digests by their first digits."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value)) or "none"
    text = str(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else text


def _flat(prefix: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    return {
        path: leaf for key, inner in value.items() for path, leaf in _flat(f"{prefix}.{key}", inner).items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Of what run an archive or a part is, and what a scan still owes it; empty in files before format 1.3.

    Attributes:
        origins: where the run lies, as `origin_of` gives it: several once it was moved, or is seen from
            several machines.
        waiting: identity (`layout.identity`) of each checkpoint that a scan was asked for and that is not
            measured -> fingerprint of its files, empty where it cannot be read.
        failed: identity of those among them that could not be measured -> why.
    """

    origins: tuple[str, ...] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """What is written and digested, as named values: only those that say something."""
        values = {
            ORIGINS: sorted(self.origins),
            WAITING: dict(self.waiting),
            FAILED: dict(self.failed),
        }
        return {name: value for name, value in values.items() if value}

    def owed(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What is not there: `waiting` and `failed`."""
        return self.waiting, self.failed

    def without(self, measured: Iterable[str]) -> Statement:
        """The same once these checkpoints are measured."""
        done = set(measured)
        waiting = {name: files for name, files in self.waiting.items() if name not in done}
        failed = {name: why for name, why in self.failed.items() if name in waiting}
        return Statement(origins=self.origins, waiting=waiting, failed=failed)


NOTHING_SAID = Statement()


def write_statement(root: Any, statement: Statement) -> None:
    """Write `Statement.fields` as attributes of the root, each as JSON."""
    for name, value in statement.fields().items():
        text_attribute(root, name, json_text(value, what=name))


def read_statement(root: Any) -> Statement:
    """The inverse of `write_statement`."""
    found = {n: json.loads(root.attrs[n]) for n in (ORIGINS, WAITING, FAILED) if n in root.attrs}
    return statement_from(found)


def statement_from(fields: Mapping[str, Any]) -> Statement:
    """The statement with such `fields`; what else is among them is ignored."""
    return Statement(
        origins=tuple(fields.get(ORIGINS, ())),
        waiting=dict(fields.get(WAITING, {})),
        failed=dict(fields.get(FAILED, {})),
    )


def together(statements: Iterable[Statement], measured: Iterable[str]) -> Statement:
    """What several files say of one run, of which these checkpoints are measured."""
    origins: dict[str, None] = {}
    waiting: dict[str, str] = {}
    failed: dict[str, str] = {}
    for one in statements:
        origins |= dict.fromkeys(one.origins)
        waiting |= one.waiting
        failed |= one.failed
    return Statement(origins=tuple(sorted(origins)), waiting=waiting, failed=failed).without(measured)


def check_one_run(path: Path, statements: Mapping[Path, Statement]) -> None:
    """Refuse files of one archive that say they are of different runs.

    Two files are of one run where an origin is common to both, or to others between them; a file that says
    none is not judged.

    Raises:
        ArchiveError: two of them are of different runs.
    """
    named = {file: set(one.origins) for file, one in statements.items() if one.origins}
    if not named:
        return
    first, reached = next(iter(named.items()))
    reached, left = set(reached), dict(named)
    while joined := [file for file, origins in left.items() if origins & reached]:
        for file in joined:
            reached |= left.pop(file)
    for file, origins in left.items():
        raise OtherRunError(
            f"{path} would hold two runs: {first} is of {', '.join(sorted(named[first]))} and {file} of "
            f"{', '.join(sorted(origins))}. Scan each run into its own archive with -o, or remove one of "
            "these files."
        )
