"""A model run on the meta device: shapes alone, for settings that only a forward pass meets.

A window of 0, no group of experts: nothing is wrong with them until the code comes to them. Without values,
what the code asks of a tensor is answered as of ordinary tokens, all of which go to the first expert.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.transformers.causal_lm import NUM_TOKENS
from spectra_cli.extract.protocols import Model

_aten = torch.ops.aten
_ASKED = (_aten.item.default, _aten._local_scalar_dense.default, _aten.is_nonzero.default)


def run_without_values(model: Model) -> bool:
    """Whether the code of a skeleton comes to the end of a few tokens; not where only values decide what is
    next, or an operation knows no tensors without.

    Raises:
        ModelError: what it raises before.
    """
    length = max(1, min(NUM_TOKENS, model.max_length or NUM_TOKENS))
    tokens = torch.zeros(1, length, dtype=torch.int64, device="meta")
    try:
        with torch.no_grad(), _Answers():  # type: ignore[no-untyped-call]
            model.head(model.trunk(tokens))
    except ModelError as error:
        if not _is_for_want_of_values(error.__cause__, model):
            raise
        return False
    finally:
        model.kernels.clear()
    return True


class _Answers(TorchDispatchMode):
    """Answers what meta tensors cannot: yes, zero, all in the first bin."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in _ASKED and args[0].is_meta:
            return True if args[0].dtype == torch.bool else args[0].new_zeros((), device="cpu").item()
        if function is _aten.bincount.default and args[0].is_meta:
            counts = torch.zeros(max(1, (kwargs or {}).get("minlength", 0)), dtype=torch.int64)
            counts[0] = args[0].numel()
            return counts
        return function(*args, **(kwargs or {}))


def _is_for_want_of_values(error: BaseException | None, model: Model) -> bool:
    """Whether an operation has no kernel for tensors without values, or a result whose size they decide;
    of an architecture that is not known by name, whatever torch itself raises.
    """
    if isinstance(error, RuntimeError) and not model.recognised:
        return True
    return isinstance(error, NotImplementedError) or "meta" in str(error).lower()
