"""A Hugging Face family as a table: where its blocks are, and which parameter is which matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import (
    absent_components,
    embedding_views,
    in_canonical_order,
    unmeasured_notice,
)
from spectra_cli.extract.models.claims.remote_code import is_trusted, own_code
from spectra_cli.extract.models.transformers.causal_lm import check, cut
from spectra_cli.extract.models.transformers.dry_run import run_without_values
from spectra_cli.extract.models.transformers.library_code import in_library, library_code
from spectra_cli.extract.models.transformers.loading import Notices, build_module
from spectra_cli.extract.models.transformers.reference_kernels import reference_kernels, reference_notice
from spectra_cli.extract.models.transformers.scaled_embedding import take_apart
from spectra_cli.extract.models.users_code import guarded
from spectra_cli.extract.protocols import CheckpointHeader, MatrixView, Model

Rows = slice | Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One matrix inside a block.

    Attributes:
        path: of its module, from the block.
        rows: config -> the outputs that belong to it; None when all do.
        transposed: stored as fan_in x fan_out.
    """

    path: str
    rows: Callable[[Any], Rows] | None = None
    transposed: bool = False


@dataclass(slots=True, kw_only=True)
class HuggingFaceFamily:
    """Models of one layout.

    Attributes:
        name, summary: as in the registry.
        model_types: `model_type` of the config.json files that have this layout.
        blocks: path of the list of blocks; `final_norm`: of the norm before the head, where there is one.
        parts: component -> matrix.
        absent: component -> why this layout lacks it.
        unsupported: config.json -> its settings that transformers' class would pass over.
    """

    name: str
    summary: str
    model_types: frozenset[str]
    blocks: str
    final_norm: str
    parts: Mapping[str, Part]
    absent: Mapping[str, str] = field(default_factory=dict)
    unsupported: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda config: ()

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether config.json names one of the model types."""
        return header.named_as == "huggingface" and header.model_type in self.model_types

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """The model with the tensors of `state`, or a skeleton on the meta device.

        Raises:
            ModelError: settings that transformers passes over, tensors that do not fit, or a model that
                cannot be measured.
        """
        if passed_over := self.unsupported(header.config):
            raise ModelError(
                f"{header.ref.uri}: config.json asks for {', '.join(passed_over)}, which transformers' own "
                f"{self.name} passes over: it would be another model than the one trained"
            )
        module, notices = build_module(header, state, device=device)
        blocks = tuple(module.get_submodule(self.blocks))
        views = [
            MatrixView(
                site=Site(layer=layer, component=component, name=f"{self.blocks}.{layer}.{part.path}.weight"),
                module=block.get_submodule(part.path),
                rows=_rows(part, module),
                transposed=part.transposed,
            )
            for layer, block in enumerate(blocks)
            for component, part in self.parts.items()
        ]
        absent = absent_components(
            views, num_blocks=len(blocks), reasons=self.absent, otherwise="not in this layout"
        )
        return assemble(
            module,
            header=header,
            family=self.name,
            recognised=True,
            blocks=blocks,
            views=views,
            final_norm=_final_norm(module, self.final_norm),
            absent=absent,
            notices=notices,
        )


def _rows(part: Part, module: Any) -> Rows | None:
    """The outputs of a part, an index tensor beside the weights it selects from."""
    rows = None if part.rows is None else part.rows(module.config)
    return rows.to(module.device) if isinstance(rows, Tensor) else rows


def _final_norm(module: nn.Module, path: str) -> nn.Module | None:
    """The norm before the head; None in a model that has its norms elsewhere (OPT-350m)."""
    parent, _, name = path.rpartition(".")
    norm: nn.Module | None = getattr(module.get_submodule(parent), name)
    return norm


def _max_length(config: Any) -> int | None:
    """Longest sequence, under either of the names that configurations have for it."""
    names = ("max_position_embeddings", "max_seq_len")
    lengths = (getattr(config, name, None) for name in names)
    return next((int(length) for length in lengths if length is not None), None)


def _outside_notice(module: nn.Module, blocks: Sequence[nn.Module], head: nn.Module | None) -> Notices:
    """One notice that names the linear maps outside the blocks (OPT-350m projects its embeddings)."""
    inside = {part for block in blocks for part in block.modules()} | {head}
    left = [
        path for path, part in module.named_modules() if isinstance(part, nn.Linear) and part not in inside
    ]
    return (f"linear maps outside the blocks, which are not measured: {', '.join(left)}",) if left else ()


def assemble(
    module: Any,
    *,
    header: CheckpointHeader,
    family: str,
    recognised: bool,
    blocks: tuple[nn.Module, ...],
    views: list[MatrixView],
    final_norm: nn.Module | None,
    absent: Mapping[Site, str],
    notices: tuple[str, ...],
) -> Model:
    """The measurable model: embeddings added, cut at the head, and checked if it has weights.

    Raises:
        ModelError: it cannot be measured.
    """
    paths = {part: path for path, part in module.named_modules()}
    embed_path, head_module = paths[module.get_input_embeddings()], module.get_output_embeddings()
    embed = take_apart(module, embed_path)
    edges, edges_absent = embedding_views(
        embed,
        f"{embed_path}.weight",
        head_module,
        "lm_head.weight" if head_module is None else f"{paths[head_module]}.weight",
    )
    finding = f"config.json describes no {module.config.model_type} model that can be run"
    if is_trusted(header):
        trunk, head = (guarded(part, header.ref.uri, "its own code") for part in cut(module))
    else:
        trunk, head = (in_library(part, header.ref.uri, finding) for part in cut(module))
    model = Model(
        module=module,
        family=family,
        architecture=type(module).__name__,
        recognised=recognised,
        width=int(module.config.hidden_size),
        vocab_size=int(embed.weight.shape[0]),
        max_length=_max_length(module.config),
        blocks=blocks,
        matrices=in_canonical_order((*edges, *views)),
        final_norm=final_norm,
        trunk=trunk,
        head=head,
        absent={**absent, **edges_absent},
        notices=notices + unmeasured_notice(blocks, views) + _outside_notice(module, blocks, head_module),
    )
    if not embed.weight.is_meta:
        foreign = own_code(header) if is_trusted(header) else library_code(header.ref.uri, finding)
        with reference_kernels() as kernels, foreign:
            check(model)
        model = replace(model, notices=model.notices + reference_notice(kernels))
    elif not is_trusted(header):
        with reference_kernels():
            run_without_values(model)
    return model
