"""An unknown module cut where its head begins: the last linear map outside the blocks, if that is all.

The trunk is the module's own forward, stopped at the moment it calls the head.
Shape suffixes: B sequences, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from spectra_cli.core.errors import OwnCodeError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halves:
    """The two halves of a language model and its embeddings.

    Attributes:
        trunk: tokens (B, T) -> hidden (B, T, D); `head`: hidden (..., D) -> logits (..., V).
        embed, lm_head: the embedding of tokens and the map to logits, where there are such modules.
    """

    trunk: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    embed: nn.Embedding | None
    lm_head: nn.Linear | None


class _HeadReached(Exception):  # noqa: N818 - not an error: it carries the hidden state out of a forward
    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def halves_of(
    module: nn.Module,
    blocks: Sequence[nn.Module],
    *,
    trunk: Callable[[Tensor], Tensor] | None,
    head: Callable[[Tensor], Tensor] | None,
    word: str,
) -> Halves:
    """The halves of `module`: the given ones, or those on both sides of its last linear map.

    Args:
        blocks: its blocks; the embeddings lie outside them.
        trunk, head: both or neither.
        word: what made the module, for messages.

    Raises:
        ModelError: neither was given, and no linear map lies outside the blocks.
    """
    inside = {part for block in blocks for part in block.modules()}
    outside = [part for part in module.modules() if part not in inside]
    linear = [part for part in outside if isinstance(part, nn.Linear)]
    lm_head = linear[-1] if linear else None
    embed = _token_embedding([part for part in outside if isinstance(part, nn.Embedding)], lm_head)
    if trunk is not None and head is not None:
        return Halves(trunk=trunk, head=head, embed=embed, lm_head=lm_head)
    if lm_head is None:
        raise OwnCodeError(
            f"--model {word}: no torch.nn.Linear outside the blocks of {type(module).__name__}, so its head "
            "could not be told from its trunk; return `trunk` and `head`, or a `loss`, beside the module"
        )
    return Halves(trunk=_until(module, lm_head, word), head=lm_head, embed=embed, lm_head=lm_head)


def logits_of(output: Any, word: str) -> Tensor:
    """The logits that a forward returned, alone or as `.logits`.

    Raises:
        ModelError: it returned something else.
    """
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 3:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
        raise OwnCodeError(
            f"--model {word}: its forward(tokens) returned {found}; expected logits of shape (B, T, V), or "
            "an object that has them as .logits"
        )
    return logits


def _token_embedding(embeddings: list[nn.Embedding], lm_head: nn.Linear | None) -> nn.Embedding | None:
    """The embedding with as many rows as there are logits, else the first."""
    if lm_head is not None:
        embeddings = sorted(embeddings, key=lambda part: part.num_embeddings != lm_head.out_features)
    return embeddings[0] if embeddings else None


def _until(module: nn.Module, lm_head: nn.Linear, word: str) -> Callable[[Tensor], Tensor]:
    """`module`'s forward up to the input of `lm_head`."""

    def stop(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        raise _HeadReached(inputs[0])

    def trunk(tokens: Tensor) -> Tensor:
        handle = lm_head.register_forward_pre_hook(stop)
        try:
            module(tokens)
        except _HeadReached as reached:
            return reached.hidden
        finally:
            handle.remove()
        raise OwnCodeError(
            f"--model {word}: the forward of {type(module).__name__} never called its last linear map, so "
            "its head could not be told from its trunk; return `trunk` and `head`, or a `loss`, beside the "
            "module"
        )

    return trunk
