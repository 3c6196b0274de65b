"""The values that flow through the house: references, sites, spectra, statistics.

All are frozen, keyword-only dataclasses. Arrays inside are float64 (block profiles float32),
read-only, and checked once, on construction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectra_cli.core.scan_facts import ExecutionFacts, SettingFacts
from spectra_cli.core.training import TrainingMetadata

FloatArray = NDArray[np.float64]


class SpectrumKind(StrEnum):
    """What the values of a spectrum are; the exponent of one kind is twice that of the other."""

    EIGENVALUES = "eig"
    SINGULAR_VALUES = "sv"


class Status(StrEnum):
    """Why a number is, or is not, there (docs/explanation/estimators.md).

    The first group comes with a value, the second always with NaN.
    """

    OK = "ok"
    PARTIAL = "partial"
    BELOW_FLOOR = "below_floor"

    UNRESOLVED = "unresolved"
    ZERO = "zero"
    NONFINITE = "nonfinite"
    NOT_APPLICABLE = "not_applicable"

    @property
    def has_value(self) -> bool:
        """Whether a value stands beside this status."""
        return self in (Status.OK, Status.PARTIAL, Status.BELOW_FLOOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """Where one checkpoint of a run lies.

    Attributes:
        run: name of the run (the folder that was scanned).
        step: optimiser steps taken; None where neither the name nor the content says.
        uri: absolute path, as text.
        format: name of the checkpoint format in the registry.
        label: what tells two checkpoints of one step apart ("target_reached"); empty otherwise.
    """

    run: str
    step: int | None
    uri: str
    format: str
    label: str = ""

    @property
    def key(self) -> str:
        """Name of this checkpoint inside its run, made from the integer step: `step100`."""
        step = "nostep" if self.step is None else f"step{self.step}"
        return f"{step}-{self.label}" if self.label else step


# Begins the names of facts about the model, among those about the run.
MODEL_FACT = "model."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointInfo(TrainingMetadata):
    """What a checkpoint says about itself, and of its training.

    Attributes:
        num_parameters: distinct parameters, tied ones once.
        family: model family that read it; `architecture`: the class or variant named by its files.
        digest: sha256 of the tensors' names, shapes, dtypes and content; empty before loading.
        fingerprint: cheap identity of the files (names, sizes, modification times).
    """

    num_parameters: int
    family: str
    architecture: str
    digest: str = ""
    fingerprint: str = ""


_BLOCK_ADDRESS = re.compile(r"blocks\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A canonical place in a decoder, the same for every architecture.

    `address` is `blocks.7.attn.q`, `blocks.7.resid_post`, `embed`, `lm_head`. `name` is the
    checkpoint's own word for it (a parameter or module path) and takes no part in comparisons.

    >>> Site.parse("blocks.7.attn.q").layer
    7
    >>> Site(layer=None, component="embed", name="wte.weight").address
    'embed'
    """

    layer: int | None
    component: str
    name: str = field(default="", compare=False)

    @property
    def address(self) -> str:
        """The canonical address."""
        return self.component if self.layer is None else f"blocks.{self.layer}.{self.component}"

    @classmethod
    def parse(cls, address: str, *, name: str = "") -> Site:
        """The site of a canonical address."""
        match = _BLOCK_ADDRESS.fullmatch(address)
        if match is None:
            return cls(layer=None, component=address, name=name)
        return cls(layer=int(match[1]), component=match[2], name=name)


def _frozen(array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    copy = np.array(array, dtype=dtype, copy=True, order="C")
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """The leading directions behind a spectrum's first values, one a row, orthonormal up to rounding.

    Attributes:
        right: (num_vectors, ambient_dim) float32: right singular vectors (of the inputs, for a weight),
            or the eigenvectors of a covariance.
        left: (num_vectors, num_samples) float32, left singular vectors (of the outputs); None where the
            spectrum has eigenvectors.
    """

    right: NDArray[np.float32]
    left: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        right = _frozen(self.right, np.float32)
        left = None if self.left is None else _frozen(self.left, np.float32)
        shapes = [side.shape for side in (right, left) if side is not None]
        if any(len(shape) != 2 or 0 in shape for shape in shapes) or len({s[0] for s in shapes}) != 1:
            raise ValueError(f"vectors of shapes {shapes}, expected as many left ones as right ones, by row")
        object.__setattr__(self, "right", right)
        object.__setattr__(self, "left", left)

    @property
    def num_vectors(self) -> int:
        """How many were kept."""
        return int(self.right.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """One measured spectrum at one site.

    Attributes:
        site: where.
        measurement: which measurement made it (its name in the registry, also its archive group).
        kind: eigenvalues (variance-like) or singular values; see `eigenvalues()`.
        values: (rank,) float64, descending, non-negative, finite.
        num_samples: rows that the spectrum is made of (tokens, sequences; fan_out for a weight).
        ambient_dim: dimension of the space the rows live in (width, parameters, fan_in).
        centered: whether the mean row was subtracted first.
        unit: unit of `values`.
        zero_threshold: values at or below it are numerically zero: kept, excluded from fits.
        block_profile: (num_blocks, rank) float32 in *eigenvalue* units whatever the kind, or None:
            the variance that block b alone puts on the j-th principal direction of the whole
            (docs/explanation/estimators.md). Its mean over blocks, weighted by `block_sizes`, is the
            j-th eigenvalue.
        block_sizes: (num_blocks,) rows in each block; empty without a profile.
        vectors: leading directions, where the scan kept them and whoever read the archive asked for them.
    """

    site: Site
    measurement: str
    kind: SpectrumKind
    values: FloatArray
    num_samples: int
    ambient_dim: int
    centered: bool
    unit: str
    zero_threshold: float = 0.0
    block_profile: NDArray[np.float32] | None = None
    block_sizes: tuple[int, ...] = ()
    vectors: Vectors | None = None

    def __post_init__(self) -> None:
        values = _frozen(self.values, np.float64)
        where = f"{self.measurement} at {self.site.address}"
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"{where}: values must be a non-empty vector, not of shape {values.shape}")
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{where}: values must be finite and non-negative")
        if (np.diff(values) > 0).any():
            raise ValueError(f"{where}: values must be in descending order")
        object.__setattr__(self, "values", values)
        self._check_vectors(where)
        if self.block_profile is None:
            if self.block_sizes:
                raise ValueError(f"{where}: block sizes without a block profile")
            return
        profile = _frozen(self.block_profile, np.float32)
        if profile.shape != (len(self.block_sizes), values.size):
            raise ValueError(
                f"{where}: block profile of shape {profile.shape}, expected "
                f"({len(self.block_sizes)} blocks, {values.size} values)"
            )
        object.__setattr__(self, "block_profile", profile)

    def _check_vectors(self, where: str) -> None:
        if self.vectors is None:
            return
        right, left = self.vectors.right, self.vectors.left
        if self.vectors.num_vectors > self.values.size or right.shape[1] != self.ambient_dim:
            raise ValueError(
                f"{where}: right vectors of shape {right.shape}, expected at most {self.values.size} "
                f"of {self.ambient_dim} entries"
            )
        if (left is None) != (self.kind is SpectrumKind.EIGENVALUES):
            raise ValueError(f"{where}: left vectors stand beside singular values, and only there")
        if left is not None and left.shape[1] != self.num_samples:
            raise ValueError(
                f"{where}: left vectors of shape {left.shape}, expected {self.num_samples} entries"
            )

    @property
    def num_zero(self) -> int:
        """How many values are numerically zero."""
        return int((self.values <= self.zero_threshold).sum())

    def eigenvalues(self) -> FloatArray:
        """The values on the eigenvalue scale: the one conversion from singular values, `sigma**2`."""
        return self.values if self.kind is SpectrumKind.EIGENVALUES else self.values**2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scalar:
    """One measured number that is not a spectrum, with what its standard error needs.

    Attributes:
        name: e.g. `probe_loss`, `gradient_signal`, `mean_share`.
        site: where, or None for the whole model.
        measurement: which measurement made it.
        value: NaN only where `status` says why.
        unit: unit of the value.
        delete_one_block: (num_blocks,) the same number from all blocks but one; empty if it has none.
        block_sizes: (num_blocks,) samples in each block.
    """

    name: str
    site: Site | None
    measurement: str
    value: float
    unit: str
    status: Status = Status.OK
    delete_one_block: FloatArray = field(default_factory=lambda: np.empty(0))
    block_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        replicates = _frozen(self.delete_one_block, np.float64)
        if replicates.shape != (len(self.block_sizes),):
            raise ValueError(f"{self.name}: {replicates.shape} replicates for {len(self.block_sizes)} blocks")
        if self.status.has_value != bool(np.isfinite(self.value)):
            raise ValueError(f"{self.name}: value {self.value} contradicts status {self.status}")
        object.__setattr__(self, "delete_one_block", replicates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something asked for that was not measured, and why: never silently left out."""

    measurement: str
    site: Site
    status: Status
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeInfo:
    """Which tokens were shown to every checkpoint: none, where nothing else is said.

    Attributes:
        digest: sha256 over the chosen token ids, their order and lengths.
        source: path or name it was read from; `format`: probe source in the registry.
        num_sequences, sequence_length: sequences of T predicted tokens (T + 1 ids are read for each
            unless `targets` says otherwise).
        targets: "next_token" (T real targets) or "ignore_last" (T - 1 targets inside T tokens).
        seed: of the choice of sequences; None when they were taken in file order.
        starts: offset in tokens of each chosen sequence, as a tuple; empty for synthetic probes.
        vocab_size: largest id + 1 that the probe needs.
        tokenizer: where text was tokenised with; empty for token files.
        synthetic: whether the tokens were drawn at random, and mean nothing.
        notices: what the user must know about how the probe was made.
    """

    digest: str = ""
    source: str = ""
    format: str = "none"
    num_sequences: int = 0
    sequence_length: int = 0
    targets: str = "none"
    seed: int | None = None
    starts: tuple[int, ...] = ()
    vocab_size: int = 0
    tokenizer: str = ""
    synthetic: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How an archive came to be: equal for all its checkpoints, except for `execution`.

    Attributes:
        settings: resolved configuration of the scan that the numbers depend on; JSON values only, as they
            are archived. What of it is asked for stands in `setting_facts`.
        probe: the tokens.
        versions: name -> version of spectra, python, torch, numpy, transformers, the numerics.
        execution: what may differ between checkpoints without changing the numbers beyond rounding:
            device, batch size, passes, seconds, host, time; likewise `execution_facts`.
    """

    settings: Mapping[str, Any]
    probe: ProbeInfo
    versions: Mapping[str, str]
    execution: Mapping[str, Any] = field(default_factory=dict)

    @property
    def setting_facts(self) -> SettingFacts:
        """The settings by name."""
        return SettingFacts.of(self.settings)

    @property
    def execution_facts(self) -> ExecutionFacts:
        """What is known of the execution by name."""
        return ExecutionFacts.of(self.execution)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpectra:
    """Everything measured on one checkpoint: the unit that the archive commits."""

    ref: CheckpointRef
    info: CheckpointInfo
    provenance: Provenance
    spectra: tuple[Spectrum, ...]
    scalars: tuple[Scalar, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def select(self, measurement: str) -> tuple[Spectrum, ...]:
        """The spectra of one measurement, in canonical order of sites."""
        return tuple(s for s in self.spectra if s.measurement == measurement)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticValue:
    """One statistic of one spectrum (or scalar) with its uncertainty and its standing.

    Attributes:
        name: with its definition in the name (`rankme_cov`, `head_exponent_1_10`).
        measurement, site, step: of what; site is None for numbers of the whole model.
        value: NaN exactly when `status` has no value.
        stderr: block-jackknife standard error; NaN where the spectrum has no block profile.
        reason: one sentence beside every status but `ok`.
        details: what stands beside the value: window bounds, r_squared, num_points, ...
    """

    name: str
    measurement: str
    site: Site | None
    step: int | None
    value: float
    stderr: float
    status: Status
    unit: str = ""
    reason: str = ""
    details: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status.has_value != bool(np.isfinite(self.value)):
            raise ValueError(f"{self.name}: value {self.value} contradicts status {self.status}")
        if self.status is not Status.OK and not self.reason:
            raise ValueError(f"{self.name}: status {self.status} without a reason")
