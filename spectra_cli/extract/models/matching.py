"""The tensors of a file against those of a model: the same names and shapes, or an error with the list.

A header describes them as well: names, shapes and dtypes, no values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from spectra_cli.core.errors import ContradictionError, ModelError
from spectra_cli.core.types import CheckpointRef
from spectra_cli.core.words.names import listed
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.protocols import TensorHeader

Shape = tuple[int, ...]

META = torch.device("meta")
_NUM_LISTED = 20


def require_match(
    ref: CheckpointRef,
    architecture: str,
    *,
    missing: Collection[str],
    unexpected: Collection[str],
    mismatched: Mapping[str, tuple[Shape, Shape]],
    advice: str = "",
) -> None:
    """Nothing, if the file fits the model.

    Args:
        ref: the checkpoint, for the message.
        architecture: the model, for the message.
        missing: tensors of the model that the file lacks.
        unexpected: tensors of the file that the model has no place for.
        mismatched: name -> (shape in the file, shape in the model).
        advice: a last sentence.

    Raises:
        ModelError: with the three lists.
    """
    shapes = [
        f"{name} {found} in the file, {expected} expected" for name, (found, expected) in mismatched.items()
    ]
    lists = {"missing": sorted(missing), "unexpected": sorted(unexpected), "of another shape": sorted(shapes)}
    found = "; ".join(
        f"{len(names)} {what}: {listed(names, _NUM_LISTED)}" for what, names in lists.items() if names
    )
    if found:
        raise ContradictionError(
            f"{ref.uri}: its tensors do not fit {architecture}: {found}. "
            "The file is incomplete, or its configuration describes another model."
            f"{advice and f' {advice}'}"
        )


def compare_shapes(
    ref: CheckpointRef, architecture: str, *, found: Mapping[str, Shape], expected: Mapping[str, Shape]
) -> None:
    """Nothing, if both have the same names with the same shapes.

    Raises:
        ModelError: with what is missing, unexpected or of another shape.
    """
    common = found.keys() & expected.keys()
    require_match(
        ref,
        architecture,
        missing=expected.keys() - found.keys(),
        unexpected=found.keys() - expected.keys(),
        mismatched={n: (found[n], expected[n]) for n in common if found[n] != expected[n]},
    )


def require_floating(ref: CheckpointRef, dtypes: Mapping[str, torch.dtype]) -> None:
    """Nothing, if all weights are floating-point numbers, which others would silently become.

    Raises:
        ModelError: integers, truth values or complex numbers, by name.
    """
    strange = [
        f"{name} ({str(dtype).removeprefix('torch.')})"
        for name, dtype in sorted(dtypes.items())
        if not dtype.is_floating_point
    ]
    if strange:
        raise ModelError(
            f"{ref.uri}: {counted(len(strange), 'weight')} {agreed(len(strange), 'holds', 'hold')} no "
            "floating-point numbers: "
            f"{listed(strange, _NUM_LISTED)}. They are quantised, or damaged: save them in float32, "
            "float16 or bfloat16"
        )


def without_values(headers: Mapping[str, TensorHeader]) -> dict[str, Tensor]:
    """Each of these tensors, on the meta device."""
    return {name: torch.empty(one.shape, dtype=one.dtype, device=META) for name, one in headers.items()}
