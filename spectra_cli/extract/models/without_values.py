"""The tensors of a checkpoint as its header describes them: names, shapes and dtypes, no values."""

from __future__ import annotations

import torch
from torch import Tensor

from spectra_cli.extract.protocols import CheckpointHeader

META = torch.device("meta")


def without_values(header: CheckpointHeader) -> dict[str, Tensor]:
    """Every tensor of the header, on the meta device."""
    return {n: torch.empty(t.shape, dtype=t.dtype, device=META) for n, t in header.tensors.items()}
