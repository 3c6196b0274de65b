"""The seams of `extract`: what a checkpoint format, a model family, a probe and a measurement are.

Shape suffixes: B sequences in a batch, T tokens, D width, V vocabulary, O fan_out, I fan_in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from spectra_cli.core.training import TrainingMetadata
from spectra_cli.core.types import CheckpointRef, ProbeInfo, Site

# ----------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """Shape and dtype of a stored tensor, known without reading it."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rescaling:
    """The second half of a DoRA update: rows or columns are given new norms.

    Attributes:
        magnitude: (rows, 1) or (1, columns): the norms along the dimension of size one.
        base: the parameter before the update, which now depends on it.
    """

    magnitude: Tensor
    base: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightUpdate:
    """What an adapter did to one parameter (rows, columns), oriented as that is stored.

    Attributes:
        left: (rows, r); right: (r, columns); both as stored, mapped from their file.
        scale: alpha / r, or alpha / sqrt(r).
        rescaling: None for LoRA.
    """

    left: Tensor
    right: Tensor
    scale: float
    rescaling: Rescaling | None = None

    def applied_to(self, weight: Tensor, *, dtype: torch.dtype) -> Tensor:
        """`W + scale left right`; with a magnitude m, `m (W + scale left right) / |W + scale left right|`
        with the norm of each row or column. The result is the only tensor of W's size that is made.

        Args:
            weight: (rows, columns), in any dtype.
            dtype: of the computation and the result.

        Source: Hu et al. 2021 (arXiv 2106.09685), equation 3; Liu et al. 2024 (arXiv 2402.09353), equation 5.
        """
        result = self.left.to(dtype) @ self.right.to(dtype)
        result.mul_(self.scale).add_(weight)
        if self.rescaling is not None:
            magnitude = self.rescaling.magnitude.to(dtype)
            norms = torch.linalg.vector_norm(result, dim=1 if magnitude.shape[1] == 1 else 0, keepdim=True)
            result.mul_(magnitude / norms)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that a model's numbers depend on: its value in words, and what says so (a file, `--set`, the
    tensors, the code of a variant, or what it was inferred from).
    """

    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointHeader(TrainingMetadata):
    """What a checkpoint says without its weights being read, and of its training.

    Attributes:
        tensors: name -> header, names as stored after known wrappers (`_orig_mod.`, `module.`) are
            stripped.
        config: `config.json`, `model_args` or `args`: whatever describes the architecture.
        stated_step: the optimiser step that the content states, whatever the name says; None without.
        fingerprint: sha256 over file names, sizes and modification times.
        num_bytes: of tensor data as stored; read_bytes: of the tensors once read, None where that is as much.
        layout: format whose tensor names and configuration these are, where `ref.format` only says how
            they are stored (an adapter over a Hugging Face model); empty where they are the same.
        base_uri: path of the model under an adapter; empty for all other checkpoints.
        updates: reads what an adapter did: path of a parameter in the model -> its update; update_shapes:
            the same of empty tensors on the meta device, with nothing read.
        same_values: reads as much of two tensors, by name, as shows whether they are equal.
        value_weights: layer -> weight of its value embedding (`nanogpt_values`); empty elsewhere.
    """

    ref: CheckpointRef
    tensors: Mapping[str, TensorHeader]
    config: Mapping[str, Any]
    fingerprint: str
    num_bytes: int
    read_bytes: int | None = None
    stated_step: int | None = None
    layout: str = ""
    base_uri: str = ""
    updates: Callable[[], Mapping[str, WeightUpdate]] = field(default=dict, compare=False)
    update_shapes: Callable[[], Mapping[str, WeightUpdate]] = field(default=dict, compare=False)
    same_values: Callable[[str, str], bool] = field(default=lambda one, other: True, compare=False)
    value_weights: Mapping[int, float] = field(default_factory=dict)

    @property
    def loaded_bytes(self) -> int:
        """What the tensors take in memory: more than stored where they are dequantised or merged."""
        return self.num_bytes if self.read_bytes is None else self.read_bytes

    @property
    def named_as(self) -> str:
        """The format whose names and configuration a family has to look for."""
        return self.layout or self.ref.format

    @property
    def model_type(self) -> str:
        """What the configuration calls the architecture; empty where it gives no name."""
        name = self.config.get("model_type")
        return name if isinstance(name, str) else ""


class CheckpointSource(Protocol):
    """A folder or file that holds one run's checkpoints in one format."""

    format: str
    run: str

    def refs(self) -> Sequence[CheckpointRef]:
        """The checkpoints, ordered by step (natural order where no step is known)."""

    def header(self, ref: CheckpointRef) -> CheckpointHeader:
        """What `ref` says without reading its weights; fast.

        Raises:
            CheckpointError: damaged or incomplete, with what was found and where.
        """

    def open(self, ref: CheckpointRef) -> dict[str, Tensor]:
        """The tensors on the CPU, as stored (memory-mapped where the format allows).

        Raises:
            CheckpointError, UnsafePickleError: nothing of the file was executed.
        """


class CheckpointFormat(Protocol):
    """A format: finds sources in a path."""

    name: str
    summary: str

    def find(self, path: str) -> CheckpointSource | None:
        """The source at `path`, or None if nothing there is of this format."""


# ----------------------------------------------------------------------------- models


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatrixView:
    """One canonical matrix of a model, seen as fan_out x fan_in, whatever holds it.

    Attributes:
        site: canonical address (`blocks.3.attn.q`), with the parameter's own path as name.
        module: the linear map to tap: its input is a (B, T, I), the gradient at its output is
            delta (B, T, all outputs), of which this matrix owns `rows`.
        parameter: attribute of `module` that holds the weight ("weight").
        rows: outputs of the module that belong to this matrix: None for all, a slice, or an index
            tensor (interleaved fused matrices).
        transposed: the weight is stored as fan_in x fan_out (GPT-2's Conv1D).
        kind: "linear", "embedding" (input is token ids, gradient is scattered into rows), or "router"
            (linear, and the module returns a tuple that its logits lead).
        aliases: other parameter paths that share this storage (tied `lm_head`).
        expert: index into a packed parameter (E, ., .), None for a matrix of its own. The module is then
            called with (rows, expert, tokens) for the tokens routed to that expert, ascending positions
            b T + t of the batch, and returns as many rows.
        share: of all tokens, those that reach this matrix on average: below 1 for an expert.
    """

    site: Site
    module: nn.Module
    parameter: str = "weight"
    rows: slice | Tensor | None = None
    transposed: bool = False
    kind: str = "linear"
    aliases: tuple[str, ...] = ()
    expert: int | None = None
    share: float = 1.0

    def weight(self) -> Tensor:
        """The matrix as (O, I); a view of the parameter unless `rows` is an index tensor."""
        return self.part_of(getattr(self.module, self.parameter))

    def part_of(self, stored: Tensor) -> Tensor:
        """What is this matrix's, as (O, I), in a tensor laid out as the parameter: its gradient, say."""
        own = stored if self.expert is None else stored[self.expert]
        matrix = own.T if self.transposed else own
        return matrix if self.rows is None else matrix[self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """(fan_out, fan_in), also on the meta device."""
        fan_out, fan_in = self.weight().shape
        return int(fan_out), int(fan_in)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A module made measurable: where its residual stream, its matrices and its loss are.

    Attributes:
        module: in eval mode, parameters without gradient.
        family: name in the registry; `architecture`: class or variant, as its files name it.
        recognised: False when the sites were found from the module tree alone.
        width: D; `vocab_size`: ids the embedding accepts; `max_length`: longest T, None if unbounded.
        blocks: in order; the residual stream after block l is what `blocks[l]` returns (or the
            first element, when it returns a tuple).
        matrices: every canonical matrix, in canonical order (by layer, then component).
        final_norm: the norm before the head, or None.
        trunk: tokens (B, T) -> hidden (B, T, D), after the final norm: what the head reads.
        head: hidden (..., D) -> logits (..., V), soft-caps and scales included.
        held_bytes: T and bytes a value -> bytes that a pass holds beside weights and activations: for a
            whole batch, and for each of its sequences (attention masks).
        kernels: filled while the model runs: what computed attention under masks, and what spoke against
            the faster kernel (empty where nothing did).
        absent: sites that this architecture lacks and why (an attention-free block).
        loss: tokens (B, T) and targets (B, T; -100 for none) -> (B,) mean nats a token, where the user's
            own loss takes the place of trunk and head; None elsewhere. The trunk then ends after the last
            block, and the head is never called.
        untappable: components whose gradient cannot be seen through taps, and why (found by
            `verification`, in architectures that are not known by name).
        alone: components that see tokens of several sequences mixed (experts that are modules of their
            own): right only with one sequence a batch. Found likewise.
        notices: what the user must know.
        facts: name -> fact, of families that work such things out; names are those that `--set` takes.
        updates: path of a parameter -> what an adapter did to it; empty for all other checkpoints.
    """

    module: nn.Module
    family: str
    architecture: str
    recognised: bool
    width: int
    vocab_size: int
    max_length: int | None
    blocks: tuple[nn.Module, ...]
    matrices: tuple[MatrixView, ...]
    final_norm: nn.Module | None
    trunk: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    held_bytes: Callable[[int, int], tuple[int, int]] = lambda length, width: (0, 0)
    kernels: dict[str, str] = field(default_factory=dict)
    absent: Mapping[Site, str] = field(default_factory=dict)
    untappable: Mapping[str, str] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    updates: Mapping[str, WeightUpdate] = field(default_factory=dict)


class ModelFamily(Protocol):
    """How a state dict becomes a `Model`."""

    name: str
    summary: str

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether this family reads such a checkpoint."""

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The model on `device` with the tensors of `state`, in float32; with `state` None a
        weightless skeleton on the meta device.

        Raises:
            ModelError: missing or unexpected tensors, with the list; a shape that does not fit.
        """


# ----------------------------------------------------------------------------- probes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """The tokens shown to every checkpoint.

    Attributes:
        info: digest, source, lengths.
        tokens: (N, T) int64 on the CPU: inputs.
        targets: (N, T) int64 on the CPU: next tokens; -100 where a position has no target.
    """

    info: ProbeInfo
    tokens: Tensor
    targets: Tensor
