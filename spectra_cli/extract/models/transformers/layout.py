"""A Hugging Face family as a table: where its blocks are, and which parameter is which matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from spectra_cli.extract.models.transformers.library_code import (
    in_library,
    library_code,
    reference_kernels,
    reference_notice,
)
from spectra_cli.extract.models.transformers.loading import Notices, build_module
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Where the matrices of a model are.

    Attributes:
        blocks: in order; views: of their matrices; final_norm: before the head, where there is one.
        absent: sites that it lacks, and why.
        notices: what the user must know of them.
    """

    blocks: tuple[nn.Module, ...]
    views: list[MatrixView]
    final_norm: nn.Module | None
    absent: Mapping[Site, str]
    notices: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class TransformersFamily:
    """Models of one layout.

    Attributes:
        name, summary: as in the registry.
        find: where the matrices of such a model are.
        model_types: `model_type` of the config.json files that have this layout; None for a layout that is
            not known by name.
        unsupported: config.json -> its settings that transformers' class would pass over.
    """

    name: str
    summary: str
    find: Callable[[Any], Sites]
    model_types: frozenset[str] | None = None
    unsupported: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda config: ()

    def recognises(self, header: CheckpointHeader) -> bool:
        """Whether it is a Hugging Face folder, and config.json names one of the model types."""
        known = self.model_types is None or header.model_type in self.model_types
        return header.named_as == "huggingface" and known

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
        return _assemble(module, self, header, notices)


def sites_of_parts(
    module: Any, *, blocks: str, final_norm: str, parts: Mapping[str, Part], absent: Mapping[str, str]
) -> Sites:
    """Those of a layout that is a table.

    Args:
        module: the model.
        blocks: path of the list of blocks; final_norm: of the norm before the head.
        parts: component -> matrix.
        absent: component -> why this layout lacks it.
    """
    found = tuple(module.get_submodule(blocks))
    views = [
        MatrixView(
            site=Site(layer=layer, component=component, name=f"{blocks}.{layer}.{part.path}.weight"),
            module=block.get_submodule(part.path),
            rows=_rows(part, module),
            transposed=part.transposed,
        )
        for layer, block in enumerate(found)
        for component, part in parts.items()
    ]
    lacking = absent_components(views, num_blocks=len(found), reasons=absent, otherwise="not in this layout")
    return Sites(blocks=found, views=views, final_norm=_final_norm(module, final_norm), absent=lacking)


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


def _assemble(module: Any, family: TransformersFamily, header: CheckpointHeader, notices: Notices) -> Model:
    """The measurable model: embeddings added, cut at the head, and checked if it has weights.

    Raises:
        ModelError: it cannot be measured.
    """
    sites = family.find(module)
    paths = {part: path for path, part in module.named_modules()}
    embed_path, head_module = paths[module.get_input_embeddings()], module.get_output_embeddings()
    embed = take_apart(module, embed_path)
    head_name = "lm_head.weight" if head_module is None else f"{paths[head_module]}.weight"
    edges, edges_absent = embedding_views(embed, f"{embed_path}.weight", head_module, head_name)
    finding = f"config.json describes no {module.config.model_type} model that can be run"
    if is_trusted(header):
        trunk, head = (guarded(part, header.ref.uri, "its own code") for part in cut(module))
    else:
        trunk, head = (in_library(part, header.ref.uri, finding) for part in cut(module))
    model = Model(
        module=module,
        family=family.name,
        architecture=type(module).__name__,
        recognised=family.model_types is not None,
        width=int(module.config.hidden_size),
        vocab_size=int(embed.weight.shape[0]),
        max_length=_max_length(module.config),
        blocks=sites.blocks,
        matrices=in_canonical_order((*edges, *sites.views)),
        final_norm=sites.final_norm,
        trunk=trunk,
        head=head,
        absent={**sites.absent, **edges_absent},
        notices=(
            *notices,
            *sites.notices,
            *unmeasured_notice(sites.blocks, sites.views),
            *_outside_notice(module, sites.blocks, head_module),
        ),
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
