"""Options that say which checkpoints of a series are meant, and what the user knows about them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from spectra_cli.core.errors import UsageError
from spectra_cli.core.series_options import SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection

StepsOption = Annotated[
    str,
    typer.Option("--steps", help="Which checkpoints: 0:20000:1000 (stop included), 500, 5000:, or a list."),
]
EveryOption = Annotated[int | None, typer.Option("--every", help="Of these, each N-th.", metavar="N")]
LastOption = Annotated[int | None, typer.Option("--last", help="Of these, the last N.", metavar="N")]
LimitOption = Annotated[int | None, typer.Option("--limit", help="Of these, the first N.", metavar="N")]
LogOption = Annotated[
    str,
    typer.Option("--log", help="A CSV or JSONL training log: FILE, or FILE:step=COLUMN,loss=COLUMN,..."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A fact about the model over that of its files: model.KEY=VALUE. Repeatable."),
]
BaseOption = Annotated[
    str, typer.Option("--base", help="The model under adapters, if not the one that they name.")
]
ModelOption = Annotated[
    str, typer.Option("--model", help="Your own builder of the model: package.module:function.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the model code that the checkpoints bring or name.")
]
ReferenceOption = Annotated[
    str,
    typer.Option("--reference", help="With --vectors: the checkpoint to compare with, if not the first."),
]

_SETTING = re.compile(r"scan\.(?P<name>\w+)")
_FLAGS = {
    "layers": "--layers",
    "matrices": "--matrices",
    "measurements": "--measure",
    "normalize": "--normalize",
    "num_sequences": "--sequences",
    "num_gradient_sequences": "--gradient-sequences",
    "sequence_length": "--sequence-length",
    "targets": "--targets",
    "dtype": "--dtype",
    "seed": "--seed",
    "num_vectors": "--vectors",
}
_FACT = re.compile(r"model\.(?P<name>[A-Za-z_][\w-]*)=(?P<value>.*)", re.DOTALL)


def series_options(
    *,
    steps: str,
    every: int | None,
    last: int | None,
    limit: int | None,
    log: str,
    facts: Sequence[str] | None,
    base: str,
    builder: str,
    trust_remote_code: bool,
    reference: str = "",
) -> SeriesOptions:
    """The words of the command line as one value.

    Raises:
        UsageError: words that cannot mean anything.
    """
    return SeriesOptions(
        selection=SeriesSelection(steps=steps, every=every, last=last, limit=limit),
        log=log,
        model=dict(_fact(words) for words in facts or ()),
        base=base,
        builder=builder,
        trust_remote_code=trust_remote_code,
        reference=reference,
    )


def _fact(words: str) -> tuple[str, Any]:
    """Name and value of `model.KEY=VALUE`; the value is TOML where it can be, else text.

    >>> _fact("model.num_heads=12"), _fact("model.variant=muon"), _fact("model.windows=[128, 256]")
    (('num_heads', 12), ('variant', 'muon'), ('windows', [128, 256]))
    """
    match = _FACT.fullmatch(words)
    if (setting := _SETTING.match(words)) is not None:
        flag = _FLAGS.get(setting["name"])
        how = "" if flag is None else f" with {flag}, or"
        raise UsageError(
            f"--set {words}: --set states facts about the model (model.KEY=VALUE); a setting of the scan is "
            f"said{how} in the table [scan] of a file for --config"
        )
    if match is None:
        raise UsageError(f"--set {words}: expected model.KEY=VALUE, such as model.num_attention_heads=12")
    try:
        value = tomllib.loads(f"value = {match['value']}")["value"]
    except (ValueError, RecursionError):
        value = match["value"]
    return match["name"], value if isinstance(value, (bool, int, float, list, dict)) else str(value)
