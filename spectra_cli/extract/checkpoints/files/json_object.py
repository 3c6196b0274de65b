"""The JSON files beside weights: configurations, indices, trainer states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectra_cli.core.bounded_text import parse_json, too_large
from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.checkpoints.files.stored_file import StoredFile

# an index of a thousand shards has ten million
_MOST_BYTES = 1 << 26
_MOST_DIGITS = 4300  # Python's own limit


def read_json_object(path: Path, *, most_bytes: int = _MOST_BYTES) -> dict[str, Any]:
    """The JSON object in `path`; whole numbers that 64 bits do not hold become floats.

    Args:
        path: the file.
        most_bytes: it may have; a larger one is refused before it is read.

    Raises:
        CheckpointError: missing, no regular file, not JSON, or JSON of another kind.
    """
    try:
        with StoredFile(path) as file:
            if file.size > most_bytes:
                raise CheckpointError(too_large(str(path), file.size, most_bytes))
            text = file.read(0, file.size).decode()
        content = parse_json(text, parse_int=_number)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: it is not there; copy it from where the checkpoint was saved"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}; make it readable, or copy it again"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "its lists and objects are nested too deeply" if isinstance(error, RecursionError) else error
        raise CheckpointError(
            f"{path}: cannot be read as JSON: {reason}; it is damaged or half-written: copy or save it again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a JSON object, found {type(content).__name__}; copy or save it again"
        )
    return content


def _number(digits: str) -> int | float:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, where at most {_MOST_DIGITS} are read")
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(digits)
