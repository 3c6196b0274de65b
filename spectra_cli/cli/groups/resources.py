"""What a scan may use: device, memory, batch size. They change the numbers by rounding only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from spectra_cli.cli.groups.completion import one_of
from spectra_cli.cli.groups.group import OptionGroup, option
from spectra_cli.core.errors import UsageError

# Powers of ten and of two that a unit stands for.
_UNITS = {"": (0, 0), "K": (3, 10), "M": (6, 20), "G": (9, 30), "T": (12, 40)}
# A number without a unit below this forgot its unit: no model fits into it.
_FEWEST_BYTES = 10**6
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ResourceOptions(OptionGroup):
    """Where a scan runs, and what it may take there."""

    panel = "Resources"

    device: str = option(
        "auto, cpu, cuda or cuda:N.",
        default="auto",
        metavar="DEVICE",
        offers=one_of(("auto", "cpu", "cuda")),
    )
    memory: str | None = option("Budget such as 8GiB; 70 % of the device's by default.", metavar="SIZE")
    batch_size: int | None = option(
        "Sequences a batch; by itself if unset.", "--batch-size", "-b", least=1, metavar="N"
    )

    def resolve(self) -> dict[str, Any]:
        """The values of `Resources`, by name."""
        budget = None if self.memory is None else memory_bytes(self.memory)
        return {"device": self.device, "memory_bytes": budget, "batch_size": self.batch_size}


def memory_bytes(words: str) -> int:
    """Bytes of a size such as `8GiB`, `500MB` or plain `8000000000`.

    >>> memory_bytes("1.5GiB")
    1610612736
    >>> memory_bytes("8000000000")
    8000000000
    >>> memory_bytes("2GB")
    2000000000
    """
    match = _MEMORY.fullmatch(words.strip())
    if match is None:
        raise UsageError(f"--memory {words}: expected a size such as 8GiB, 500MB or 8000000000")
    number, unit, binary = match.groups()
    if not unit and float(number) < _FEWEST_BYTES:
        raise UsageError(f"--memory {words}: {number} bytes hold no model; expected a unit too, as in 8GiB")
    ten, two = _UNITS[unit.upper()]
    return int(float(number) * (2**two if binary else 10**ten))
