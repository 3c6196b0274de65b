"""One spelling for everything: canonical JSON, and the digests that prove what was read.

HDF5 protects its own structure, not the numbers in it. So every checkpoint carries a digest of its
values, and the table of checkpoints a digest of itself; a flipped bit is an error and never a number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    Scalar,
    Site,
    Spectrum,
    Vectors,
)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r}")


def json_text(value: object, *, what: str) -> str:
    """`value` as JSON, the same text for the same value.

    >>> json_text({"b": (1, 2), "a": None}, what="settings")
    '{"a":null,"b":[1,2]}'

    Raises:
        ArchiveError: something in it is no JSON value.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ArchiveError(
            f"cannot archive {what}: {error} is not a JSON value. "
            "Expected None, booleans, finite numbers, text, lists and mappings with text keys."
        ) from error


def text_digest(value: object) -> str:
    """sha256 of JSON text, NaN and infinities allowed."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def ref_fields(ref: CheckpointRef) -> dict[str, Any]:
    """A reference as named values."""
    return {"run": ref.run, "step": ref.step, "uri": ref.uri, "format": ref.format, "label": ref.label}


def info_fields(info: CheckpointInfo) -> dict[str, Any]:
    """What a checkpoint says about itself, as named values.

    Values that came with format 1.1 are there only where they are known, so that the digests of older
    files still hold.
    """
    newer = {
        "batch_size_tokens": info.batch_size_tokens,
        "learning_rate": None if info.learning_rate is None else float(info.learning_rate),
        "facts": dict(info.facts) or None,
    }
    return {name: value for name, value in newer.items() if value is not None} | {
        "tokens_seen": info.tokens_seen,
        "train_loss": None if info.train_loss is None else float(info.train_loss),
        "eval_loss": None if info.eval_loss is None else float(info.eval_loss),
        "num_parameters": int(info.num_parameters),
        "family": info.family,
        "architecture": info.architecture,
        "digest": info.digest,
        "fingerprint": info.fingerprint,
        "sources": dict(info.sources),
        "notices": list(info.notices),
    }


def skipped_fields(checkpoint: CheckpointSpectra) -> list[dict[str, str]]:
    """What was asked for and not measured, as named values."""
    return [
        {
            "measurement": s.measurement,
            "site": s.site.address,
            "site_name": s.site.name,
            "status": s.status.value,
            "reason": s.reason,
        }
        for s in checkpoint.skipped
    ]


def _site_fields(site: Site | None) -> list[str] | None:
    return None if site is None else [site.address, site.name]


def _array_digest(array: NDArray[Any]) -> str:
    little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little_endian.tobytes()).hexdigest()


def vectors_digest(vectors: Vectors | None) -> str:
    """sha256 of a spectrum's vectors; empty without any.

    It is archived beside them, so that what stands beside vectors can be verified without reading them.
    """
    if vectors is None:
        return ""
    sides = [vectors.right] if vectors.left is None else [vectors.right, vectors.left]
    return text_digest([[*side.shape, _array_digest(side)] for side in sides])


def _spectrum_fields(spectrum: Spectrum, vectors: str) -> list[Any]:
    has_profile = spectrum.block_profile is not None and bool(spectrum.block_sizes)
    return [
        spectrum.measurement,
        _site_fields(spectrum.site),
        spectrum.kind.value,
        spectrum.unit,
        int(spectrum.num_samples),
        int(spectrum.ambient_dim),
        bool(spectrum.centered),
        float(spectrum.zero_threshold),
        [int(size) for size in spectrum.block_sizes],
        _array_digest(spectrum.values),
        _array_digest(spectrum.block_profile) if has_profile and spectrum.block_profile is not None else "",
        # only where there are some, so that the digests of older files still hold
        *([vectors] if vectors else []),
    ]


def _scalar_fields(scalar: Scalar) -> list[Any]:
    return [
        scalar.measurement,
        scalar.name,
        _site_fields(scalar.site),
        scalar.unit,
        float(scalar.value),
        scalar.status.value,
        [int(size) for size in scalar.block_sizes],
        _array_digest(scalar.delete_one_block),
    ]


def content_digest(checkpoint: CheckpointSpectra, unread: Mapping[tuple[str, str], str] | None = None) -> str:
    """sha256 over everything that an archive keeps of one checkpoint, arrays bit for bit.

    Settings and probe belong to the archive as a whole and are covered by its table digest.

    Args:
        checkpoint: what was measured.
        unread: (measurement, address) -> digest of the vectors that were left in the file.
    """
    vectors = {(s.measurement, s.site.address): vectors_digest(s.vectors) for s in checkpoint.spectra} | dict(
        unread or {}
    )
    return text_digest(
        [
            ref_fields(checkpoint.ref),
            info_fields(checkpoint.info),
            dict(checkpoint.provenance.versions),
            dict(checkpoint.provenance.execution),
            skipped_fields(checkpoint),
            [_spectrum_fields(s, vectors[s.measurement, s.site.address]) for s in checkpoint.spectra],
            [_scalar_fields(s) for s in checkpoint.scalars],
        ]
    )
