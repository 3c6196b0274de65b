"""Hooks that show observers a pass from the inside, and are gone when the pass is over.

A measured matrix needs no gradient of its own: its input and the gradient at its output carry the
per-sequence gradient. Where nothing below asks for a gradient, the output itself becomes the leaf,
so that backward never goes below the lowest measured matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.measurements.measurement import Batch, BlockObserver, GradientObserver
from spectra_cli.extract.protocols import MatrixView, Model


@dataclass(slots=True, eq=False)
class Clock:
    """Which sequences the pass is at; the engine sets it, the taps read it.

    Attributes:
        batch: the batch under way.
        part: first and last (exclusive) sequence, from the batch's start, that the head is working on
            while it runs in chunks; None for the whole batch.
    """

    batch: Batch | None = None
    part: tuple[int, int] | None = None

    def now(self) -> Batch:
        """The sequences that a hook firing now belongs to."""
        if self.batch is None:
            raise AssertionError("a tap fired outside a batch")
        if self.part is None:
            return self.batch
        start, stop = self.part
        return replace(self.batch, start=self.batch.start + start, stop=self.batch.start + stop)


@contextmanager
def tapped_blocks(model: Model, observer: BlockObserver, clock: Clock) -> Iterator[None]:
    """Show `observer` the residual stream after each of its layers."""

    def tap(layer: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            hidden = output if isinstance(output, Tensor) else output[0]
            with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
                observer.observe(layer, hidden, clock.now())

        return hook

    with ExitStack() as hooks:
        for layer in observer.layers:
            hooks.callback(model.blocks[layer].register_forward_hook(tap(layer)).remove)
        yield


@contextmanager
def tapped_gradients(model: Model, observer: GradientObserver, clock: Clock) -> Iterator[None]:
    """Show `observer` every call of its matrices' modules, once the gradient reaches them."""
    views_of: dict[nn.Module, list[MatrixView]] = {}
    by_parameter: dict[int, list[MatrixView]] = {}
    for view in observer.views:
        by_parameter.setdefault(id(getattr(view.module, view.parameter)), []).append(view)
    for views in by_parameter.values():
        for module in holders(model.module, views[0]):
            views_of.setdefault(module, []).extend(views)
    with ExitStack() as hooks:
        for module, views in views_of.items():
            if views[0].kind == "router":
                hooks.callback(module.register_forward_pre_hook(_differentiable, with_kwargs=True).remove)
            tap = (_tap if views[0].expert is None else _expert_tap)(views, observer, clock)
            hooks.callback(module.register_forward_hook(tap, with_kwargs=True).remove)
        yield


def _tap(views: Sequence[MatrixView], observer: GradientObserver, clock: Clock) -> Callable[..., Any]:
    """A forward hook on a module that every token passes."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if not torch.is_grad_enabled():
            return None
        batch = clock.now()
        inputs = next(iter((*args, *kwargs.values()))).detach()
        padding = getattr(module, "padding_idx", None)

        def receive(delta: Tensor) -> None:
            if padding is not None:
                # autograd gives an embedding's padding row no gradient
                delta = delta.masked_fill((inputs == padding).unsqueeze(-1), 0.0)
            with torch.no_grad(), torch.autocast(delta.device.type, enabled=False):
                for view in views:
                    own = _own_outputs(delta, view)
                    if batch.stop - batch.start == 1 and inputs.shape[0] not in (1, batch.length):
                        # some tokens, or several times each: whatever they are, of the one sequence
                        rows = inputs.reshape(-1, inputs.shape[-1]), own.reshape(-1, own.shape[-1])
                        observer.observe(view, *rows, batch, [len(rows[0])])
                        continue
                    inputs_BTI = _by_sequence(inputs, batch, view)
                    observer.observe(view, inputs_BTI, _by_sequence(own, batch, view), batch)

        if views[0].kind == "router":
            output[0].register_hook(receive)
            return None
        return _listen(output, receive)

    return hook


def _expert_tap(views: Sequence[MatrixView], observer: GradientObserver, clock: Clock) -> Callable[..., Any]:
    """A forward hook on a module that is called once an expert, with the tokens routed to it."""
    views_of: dict[int | None, list[MatrixView]] = {}
    for view in views:
        views_of.setdefault(view.expert, []).append(view)

    def hook(_module: nn.Module, args: tuple[Any, ...], _kwargs: dict[str, Any], output: Tensor) -> Any:
        rows, expert, tokens = args
        if not torch.is_grad_enabled() or expert not in views_of:
            return None
        batch, inputs = clock.now(), rows.detach()

        def receive(delta: Tensor) -> None:
            with torch.no_grad(), torch.autocast(delta.device.type, enabled=False):
                sequences = tokens.div(batch.length, rounding_mode="floor")
                counts = sequences.bincount(minlength=batch.stop - batch.start).tolist()
                for view in views_of[expert]:
                    observer.observe(view, inputs, _own_outputs(delta, view), batch, counts)

        return _listen(output, receive)

    return hook


def _own_outputs(delta: Tensor, view: MatrixView) -> Tensor:
    return delta if view.rows is None else delta[..., view.rows]


def _listen(output: Tensor, receive: Callable[[Tensor], None]) -> Tensor | None:
    """Call `receive` with the output's gradient; what the module returns instead, None for the output."""
    if output.requires_grad:
        output.register_hook(receive)
        return None
    leaf = output.detach().requires_grad_()
    leaf.register_hook(receive)
    # a copy, since some models go on to change this output in place, which a leaf forbids
    return leaf.clone()


def _differentiable(
    _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """A forward pre-hook: a router works on from its logits, so they must ask for a gradient at birth."""
    inputs = next(iter((*args, *kwargs.values())))
    if not torch.is_grad_enabled() or inputs.requires_grad:
        return None
    leaf = inputs.detach().requires_grad_()
    if args:
        return (leaf, *args[1:]), kwargs
    return args, {name: leaf if value is inputs else value for name, value in kwargs.items()}


def holders(root: nn.Module, view: MatrixView) -> list[nn.Module]:
    """Every module whose own parameter is this view's: more than one where weights are tied."""
    parameter = getattr(view.module, view.parameter)
    found = [
        module
        for module in root.modules()
        if any(own is parameter for own in module.parameters(recurse=False))
    ]
    return found or [view.module]


def _by_sequence(tensor: Tensor, batch: Batch, view: MatrixView) -> Tensor:
    """The tensor with sequences first: modules that flatten (B, T) into rows are unflattened.

    Where the map is applied more than once a token (or to (B, 1, T, I)), every application is a position.
    """
    sequences = batch.stop - batch.start
    if tensor.shape[0] == sequences:
        if tensor.ndim == 2 and view.kind != "embedding":
            return tensor.unsqueeze(1)
        return tensor if tensor.ndim <= 3 else tensor.flatten(1, -2)
    if tensor.shape[0] == sequences * batch.length:
        rows = tensor.reshape(sequences, batch.length, *tensor.shape[1:])
        return rows if rows.ndim <= 3 else rows.flatten(1, -2)
    raise ModelError(
        f"{view.site.name} sees a tensor of shape {tuple(tensor.shape)} for {sequences} sequences of "
        f"{batch.length} tokens, so its gradient cannot be told apart by sequence; leave "
        f"{view.site.component} out of --matrices"
    )
