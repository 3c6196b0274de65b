"""The JSON files beside weights: configurations, indices, trainer states."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError

_MAX_BYTES = 1 << 30


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; whole numbers that 64 bits do not hold become floats.

    Raises:
        CheckpointError: missing, no regular file, not JSON, or JSON of another kind.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
            raise CheckpointError(
                f"{path}: expected a JSON file of at most {_MAX_BYTES} bytes, found {found.st_size} bytes of "
                f"mode {stat.filemode(found.st_mode)}; replace it or move it away"
            )
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=_number)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _number(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(digits)
