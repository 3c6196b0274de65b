"""State-space layers run on plain PyTorch where their fast kernels are not installed: said once, as a notice.

transformers writes such warnings to standard error at the first forward pass, one a kernel, and then
keeps silent for the rest of the process, also about other models.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping

_FALLBACK = re.compile(r"`(\w+)` is falling back to its reference .* because `([\w.-]+)` is not installed")


@contextlib.contextmanager
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
