"""Code of a library at work on a checkpoint's own values: whatever it raises is an error of that checkpoint.

Which exceptions a constructor raises over values that make no sense is nowhere promised: a list of them is
never complete, and one that is missing ends a whole series.

State-space layers run on plain PyTorch where their fast kernels are not installed, which is said once, as a
notice: transformers writes such warnings to standard error at the first forward pass, one a kernel, and then
keeps silent for the rest of the process, also about other models.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
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


_FALLBACK = re.compile(r"`(\w+)` is falling back to its reference .* because `([\w.-]+)` is not installed")


@contextmanager
def reference_kernels() -> Iterator[Mapping[str, str]]:
    """While open, kernel -> package that would bring its fast version; transformers says nothing of them.

    Every other warning passes.
    """
    from transformers.integrations import hub_kernels
    from transformers.utils.logging import warning_once

    found: dict[str, str] = {}

    def keep(record: logging.LogRecord) -> bool:
        match = _FALLBACK.match(record.getMessage())
        if match is not None:
            found[match[1]] = match[2]
        return match is None

    logger, level = hub_kernels.logger, hub_kernels.logger.level
    # what was said of an earlier model must be said of this one, too
    warning_once.cache_clear()
    logger.addFilter(keep)
    logger.setLevel(logging.WARNING)
    try:
        yield found
    finally:
        logger.removeFilter(keep)
        logger.setLevel(level)


def reference_notice(kernels: Mapping[str, str]) -> tuple[str, ...]:
    """One notice about what runs on plain PyTorch, none if nothing does."""
    if not kernels:
        return ()
    packages = ", ".join(sorted(set(kernels.values())))
    names = ", ".join(sorted(kernels))
    return (f"{names}: on plain PyTorch, the same numbers but slower; not installed: {packages}",)
