"""Which checkpoints of a series are meant, and what the user knows about them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from spectra_cli.api.asked.options import ON_ERROR, TABLES, skips_errors
from spectra_cli.cli.groups.group import OptionGroup, one_of, option
from spectra_cli.core.errors import UsageError
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.words.names import did_you_mean

_SAID = re.compile(r"(?P<table>model|scan)\.(?P<name>[A-Za-z_][\w-]*)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SelectionOptions(OptionGroup):
    """A choice of checkpoints; the options apply in this order."""

    panel = "Which checkpoints"

    steps: str = option(
        "0:20000:1000 (stop included), 500, 5000:, or a list of such.", default="", metavar="STEPS"
    )
    every: int | None = option("Of these, each N-th.", metavar="N")
    last: int | None = option("Of these, the last N.", metavar="N")
    limit: int | None = option("Of these, the first N.", metavar="N")
    on_error: str = option(
        "One that cannot be measured: fail, or skip it.",
        default="fail",
        metavar="HOW",
        offers=one_of(ON_ERROR),
    )

    def resolve(self) -> SeriesSelection:
        """The choice as one value.

        Raises:
            UsageError: words that cannot mean anything.
        """
        return SeriesSelection(steps=self.steps, every=self.every, last=self.last, limit=self.limit)

    @property
    def skips_errors(self) -> bool:
        """Whether what cannot be measured is to be left out.

        >>> SelectionOptions(on_error="skip").skips_errors, SelectionOptions().skips_errors
        (True, False)
        """
        return skips_errors(self.on_error)


@dataclass(frozen=True, kw_only=True)
class KnowledgeOptions(OptionGroup):
    """What the user says of the checkpoints, over what their files say."""

    panel = "What you know of them"

    log: str = option(
        "A training log, CSV or JSONL: FILE, or FILE:loss=COLUMN,... with its columns.",
        default="",
        metavar="FILE",
    )
    said: list[str] | None = option(
        "A fact about the model over that of its files, model.KEY=VALUE; or a setting of the scan as a run "
        "file calls it, scan.KEY=VALUE. Repeatable.",
        "--set",
        metavar="KEY=VALUE",
    )
    base: str = option("The model under adapters, if not the one that they name.", default="", metavar="PATH")
    model: str = option(
        "Your own builder of the model: package.module:function.", default="", metavar="FUNCTION"
    )
    trust_remote_code: bool = option("Run the model code that the checkpoints bring or name.", default=False)
    reference: str = option(
        "With --vectors: the checkpoint to compare with, if not the first.", default="", metavar="PATH"
    )

    def about(self, table: str) -> dict[str, Any]:
        """What `--set` says under `model` or `scan`.

        >>> KnowledgeOptions(said=["model.n_head=12", "scan.pool=last", "model.eot=none"]).about("model")
        {'n_head': 12, 'eot': 'none'}
        """
        facts = [_fact(words) for words in self.said or ()]
        return {name: value for where, name, value in facts if where == table}

    def resolve(self, selection: SeriesSelection) -> SeriesOptions:
        """How to open the series.

        Raises:
            UsageError: words that cannot mean anything.
        """
        return SeriesOptions(
            selection=selection,
            log=self.log,
            model=self.about("model"),
            base=self.base,
            builder=self.model,
            trust_remote_code=self.trust_remote_code,
            reference=self.reference,
        )


def _fact(words: str) -> tuple[str, str, Any]:
    """Table, name and value of `model.KEY=VALUE`; the value is TOML where it can be, else text.

    >>> _fact("model.variant=muon"), _fact("scan.measurements=['weight']")
    (('model', 'variant', 'muon'), ('scan', 'measurements', ['weight']))
    """
    match = _SAID.fullmatch(words)
    if match is None:
        raise UsageError(
            f"--set {words}{did_you_mean(words.partition('.')[0], TABLES)}: expected "
            "model.KEY=VALUE, such as model.num_attention_heads=12, or a setting of the scan, "
            "such as scan.pool=last"
        )
    table, name, text = match.groups()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    return table, name, value if isinstance(value, (bool, int, float, list, dict)) else str(value)
