"""Code of the user or the checkpoint at work: what it raises is told by name, place and message."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from spectra_cli.core.errors import OwnCodeError, SpectraError
from spectra_cli.extract.memory import is_out_of_memory

# of a message: torch names every tensor that does not fit
_LONGEST = 500
_OURS = str(Path(__file__).parents[2]) + os.sep
_TORCH = str(Path(torch.__file__).parent) + os.sep
# passes every operation on to torch, and is no cause of what that raises
_PASSES_ON = str(Path(__file__).with_name("transformers") / "dry_run.py")
_INSTALLED = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "purelib", "platlib"))


@contextmanager
def users_code(whose: str, name: str) -> Iterator[None]:
    """Run code of the user's, or of a checkpoint that the user trusts, inside.

    Args:
        whose: where the code is from, as the user named it; name: what is called, for the message.

    Raises:
        ModelError: in place of whatever the code raises, except for want of memory.
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # such code may raise anything, or end the program
        if isinstance(error, SpectraError) or is_out_of_memory(error):
            raise
        raise OwnCodeError(f"{whose}: {name} raised {told(error)}") from error


def raised_by_us(error: BaseException) -> bool:
    """Whether the innermost line that is not torch's is one of this package."""
    found = traceback.extract_tb(error.__traceback__)
    lines = [line.filename for line in found if not line.filename.startswith((_TORCH, _PASSES_ON))]
    return bool(lines) and lines[-1].startswith(_OURS)


def told(error: BaseException) -> str:
    """Kind, message and place of an error: the innermost line that is of no library, or of one other than
    torch; no place where there is none.
    """
    found = traceback.extract_tb(error.__traceback__)
    lines = [line for line in found if os.path.exists(line.filename)]
    lines = [line for line in lines if not line.filename.startswith((_OURS, _TORCH))]
    own = [line for line in lines if not line.filename.startswith(_INSTALLED)] or lines
    place = f" ({own[-1].filename}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
    message = str(error).strip() or "no message"
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]} ..."
    return f"{type(error).__name__}: {message}{place}"


def guarded(function: Callable[[Tensor], Tensor], whose: str, name: str) -> Callable[[Tensor], Tensor]:
    """`function`, a part of the user's model, under `users_code`."""

    def run(tensor: Tensor) -> Tensor:
        with users_code(whose, name):
            return function(tensor)

    return run
