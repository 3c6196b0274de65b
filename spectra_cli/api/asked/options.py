"""What a scan is asked for, in the words of the command line: stated once, for every function that scans."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar, cast

from spectra_cli.api.asked.settings import measurements_asked, settings_asked
from spectra_cli.core.errors import UnknownNameError, UsageError
from spectra_cli.core.paths import AnyPath
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.words import lists
from spectra_cli.core.words.names import did_you_mean
from spectra_cli.core.words.numbers import memory_bytes

TABLES = ("model", "scan")
ON_ERROR = ("fail", "skip")
# the word of an option -> the setting that it is of, where they differ
_SETTINGS = {
    "sequences": "num_sequences",
    "gradient_sequences": "num_gradient_sequences",
    "sequence_length": "sequence_length",
    "targets": "targets",
    "normalize": "normalize",
    "dtype": "dtype",
    "seed": "seed",
    "vectors": "num_vectors",
}

_Function = TypeVar("_Function", bound=Callable[..., Any])


class MeasurementOptions(TypedDict, total=False):
    """What is measured, with which tokens and resources; what is left out is as the command line has it.

    Attributes:
        probe: tokens for every checkpoint: a `.bin`, `.npy`, `.pt` or text file, or `synthetic`.
        tokenizer: for text probes; probe_format: overrules the suffix.
        preset: `default`, `quick` or `paper-compat`; config: a TOML run file with settings.
        measure: `activations`, `gradients`, `weights`, `updates`; the first three by default.
        layers: `all`, `five`, `paper-d12`, or a list; matrices: `all`, or components such as `attn.o`.
        normalize: rows before the covariance: `rms`, `none` or `final`.
        sequences, gradient_sequences: of the two probes; sequence_length: tokens a sequence.
        targets: `next_token` or `ignore_last`; dtype: of the passes; seed: of the choice of sequences.
        vectors: leading vectors kept of a spectrum, for `drift`.
        set: `{"scan.KEY": VALUE, "model.KEY": VALUE}`: a setting of the scan, or a fact about the model.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; memory: a budget such as `8GiB`, or bytes;
            batch_size: sequences a batch.
    """

    probe: AnyPath
    tokenizer: AnyPath | None
    probe_format: str | None
    preset: str | None
    config: AnyPath | None
    measure: lists.Words | None
    layers: lists.Integers | None
    matrices: lists.Words | None
    normalize: str | None
    sequences: int | None
    gradient_sequences: int | None
    sequence_length: int | None
    targets: str | None
    dtype: str | None
    seed: int | None
    vectors: int | None
    set: Mapping[str, Any] | None
    device: str
    memory: str | int | None
    batch_size: int | None


class ScanOptions(MeasurementOptions, total=False):
    """`MeasurementOptions`, and which checkpoints are meant and what is known of them.

    Attributes:
        steps: `"0:20000:1000"` (stop included), 500, or several; every, last, limit: of these, each n-th,
            the last n, the first n; on_error: one that cannot be measured: `fail`, or `skip` it.
        log: a training log; base: the model under adapters; reference: the checkpoint to compare with.
        trust_remote_code: run the model code that the checkpoints bring or name.
    """

    steps: str | int | list[int]
    every: int | None
    last: int | None
    limit: int | None
    on_error: str
    log: AnyPath
    base: AnyPath
    trust_remote_code: bool
    reference: AnyPath


def known(
    options: Mapping[str, Any], function: str, among: Mapping[str, Any] = ScanOptions.__annotations__
) -> Mapping[str, Any]:
    """The options, none of them misspelt.

    Raises:
        TypeError: one is not known, as Python says it of any function.
    """
    for name in options:
        if name not in among:
            meant = did_you_mean(name, among)
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{meant}")
    return options


def settings_of(options: Mapping[str, Any]) -> ScanSettings:
    """What is to be measured.

    Raises:
        UsageError: an unknown preset, setting or value.
    """
    given: dict[str, Any] = {setting: options.get(word) for word, setting in _SETTINGS.items()}
    if (measure := options.get("measure")) is not None:
        given["measurements"] = measurements_asked(measure)
    if (matrices := options.get("matrices")) is not None:
        given["matrices"] = lists.words(matrices)
    if (layers := options.get("layers")) is not None:
        numbers = layers if isinstance(layers, str) else lists.integers(layers, "--layers") or ()
        given["layers"] = numbers if isinstance(numbers, str) else ",".join(map(str, numbers))
    return settings_asked(
        preset=options.get("preset"), config=options.get("config"), said=_said(options, "scan"), given=given
    )


def selection_of(options: Mapping[str, Any]) -> SeriesSelection:
    """Which checkpoints are meant.

    Raises:
        UsageError: words that cannot mean anything.
    """
    steps = options.get("steps", "")
    words = steps if isinstance(steps, str) else ",".join(map(str, [steps] if _is_one(steps) else steps))
    return SeriesSelection(
        steps=words, every=options.get("every"), last=options.get("last"), limit=options.get("limit")
    )


def series_of(options: Mapping[str, Any], builder: str = "") -> SeriesOptions:
    """How to open the series; `builder`: `package.module:function` of the user's own model."""
    names = ("log", "base", "trust_remote_code", "reference")
    return SeriesOptions(
        selection=selection_of(options),
        model=_said(options, "model"),
        builder=builder,
        **{name: options[name] for name in names if name in options},
    )


def request_of(checkpoints: AnyPath, options: Mapping[str, Any], *, model: str, **more: Any) -> ScanRequest:
    """The request of a scan or of a look at one; `more` are other fields of it.

    Raises:
        UsageError: words that cannot mean anything.
    """
    return ScanRequest(
        checkpoints=checkpoints,
        settings=settings_of(options),
        series=series_of(options, model),
        skip_errors=skips_errors(options.get("on_error", "fail")),
        **resources_of(options),
        **probe_of(options),
        **more,
    )


def skips_errors(on_error: str) -> bool:
    """Whether what cannot be measured is to be left out.

    >>> skips_errors("skip"), skips_errors("fail")
    (True, False)

    Raises:
        UsageError: neither `fail` nor `skip`.
    """
    if on_error not in ON_ERROR:
        meant = did_you_mean(on_error, ON_ERROR)
        raise UnknownNameError(f"--on-error {on_error}{meant}: expected fail or skip")
    return on_error == "skip"


def resources_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """`device`, `memory_bytes` and `batch_size`, as far as they are given."""
    memory = options.get("memory")
    given = {
        "device": options.get("device"),
        "memory_bytes": memory_bytes(memory) if isinstance(memory, str) else memory,
        "batch_size": options.get("batch_size"),
    }
    return {name: value for name, value in given.items() if value is not None}


def probe_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """`probe`, `probe_format` and `tokenizer`, as far as they are given."""
    names = ("probe", "probe_format", "tokenizer")
    return {name: options[name] for name in names if name in options}


def with_options(kind: type[Any]) -> Callable[[_Function], _Function]:
    """A function as `help`, editors and the shell of Python show it: with each of its `**options`.

    Args:
        kind: the TypedDict that they are of.
    """

    def told(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=annotation)
            for name, annotation in kind.__annotations__.items()
        ]
        cast(Any, function).__signature__ = signature.replace(parameters=[*own, *shared])
        return function

    return told


def _is_one(steps: object) -> bool:
    return isinstance(steps, int)


def _said(options: Mapping[str, Any], table: str) -> dict[str, Any]:
    """What `set` says under `model` or `scan`."""
    said = options.get("set") or {}
    for name in said:
        if not name.startswith(tuple(f"{one}." for one in TABLES)):
            raise UsageError(
                f"--set {name}={said[name]}{did_you_mean(name.partition('.')[0], TABLES)}: expected "
                "model.KEY=VALUE, such as model.num_attention_heads=12, or a setting of the scan, "
                "such as scan.pool=last"
            )
    prefix = f"{table}."
    return {name.removeprefix(prefix): value for name, value in said.items() if name.startswith(prefix)}
