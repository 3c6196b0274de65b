"""The user's own code at work: what it raises is told by name, place and message, not by a traceback."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError, SpectraError

# of a message: torch names every tensor that does not fit
_LONGEST = 500
_ROOT = Path(__file__).parents[2]
_LIBRARIES = tuple(str(path) + os.sep for path in (_ROOT, Path(torch.__file__).parent))


@contextmanager
def users_code(word: str, name: str) -> Iterator[None]:
    """Run code of the user's inside.

    Args:
        word: the builder, as the user named it; name: what is called, for the message.

    Raises:
        ModelError: in place of whatever the code raises.
    """
    try:
        yield
    except (SpectraError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"--model {word}: {name} raised {told(error)}") from error


def told(error: BaseException) -> str:
    """Kind, message and place of an error: the innermost line that is neither torch's nor this package's,
    no place where there is none.
    """
    lines = traceback.extract_tb(error.__traceback__)
    own = [line for line in lines if os.path.exists(line.filename)]
    own = [line for line in own if not line.filename.startswith(_LIBRARIES)]
    place = f" ({own[-1].filename}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
    message = str(error).strip() or "no message"
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]} ..."
    return f"{type(error).__name__}: {message}{place}"


def guarded(function: Callable[[Tensor], Tensor], word: str, name: str) -> Callable[[Tensor], Tensor]:
    """`function`, a part of the user's model, under `users_code`."""

    def run(tensor: Tensor) -> Tensor:
        with users_code(word, name):
            return function(tensor)

    return run
