"""The JSON files beside weights: configurations, indices, trainer states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spectra_cli.core.errors import CheckpointError


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        CheckpointError: missing, not JSON, or JSON of another kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
