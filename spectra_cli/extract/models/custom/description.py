"""What a user's builder may return, and the measurable model that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from torch import Tensor, nn

from spectra_cli.core.errors import OwnCodeError
from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import absent_components, in_canonical_order, unmeasured_notice
from spectra_cli.extract.models.custom.halves import Halves, halves_of
from spectra_cli.extract.models.custom.own_loss import UsersLoss, own_loss, stream_under
from spectra_cli.extract.models.transformers.generic import find_blocks, norm_after, views_of_blocks
from spectra_cli.extract.models.transformers.mixture import replace_experts
from spectra_cli.extract.protocols import MatrixView, Model

_NUM_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What `build` may return instead of a bare module; everything but the module is optional.

    Attributes:
        module: its `forward(tokens)` gives logits.
        blocks: path of the list of blocks, or the blocks themselves; by default the longest list.
        matrices: canonical address (`blocks.0.attn.q`, `embed`, `lm_head`) -> path of a parameter
            (`layers.0.wq.weight`), or (path, first row, last row exclusive) of a fused one. By default
            every linear map of the blocks, the first embedding, and the last linear map outside them.
        final_norm: path of the norm before the head, or the norm itself.
        trunk, head: tokens (B, T) -> hidden (B, T, D), and hidden -> logits; both or neither. By default
            the head is `lm_head` alone, and the trunk everything before it.
        loss: (module, tokens (B, T), targets (B, T)) -> (B,), each sequence's mean -log p(target) over the
            targets that are not -100, in nats; in place of trunk and head. No sequence's loss may depend
            on another's. A full set of logits is then held, and counted in the memory plan.
        max_length: longest sequence; None if there is no limit.
    """

    module: nn.Module
    blocks: str | Sequence[nn.Module] | None = None
    matrices: Mapping[str, str | tuple[str, int, int]] = field(default_factory=dict)
    final_norm: str | nn.Module | None = None
    trunk: Callable[[Tensor], Tensor] | None = None
    head: Callable[[Tensor], Tensor] | None = None
    loss: UsersLoss | None = None
    max_length: int | None = None


def described(returned: Any, word: str) -> Description:
    """What the builder called `word` returned, as a description.

    Raises:
        ModelError: it is none, or contradicts itself.
    """
    names = [f.name for f in fields(Description)]
    if isinstance(returned, Description):
        found = returned
    elif isinstance(returned, nn.Module):
        found = Description(module=returned)
    elif isinstance(returned, Mapping):
        unknown = sorted(str(key) for key in returned if key not in names)
        if unknown or "module" not in returned:
            keys = ", ".join(map(str, list(returned)[:_NUM_SHOWN])) or "nothing"
            _refuse(word, f"a mapping with {keys}{' and so on' * (len(returned) > _NUM_SHOWN)}")
        found = Description(**returned)
    elif isinstance(getattr(returned, "module", None), nn.Module):
        given = {name: getattr(returned, name) for name in names if hasattr(returned, name)}
        found = Description(**given)
    else:
        _refuse(word, f"a {type(returned).__name__}")
    if not isinstance(found.module, nn.Module):
        _refuse(word, f"a {type(found.module).__name__} as module")
    if (found.trunk is None) != (found.head is None):
        _refuse(word, "one of trunk and head; they come together")
    if found.loss is not None and found.head is not None:
        _refuse(word, "a loss beside trunk and head; a loss takes their place")
    for name in ("trunk", "head", "loss"):
        if (part := getattr(found, name)) is not None and not callable(part):
            _refuse(word, f"a {type(part).__name__} as {name}, which cannot be called")
    return found


def _refuse(word: str, found: str) -> NoReturn:
    names = ", ".join(f.name for f in fields(Description))
    raise OwnCodeError(
        f"--model {word}: returned {found}; expected a torch.nn.Module, or a mapping or an object with "
        f"`module` and any of {names.removeprefix('module, ')}"
    )


def measurable(given: Description, word: str, *, family: str, notices: tuple[str, ...]) -> Model:
    """The model as it was described, the rest found from the module tree.

    Args:
        given: module, and whatever else was given.
        word: the builder's name, for messages.
        family: the family's name.
        notices: what is known to be said so far.

    Raises:
        ModelError: a path that leads nowhere; no embedding, blocks or head to be found.
    """
    module, shared = given.module, dict[Site, str]()
    path, blocks = _blocks(given, word)
    if given.matrices:
        views = [_view(module, *entry, len(blocks), word) for entry in given.matrices.items()]
    else:
        replace_experts(module)
        views, shared = views_of_blocks(blocks, path, getattr(module, "config", None))
        notices += (f"sites were found from the module tree ({path})",)
    loss = None if given.loss is None else own_loss(given.loss, module, word)
    trunk = given.trunk if loss is None else stream_under(loss, blocks, word)
    head = given.head if loss is None else _no_head
    halves = halves_of(module, blocks, trunk=trunk, head=head, word=word)
    views += _edges(views, halves, path_of=_paths(module))
    embed = next((view for view in views if view.site.component == "embed"), None)
    if embed is None:
        raise OwnCodeError(
            f"--model {word}: no torch.nn.Embedding outside the blocks of {type(module).__name__}; "
            'name the token embedding in `matrices`: {"embed": "path.weight"}'
        )
    vocab_size, width = embed.shape
    in_blocks = [view for view in views if view.site.layer is not None]
    absent = absent_components(
        in_blocks, num_blocks=len(blocks), reasons={}, otherwise="no matrix goes by such a name"
    )
    if not any(view.site.component == "lm_head" for view in views):
        absent[Site(layer=None, component="lm_head")] = "no output embedding of its own"
    return Model(
        module=module,
        family=family,
        architecture=type(module).__name__,
        recognised=False,
        width=width,
        vocab_size=vocab_size,
        max_length=given.max_length,
        blocks=blocks,
        matrices=in_canonical_order(views),
        final_norm=_final_norm(given, path),
        trunk=halves.trunk,
        head=halves.head,
        loss=loss,
        absent=absent | shared,
        notices=notices
        + unmeasured_notice(
            blocks, in_blocks, because="not in the site map" if given.matrices else "not linear maps"
        ),
    )


def _no_head(_hidden: Tensor) -> Tensor:
    raise AssertionError("a model with a loss of its own has no head")


def _blocks(described: Description, word: str) -> tuple[str, tuple[nn.Module, ...]]:
    """Path and members of the list of blocks."""
    module, given = described.module, described.blocks
    if given is None:
        return find_blocks(module)
    if isinstance(given, str):
        blocks = tuple(_submodule(module, given, word).children())
        if not blocks:
            raise OwnCodeError(f"--model {word}: blocks {given!r} is empty; expected a list of modules")
        return given, blocks
    blocks, paths = tuple(given), _paths(module)
    strange = [type(block).__name__ for block in blocks if block not in paths]
    if strange or not blocks:
        raise OwnCodeError(
            f"--model {word}: blocks are {', '.join(strange) or 'empty'}; expected parts of the module"
        )
    return paths[blocks[0]].rpartition(".")[0], blocks


def _edges(
    views: Sequence[MatrixView], halves: Halves, *, path_of: Mapping[nn.Module, str]
) -> list[MatrixView]:
    """The embedding and the head, where they were found and not named; a tied head as an alias."""
    named = {view.site.component for view in views if view.site.layer is None}
    edges = []
    tied = halves.embed is not None and halves.lm_head is not None
    tied = tied and halves.lm_head.weight is halves.embed.weight  # type: ignore[union-attr]
    if halves.embed is not None and "embed" not in named:
        site = Site(layer=None, component="embed", name=f"{path_of[halves.embed]}.weight")
        aliases = (f"{path_of[halves.lm_head]}.weight",) if tied and halves.lm_head is not None else ()
        edges.append(MatrixView(site=site, module=halves.embed, kind="embedding", aliases=aliases))
    if halves.lm_head is not None and "lm_head" not in named and not tied:
        site = Site(layer=None, component="lm_head", name=f"{path_of[halves.lm_head]}.weight")
        edges.append(MatrixView(site=site, module=halves.lm_head))
    return edges


def _view(module: nn.Module, address: str, place: Any, num_blocks: int, word: str) -> MatrixView:
    """One entry of the site map."""
    path, rows = _place(address, place, word)
    owner_path, _, parameter = path.rpartition(".")
    owner = _submodule(module, owner_path, word)
    weight = getattr(owner, parameter, None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise OwnCodeError(f"--model {word}: {address} is {path}, found {shape}; expected a matrix")
    from transformers.pytorch_utils import Conv1D

    site = Site.parse(address, name=path)
    if site.layer is not None and site.layer >= num_blocks:
        raise OwnCodeError(f"--model {word}: {address} is in no block; the model has {num_blocks}")
    transposed = isinstance(owner, Conv1D)
    fan_out = weight.shape[1 if transposed else 0]
    if rows is not None and not 0 <= rows.start < rows.stop <= fan_out:
        raise OwnCodeError(
            f"--model {word}: {address} is rows {rows.start} to {rows.stop} of {path}, which has {fan_out}"
        )
    return MatrixView(
        site=site,
        module=owner,
        parameter=parameter,
        rows=rows,
        transposed=transposed,
        kind="embedding" if isinstance(owner, nn.Embedding) else "linear",
    )


def _place(address: str, place: Any, word: str) -> tuple[str, slice | None]:
    """Path of a parameter, and the rows that belong to it."""
    if isinstance(place, str):
        return place, None
    if isinstance(place, Sequence) and [type(part) for part in place] == [str, int, int]:
        return place[0], slice(place[1], place[2])
    raise OwnCodeError(
        f"--model {word}: {address} is {place!r}; expected the path of a parameter, or (path, first row, "
        "last row exclusive)"
    )


def _final_norm(described: Description, blocks_path: str) -> nn.Module | None:
    given = described.final_norm
    if isinstance(given, nn.Module):
        return given
    if isinstance(given, str):
        return _submodule(described.module, given, "final_norm")
    return norm_after(described.module.get_submodule(blocks_path.rpartition(".")[0]))


def _submodule(module: nn.Module, path: str, word: str) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        raise OwnCodeError(
            f"--model {word}: {type(module).__name__} has no part {path!r}: {error}"
        ) from error


def _paths(module: nn.Module) -> dict[nn.Module, str]:
    return {part: path for path, part in module.named_modules()}
