"""What a scan measures: every setting that its numbers depend on, and the named presets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.measurements import ACTIVATIONS, GRADIENT, MEASUREMENTS, SCANNED, WEIGHTS
from spectra_cli.core.words.names import did_you_mean

# Raised whenever the same checkpoint and settings would give other numbers than before (beyond rounding).
NUMERICS_VERSION = "2"


class ByDefault(int):
    """A number that stands because nobody asked for another: where it does not fit, what fits is taken.

    >>> ByDefault(1024), ByDefault(1024) == 1024
    (1024, True)
    """


class WordByDefault(str):
    """A word that stands because nobody asked for another, as `ByDefault` is a number.

    >>> WordByDefault("file"), WordByDefault("file") == "file"
    ('file', True)
    """

    __slots__ = ()


PAPER_MATRICES = ("attn.o", "mlp.down", "attn.q", "attn.v")


def setting(default: Any, words: str, *, choices: tuple[str, ...] = (), least: int | None = None) -> Any:
    """A setting: its default, what it means, and what it may be.

    Args:
        choices: the words it may be; without any, every word. least: the smallest number.
    """
    return field(default=default, metadata={"words": words, "choices": choices, "least": least})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSettings:
    """A scan's resolved configuration (docs/explanation/estimators.md).

    A field is all that run files, `--set`, Python and archives need to know of a setting; a measurement that
    goes by settings which others do not read names them (`Statement.settings`).
    """

    preset: str = setting("default", "name of the preset that the others started from")
    measurements: tuple[str, ...] = setting((ACTIVATIONS, GRADIENT, WEIGHTS), "names in their registry")
    layers: str = setting("all", "`all`, `five`, `paper-d12` or a list such as `0,3,6-9`")
    matrices: tuple[str, ...] = setting(
        PAPER_MATRICES, "canonical components (`attn.q`, `mlp.down`, `lm_head`), or `all`"
    )
    normalize: str = setting(
        "rms",
        "of each row before the covariance: `rms` (eps 1e-6, no gain), `none`, or `final` (the model's own "
        "last norm with its gain)",
        choices=("rms", "none", "final"),
    )
    pool: str = setting(
        "token",
        "rows of the covariance: every `token`, the `last` position, or the `mean` of a sequence",
        choices=("token", "last", "mean"),
    )
    num_sequences: int = setting(
        ByDefault(512), "of the covariance probe; a default gives way to what the probe holds", least=2
    )
    num_gradient_sequences: int = setting(
        ByDefault(512), "of the gradient probe, its first sequences; likewise", least=2
    )
    sequence_length: int = setting(
        ByDefault(1024),
        "T, predicted tokens a sequence; a default gives way to what model and probe hold",
        least=2,
    )
    targets: str = setting(
        "next_token",
        "`next_token` (T real targets) or `ignore_last` (T - 1, as the paper's baseline)",
        choices=("next_token", "ignore_last"),
    )
    order: str = setting(
        "seeded", "`seeded` choice of sequences, or `file` order", choices=("seeded", "file")
    )
    seed: int = setting(0, "of the choice of sequences")
    num_blocks: int = setting(16, "jackknife blocks that the sequences are dealt into, in order", least=2)
    dtype: str = setting(
        "float32",
        "of the forward and backward pass: `float32`, `bfloat16` (autocast) or `float64`",
        choices=("float32", "bfloat16", "float64"),
    )
    num_vectors: int = setting(
        0,
        "leading singular vectors kept of each weight, and eigenvectors of each activation covariance; with "
        "them a weight is also compared with that of the first checkpoint",
        least=0,
    )

    def __post_init__(self) -> None:
        for stated in fields(self):
            name, value, default = stated.name, getattr(self, stated.name), stated.default
            kind = int if isinstance(default, ByDefault) else type(default)
            by_default = {int: ByDefault, str: WordByDefault}.get(kind, kind)
            if type(value) not in (kind, by_default):
                raise UsageError(
                    f"{name} is {_as_written(value)}; expected {_TYPE_NAMES[kind]}, such as "
                    f"{_as_written(default)}"
                )
            if isinstance(value, tuple) and not all(isinstance(word, str) for word in value):
                raise UsageError(f"{name} is {_as_written(value)}; expected a list of names")
            if (allowed := stated.metadata["choices"]) and value not in allowed:
                meant = did_you_mean(value, allowed)
                raise UnknownNameError(f"{name} is {value!r}{meant}; expected one of {', '.join(allowed)}")
            if (least := stated.metadata["least"]) is not None and value < least:
                raise UsageError(f"{name} is {value}; expected at least {least}")
        if not self.measurements:
            raise UsageError("no measurement was asked for; name at least one (see --measure)")

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        plain: dict[type, Callable[[Any], Any]] = {tuple: list, ByDefault: int, WordByDefault: str}
        return {key: plain.get(type(v), lambda same: same)(v) for key, v in asdict(self).items()}

    @property
    def measures_drift(self) -> bool:
        """Whether weights are compared with those of a reference checkpoint."""
        return self.num_vectors > 0 and WEIGHTS in self.measurements

    @property
    def probe_sequences(self) -> int:
        """Sequences that the probe must hold: the covariance's, or the gradients' if more."""
        return max(self._counts())

    @property
    def least_sequences(self) -> int:
        """Sequences that the probe may not go below: those asked for, and one a jackknife block."""
        asked = [count for count in self._counts() if not isinstance(count, ByDefault)]
        return max([*asked, min(self.num_blocks, self.probe_sequences)])

    def _counts(self) -> list[int]:
        names = dict.fromkeys(k.samples for k in MEASUREMENTS.values() if k.made_by in self.measurements)
        return [getattr(self, name) for name in names if name] or [self.num_sequences]


_TYPE_NAMES = {str: "text", int: "a whole number", tuple: "a list of names"}
# What a setting of words may be.
CHOICES = {one.name: one.metadata["choices"] for one in fields(ScanSettings) if one.metadata["choices"]}

PRESETS: Mapping[str, ScanSettings] = {
    "default": ScanSettings(),
    "quick": ScanSettings(
        preset="quick",
        layers="five",
        # effective rows grow with the number of sequences, whatever their length: many short ones
        num_sequences=ByDefault(4096),
        num_gradient_sequences=ByDefault(128),
        sequence_length=ByDefault(64),
    ),
    "paper-compat": ScanSettings(
        preset="paper-compat",
        layers=WordByDefault("paper-d12"),
        num_sequences=ByDefault(32_768),
        num_gradient_sequences=ByDefault(512),
        targets=WordByDefault("ignore_last"),
        order="file",
    ),
}


def resolve_settings(preset: str, overrides: Mapping[str, Any]) -> ScanSettings:
    """The settings of a preset with the given values put in place of its own.

    Raises:
        UsageError: an unknown preset or setting, or a value that it cannot take.
    """
    if preset not in PRESETS:
        meant = did_you_mean(str(preset), PRESETS)
        raise UnknownNameError(f"there is no preset {preset!r}{meant}; presets: {', '.join(PRESETS)}")
    known = {f.name for f in fields(ScanSettings)} - {"preset"}
    unknown = sorted(set(overrides) - known)
    if unknown:
        meant = did_you_mean(unknown[0], sorted(known))
        raise UnknownNameError(
            f"unknown setting {', '.join(unknown)}{meant}; settings: {', '.join(sorted(known))}"
        )
    clean = {name: _as_setting(name, value) for name, value in overrides.items() if value is not None}
    return replace(PRESETS[preset], **clean)


def _as_setting(name: str, value: Any) -> Any:
    """A list as a tuple; names in one text, as an option has them, as the list that they are."""
    if isinstance(value, str) and isinstance(getattr(PRESETS["default"], name), tuple):
        value = value.replace(" ", "").split(",")
    if name == "measurements" and isinstance(value, (list, tuple)):
        value = [SCANNED.get(word, word) for word in value]
    return tuple(value) if isinstance(value, list) else value


def _as_written(value: Any) -> str:
    """A value as a run file or an option has it, not as Python shows it.

    >>> _as_written(("attn.o", "all")), _as_written(True)
    ('["attn.o", "all"]', 'true')
    """
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
