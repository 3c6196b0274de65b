"""Code of a library at work on a checkpoint's own values: whatever it raises is an error of that checkpoint.

Which exceptions a constructor raises over values that make no sense is nowhere promised: a list of them is
never complete, and one that is missing ends a whole series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from spectra_cli.core.errors import ModelError, SpectraError
from spectra_cli.extract.memory import is_out_of_memory
from spectra_cli.extract.models.users_code import raised_by_us, told


@contextmanager
def library_code(where: str, finding: str) -> Iterator[None]:
    """Run code that is not ours inside.

    Args:
        where: the checkpoint, for the message; finding: what it means that the code raised.

    Raises:
        ModelError: in place of whatever the code raises, with its kind, message and place; not for want of
            memory, nor of what code of this package raised inside (a hook, say): that is a defect of ours.
    """
    try:
        yield
    except Exception as error:  # see above
        if isinstance(error, SpectraError) or is_out_of_memory(error) or raised_by_us(error):
            raise
        raise ModelError(f"{where}: {finding}: {told(error)}") from error


def in_library(function: Callable[[Tensor], Tensor], where: str, finding: str) -> Callable[[Tensor], Tensor]:
    """`function`, a part of a library's model, under `library_code`."""

    def run(tensor: Tensor) -> Tensor:
        with library_code(where, finding):
            return function(tensor)

    return run


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no loading report: every finding is an error or a notice here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
