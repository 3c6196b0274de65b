"""The table of checkpoints: one row each along the root dimension `checkpoint`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectra_cli.archive.content.canonical import (
    content_digest,
    info_fields,
    json_text,
    ref_fields,
    skipped_fields,
)
from spectra_cli.archive.content.netcdf import (
    create_checkpoint_axis,
    create_variable,
    read_text,
    text_attribute,
)
from spectra_cli.archive.content.notice_kinds import KINDS, kinds_of, with_kinds
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import CheckpointInfo, CheckpointRef, CheckpointSpectra, Site, Skipped, Status

TEXT_COLUMNS = {
    "key": "name of the checkpoint inside its run",
    "label": "what tells two checkpoints of one step apart",
    "run": "name of the run",
    "uri": "where the checkpoint was",
    "format": "checkpoint format",
    "family": "model family that read it",
    "architecture": "class or variant named by its files",
    "digest": "sha256 of the tensors",
    "fingerprint": "cheap identity of the files",
    "content_digest": "sha256 of everything archived of the checkpoint",
}
JSON_COLUMNS = {
    "sources": "JSON: where each value was read",
    "notices": "JSON: what to know about how it was read",
    KINDS: "JSON: kind of each notice; empty where all are of the kind other",
    "versions": "JSON: software that measured it",
    "execution": "JSON: how it was run",
    "skipped": "JSON: what was asked for and not measured",
    "unknown": "JSON: names of the values that nothing says",
    "facts": "JSON: what the user says about the run",
}
_COUNTS = {"tokens_seen": "training tokens up to this step", "batch_size_tokens": "tokens of one step"}
_NUMBERS = {
    "train_loss": ("training loss at this step", "nats per token"),
    "eval_loss": ("evaluation loss at this step", "nats per token"),
    "learning_rate": ("learning rate of this step", ""),
}
_OPTIONAL = ("step", *_COUNTS, *_NUMBERS)
COLUMNS = ("step", *TEXT_COLUMNS, *JSON_COLUMNS, *_COUNTS, *_NUMBERS, "num_parameters")
_NO_KINDS = "[]"
_SINCE_1_1 = frozenset({"batch_size_tokens", "learning_rate", "facts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Everything about one checkpoint that is not a measurement."""

    ref: CheckpointRef
    info: CheckpointInfo
    versions: Mapping[str, str]
    execution: Mapping[str, Any]
    skipped: tuple[Skipped, ...]
    content_digest: str


def required_columns(root: Any) -> tuple[str, ...]:
    """The columns that a file of its version must have; values without a column are unknown."""
    lacking = set(_SINCE_1_1) if root.attrs.get("format_version") == "1.0" else set()
    if KINDS not in root:  # written where some notice has a kind
        lacking.add(KINDS)
    return tuple(name for name in COLUMNS if name not in lacking)


def columns_of(checkpoint: CheckpointSpectra) -> dict[str, Any]:
    """The row of one checkpoint as column -> value, None where nothing is known.

    Raises:
        ArchiveError: a value that the archive cannot carry.
    """
    ref, info = checkpoint.ref, checkpoint.info
    counts = {"step": ref.step, **{name: getattr(info, name) for name in _COUNTS}}
    for name, count in counts.items():
        if count is not None and count < 0:
            raise ArchiveError(f"cannot archive {ref.uri}: {name} is {count}, expected a count of at least 0")
    values = dict.fromkeys(_OPTIONAL) | {"facts": {}} | ref_fields(ref) | info_fields(info)
    values |= {
        "versions": dict(checkpoint.provenance.versions),
        "execution": dict(checkpoint.provenance.execution),
        "skipped": skipped_fields(checkpoint),
        KINDS: kinds_of(info.notices),
        "unknown": [name for name in _OPTIONAL if values[name] is None],
    }
    texts = {name: json_text(values[name], what=f"{name} of {ref.uri}") for name in JSON_COLUMNS}
    return {**values, **texts, "key": ref.key, "content_digest": content_digest(checkpoint)}


def write_table(root: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows made by `columns_of`."""
    text_attribute(root, "coordinates", "step key")
    create_checkpoint_axis(root, [row["step"] for row in rows])
    along = ["checkpoint"]
    for name, long_name in {**TEXT_COLUMNS, **JSON_COLUMNS}.items():
        if name == KINDS and all(row[KINDS] == _NO_KINDS for row in rows):
            continue
        create_variable(root, name, [row[name] for row in rows], along, long_name=long_name)
    for name, long_name in _COUNTS.items():
        counts = np.array([-1 if r[name] is None else r[name] for r in rows], dtype=np.int64)
        create_variable(root, name, counts, along, long_name=long_name, units="tokens", fill=-1)
    for name, (long_name, units) in _NUMBERS.items():
        numbers = np.array([np.nan if r[name] is None else r[name] for r in rows], dtype=np.float64)
        create_variable(root, name, numbers, along, long_name=long_name, units=units, fill=np.nan)
    parameters = np.array([r["num_parameters"] for r in rows], dtype=np.int64)
    create_variable(root, "num_parameters", parameters, along, long_name="distinct parameters")


def read_columns(root: Any) -> list[dict[str, Any]]:
    """The rows of a table as column -> value: what `columns_of` gave."""
    are_text = {*TEXT_COLUMNS, *JSON_COLUMNS}
    columns = {
        name: read_text(root, name) if name in are_text else root[name][()].tolist()
        for name in required_columns(root)
    }
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        row |= dict.fromkeys(json.loads(row["unknown"]))
    return rows


def digested(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What of a row the table's digest covers: kinds of notices where some notice has one."""
    return {name: value for name, value in columns.items() if name != KINDS or value != _NO_KINDS}


def row_of(columns: Mapping[str, Any]) -> Row:
    """One row as core values."""
    parsed = {name: json.loads(columns[name]) for name in JSON_COLUMNS if name in columns}
    ref = CheckpointRef(**{name: columns[name] for name in ("run", "step", "uri", "format", "label")})
    plain = ("num_parameters", "family", "architecture", "digest", "fingerprint", *_COUNTS, *_NUMBERS)
    info = CheckpointInfo(
        **{name: columns[name] for name in plain if name in columns},
        facts=parsed.get("facts", {}),
        sources=parsed["sources"],
        notices=with_kinds(parsed["notices"], parsed.get(KINDS, ())),
    )
    skipped = tuple(
        Skipped(
            measurement=s["measurement"],
            site=Site.parse(s["site"], name=s["site_name"]),
            status=Status(s["status"]),
            reason=s["reason"],
        )
        for s in parsed["skipped"]
    )
    return Row(
        ref=ref,
        info=info,
        versions=parsed["versions"],
        execution=parsed["execution"],
        skipped=skipped,
        content_digest=columns["content_digest"],
    )
