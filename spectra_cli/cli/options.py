"""Options that more than one command takes, and how their words become values."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from spectra_cli.core.bounded_text import read_bounded
from spectra_cli.core.errors import UsageError
from spectra_cli.core.measurements import SCANNED
from spectra_cli.core.settings import ScanSettings, resolve_settings
from spectra_cli.core.suggestions import did_you_mean

CheckpointsArgument = Annotated[
    str,
    typer.Argument(
        metavar="CKPT_DIR",
        help="A run folder, one checkpoint, or org/name@revision in the hub's cache.",
    ),
]
ArchiveArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="An archive, or the checkpoint folder that was scanned in this directory."
    ),
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Named settings: default, quick, or paper-compat.")
]
LayersOption = Annotated[
    str | None, typer.Option("--layers", help="all, five, paper-d12, or a list such as 0,3,6-9.")
]
MatricesOption = Annotated[
    str | None,
    typer.Option(
        "--matrices",
        help="all, or components such as attn.o,mlp.down,attn.q,lm_head,'experts.*.down'.",
    ),
]
MeasureOption = Annotated[
    str | None,
    typer.Option(
        "--measure",
        help="Which spectra: activations,gradients,weights (all three by default), updates.",
    ),
]
NormalizeOption = Annotated[
    str | None, typer.Option("--normalize", help="Rows before the covariance: rms, none, or final.")
]
SequencesOption = Annotated[
    int | None, typer.Option("--sequences", help="Sequences of the covariance probe.")
]
GradientSequencesOption = Annotated[
    int | None, typer.Option("--gradient-sequences", help="Sequences of the gradient probe.")
]
LengthOption = Annotated[int | None, typer.Option("--sequence-length", "-T", help="Tokens a sequence.")]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        help="next_token: T targets from T + 1 ids; ignore_last: T ids, the last without a target.",
    ),
]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="Of the passes: float32, bfloat16 (autocast) or float64.")
]
VectorsOption = Annotated[
    int | None,
    typer.Option("--vectors", metavar="K", help="Keep K leading vectors a spectrum, for spectra drift."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of the choice of sequences.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", help="Budget such as 8GiB; 70 % of the device's by default.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A TOML run file with any of the settings; flags win.")
]
ProbeOption = Annotated[
    str, typer.Option("--probe", help="Tokens for every checkpoint: .bin, .npy, .pt, text; or synthetic.")
]
TokenizerOption = Annotated[
    str | None, typer.Option("--tokenizer", help="For text probes: a tokenizer's folder or file.")
]
ProbeFormatOption = Annotated[
    str | None, typer.Option("--probe-format", help="Overrules the suffix: text, jsonl, bin-uint16, ...")
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", "-b", min=1, help="Sequences a batch; by itself if unset.")
]
OnErrorOption = Annotated[
    str, typer.Option("--on-error", help="A checkpoint that cannot be measured: fail, or skip it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

_Choice = TypeVar("_Choice", bound=StrEnum)

# Exit code where some checkpoints were left out.
DONE_IN_PART = 4

_MOST_BYTES = 1 << 20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
# A number without a unit below this forgot its unit: no model fits into it.
_FEWEST_BYTES = 10**6
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def settings_from(preset: str | None, config: Path | None, flags: Mapping[str, Any]) -> ScanSettings:
    """The preset, then the run file, then the flags: later ones win.

    Raises:
        UsageError: an unknown preset, setting or value; a run file that cannot be read.
    """
    from_file = {} if config is None else _read_config(config)
    preset_in_file = from_file.pop("preset", "default")
    given = {name: value for name, value in flags.items() if value is not None}
    if "measurements" in given:
        given["measurements"] = _measurements(given["measurements"])
    if "matrices" in given:
        given["matrices"] = tuple(given["matrices"].replace(" ", "").split(","))
    if config is not None:
        try:
            resolve_settings(preset_in_file, from_file)
        except UsageError as error:
            raise UsageError(f"--config {config}: {error}") from error
    return resolve_settings(preset or preset_in_file, from_file | given)


def _measurements(words: str) -> tuple[str, ...]:
    asked = [word.strip() for word in words.split(",")]
    unknown = [word for word in asked if word not in SCANNED]
    if unknown:
        raise UsageError(f"--measure {words}: {', '.join(unknown)} is not one of {', '.join(SCANNED)}")
    return tuple(name for word, name in SCANNED.items() if word in asked)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(read_bounded(path, _MOST_BYTES, UsageError, where="--config ").decode())
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from error
    settings = document.pop("scan", {})
    if document or not isinstance(settings, dict):
        meant = did_you_mean(next(iter(document), ""), ["scan"])
        raise UsageError(
            f"--config {path}: expected one table [scan]; found {', '.join(document) or 'a value'}{meant}"
        )
    return dict(settings)


def memory_bytes(words: str | None) -> int | None:
    """Bytes of a size such as `8GiB`, `500MB` or plain `8000000000`.

    >>> memory_bytes("1.5GiB")
    1610612736
    >>> memory_bytes("8000000000")
    8000000000
    >>> memory_bytes("2GB")
    2000000000
    """
    if words is None:
        return None
    match = _MEMORY.fullmatch(words.strip())
    if match is None:
        raise UsageError(f"--memory {words}: expected a size such as 8GiB, 500MB or 8000000000")
    number, unit, binary = match.groups()
    if not unit and float(number) < _FEWEST_BYTES:
        raise UsageError(f"--memory {words}: {number} bytes hold no model; expected a unit too, as in 8GiB")
    base = _UNITS[unit.upper()]
    power = {1: 0, 10**3: 10, 10**6: 20, 10**9: 30, 10**12: 40}[base]
    return int(float(number) * (2**power if binary else base))


def skips_errors(words: str) -> bool:
    """Whether `--on-error` asks to leave out what cannot be measured.

    >>> skips_errors("skip"), skips_errors("fail")
    (True, False)
    """
    if words not in ("fail", "skip"):
        raise UsageError(f"--on-error {words}: expected fail or skip")
    return words == "skip"


def output_form(form: str | None, *, as_json: bool) -> str:
    """What `--format` and `--json` ask for together: table, json or csv.

    >>> output_form(None, as_json=True), output_form("csv", as_json=False), output_form(None, as_json=False)
    ('json', 'csv', 'table')
    """
    if as_json and form not in (None, "json"):
        raise UsageError(f"--json contradicts --format {form}; give one of them")
    chosen = form or ("json" if as_json else "table")
    if chosen not in ("table", "json", "csv"):
        raise UsageError(f"--format {chosen}: expected table, json or csv")
    return chosen


def ranges(words: str | None, flag: str) -> tuple[range, ...] | None:
    """A list such as `0,3,6-9` as ranges.

    >>> ranges("0,6-9", "--step")
    (range(0, 1), range(6, 10))
    """
    if words is None:
        return None
    found: list[range] = []
    for word in words.split(","):
        first, _, last = word.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError:
            raise UsageError(f"{flag} {words}: {word!r} is not a number or a range such as 6-9") from None
        if not span:
            raise UsageError(f"{flag} {words}: {word!r} runs backwards; write {last}-{first}")
        found.append(span)
    return tuple(found)


def integers(words: str | None, flag: str) -> tuple[int, ...] | None:
    """A list such as `0,3,6-9` as integers.

    >>> integers("0,3,6-9", "--layer")
    (0, 3, 6, 7, 8, 9)
    """
    found = ranges(words, flag)
    return None if found is None else tuple(number for span in found for number in span)


def words(text: str | None) -> tuple[str, ...] | None:
    """A list such as `probe, dtype` as its words.

    >>> words("probe, dtype")
    ('probe', 'dtype')
    """
    return None if text is None else tuple(word for word in text.replace(" ", "").split(",") if word)


def one_of(kind: type[_Choice], word: str, flag: str) -> _Choice:
    """The member that a word names.

    Raises:
        UsageError: there is none.
    """
    try:
        return kind(word)
    except ValueError:
        raise UsageError(f"{flag} {word}: expected one of {', '.join(kind)}") from None
