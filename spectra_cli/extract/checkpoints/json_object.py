"""The JSON files beside weights: configurations, indices, trainer states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.stored_file import StoredFile

_MAX_BYTES = 1 << 30


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; whole numbers that 64 bits do not hold become floats.

    Raises:
        CheckpointError: missing, no regular file, not JSON, or JSON of another kind.
    """
    try:
        with StoredFile(path) as file:
            if file.size > _MAX_BYTES:
                raise CheckpointError(
                    f"{path}: expected a JSON file of at most {_MAX_BYTES} bytes, found {file.size} bytes; "
                    "replace it or move it away"
                )
            text = file.read(0, file.size).decode()
        content = json.loads(text, parse_int=_number)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: it is not there; copy it from where the checkpoint was saved"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _number(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(digits)
