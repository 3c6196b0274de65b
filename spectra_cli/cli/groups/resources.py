"""What a scan may use: device, memory, batch size. They change the numbers by rounding only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spectra_cli.cli.groups.group import OptionGroup, one_of, option
from spectra_cli.core.words.numbers import memory_bytes


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
