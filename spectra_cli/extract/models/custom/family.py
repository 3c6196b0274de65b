"""A user's own model: `--model package.module:build` names the function that makes it.

`build(state, metadata)` gets the checkpoint's tensors by name and what is known about it, and returns a
`torch.nn.Module` whose `forward(tokens)` gives logits (B, T, V), alone or as `.logits` of what it
returns; or a `Description` of a module, as a mapping or an object, which may bring a loss of its own. It is
called once with tensors on the meta device, which have shapes and no values, to plan the scan, and then
with each checkpoint's own.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spectra_cli.core.errors import OwnCodeError, UnknownNameError, UsageError
from spectra_cli.core.words.names import did_you_mean, listed
from spectra_cli.core.words.plurals import agreed, counted
from spectra_cli.extract.models.custom.description import described, measurable
from spectra_cli.extract.models.custom.halves import logits_of
from spectra_cli.extract.models.custom.own_loss import check_loss
from spectra_cli.extract.models.matching import META, without_values
from spectra_cli.extract.models.origins import Origins
from spectra_cli.extract.models.transformers.causal_lm import check, check_blocks, check_causal
from spectra_cli.extract.models.users_code import guarded, told, users_code
from spectra_cli.extract.numerics import in_dtype
from spectra_cli.extract.protocols import CheckpointHeader, Model

Builder = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Any]

_NAMED = 8

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(slots=True, kw_only=True)
class CustomFamily:
    """Models that the user's builder makes.

    Attributes:
        name, summary: as of every family; `word`: as the user gave it; `builder`: what it names.
    """

    name: str
    summary: str
    word: str
    builder: Builder

    def recognises(self, header: CheckpointHeader) -> bool:
        """Always: the user chose it."""
        return True

    def build(
        self, header: CheckpointHeader, state: Mapping[str, Tensor] | None, *, device: torch.device
    ) -> Model:
        """What the builder makes of the checkpoint, in float32, eval, without gradients.

        Raises:
            ModelError: it raised something; what it returned is no model that can be measured, or does not
                hold the checkpoint's tensors, or holds others.
        """
        given = without_values(header.tensors) if state is None else state
        origins = Origins(given)
        found = described(self._call(header, given, origins), self.word)
        module = found.module
        if state is not None:
            _check_values(module, given, self.word)
        notices = (f"built by {self.word}", *_check_origins(module, given, origins, self.word))
        if state is not None:
            in_dtype(module.to(device), torch.float32)
        module.eval().requires_grad_(requires_grad=False)
        model = measurable(found, self.word, family=self.name, notices=notices)
        if model.loss is None:
            model = replace(
                model,
                trunk=guarded(model.trunk, f"--model {self.word}", "its forward"),
                head=guarded(model.head, f"--model {self.word}", "its head"),
            )
        if state is not None and model.loss is not None:
            check_blocks(model)
            check_causal(model)
            check_loss(model, self.word)
        elif state is not None:

            def whole(tokens: Tensor) -> Tensor:
                return logits_of(module(tokens), self.word)

            check(model, whole=guarded(whole, f"--model {self.word}", "its forward"))
        return model

    def _call(self, header: CheckpointHeader, given: Mapping[str, Tensor], origins: Origins) -> Any:
        metadata = {
            "config": dict(header.config),
            "format": header.ref.format,
            "path": header.ref.uri,
            "step": header.ref.step,
        }
        with _importable_from_here(), users_code(f"--model {self.word}", "it"), origins:
            if not _is_empty(given):
                return self.builder(dict(given), metadata)
            try:
                with META:
                    return self.builder(dict(given), metadata)
            except (RuntimeError, NotImplementedError) as error:
                raise OwnCodeError(
                    f"--model {self.word}: failed on tensors without values: {told(error)}. It is first "
                    "called with tensors on the meta device, to plan the scan: it may read their shapes, not "
                    "their values"
                ) from error


def _is_empty(given: Mapping[str, Tensor]) -> bool:
    return any(tensor.is_meta for tensor in given.values())


def custom_family(word: str) -> CustomFamily:
    """The family of the builder that `word` names, as `package.module:function`.

    Modules are found as Python finds them, and in the working directory first.

    Raises:
        UsageError: no such module or function, nothing that can be called, or a module that cannot be
            imported.
    """
    if not _NAME.fullmatch(word):
        raise UsageError(f"--model {word}: expected package.module:function, such as my_model:build")
    module_name, _, attribute = word.partition(":")
    if module_name.endswith(".py"):
        raise UsageError(
            f"--model {word}: expected the module's name and not its file: "
            f"{module_name.removesuffix('.py')}:{attribute}"
        )
    found = _imported(module_name, word)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in vars(found) if not name.startswith("_")]
            raise UnknownNameError(
                f"--model {word}: {module_name} has no {part!r}{did_you_mean(part, public)}; "
                f"it has {', '.join(public[:12]) or 'nothing'}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"--model {word}: is a {type(found).__name__}; expected a function (state, metadata)"
        )
    return CustomFamily(name="custom", summary=f"built by {word}", word=word, builder=found)


def _imported(module_name: str, word: str) -> Any:
    with _importable_from_here():
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
                raise UsageError(
                    f"--model {word}: no module {error.name!r} in {os.getcwd()} nor among the installed ones"
                ) from error
            raise UsageError(f"--model {word}: importing {module_name} raised {told(error)}") from error
        except SystemExit as error:
            raise UsageError(
                f"--model {word}: importing {module_name} ended the program ({told(error)}); "
                'what a script does when it is run belongs under `if __name__ == "__main__":`'
            ) from error
        except Exception as error:  # the user's code may raise anything
            raise UsageError(f"--model {word}: importing {module_name} raised {told(error)}") from error


@contextmanager
def _importable_from_here() -> Iterator[None]:
    """Modules of the working directory can be imported, as with `python -m`."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _check_values(module: nn.Module, state: Mapping[str, Tensor], word: str) -> None:
    """Nothing in the module may lack values, or contradict the checkpoint's tensor of the same name.

    Raises:
        ModelError: a tensor on the meta device, or one that differs.
    """
    own = dict(module.named_parameters(remove_duplicate=False))
    empty = [name for name, tensor in {**own, **dict(module.named_buffers())}.items() if tensor.is_meta]
    if empty:
        raise OwnCodeError(
            f"--model {word}: {counted(len(empty), 'tensor')} of its module "
            f"{agreed(len(empty), 'has', 'have')} no values: {listed(empty, _NAMED)}; "
            "build the module on the CPU and load the given state into it"
        )
    for name, parameter in own.items():
        stored = state.get(name)
        if stored is None or stored.shape != parameter.shape:
            continue
        if not torch.allclose(
            parameter.detach().cpu().float(), stored.float(), rtol=0, atol=0, equal_nan=True
        ):
            raise OwnCodeError(
                f"--model {word}: {name} differs from the checkpoint's tensor of that name; "
                "load the given state into the module before returning it"
            )


def _check_origins(
    module: nn.Module, state: Mapping[str, Tensor], origins: Origins, word: str
) -> tuple[str, ...]:
    """What of the checkpoint is not in the module, and what goes by another name there.

    Raises:
        ModelError: a parameter that nothing of the checkpoint went into: it is as it was initialised.
    """
    parameters = dict(module.named_parameters())
    held = [*parameters.values(), *module.buffers()]
    if _is_empty(state) and not any(map(origins.of, held)):
        return ()  # a builder may leave tensors without values unloaded
    by_name = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers())
    same = {name for name, own in by_name.items() if name in state and state[name].shape == own.shape}
    loaded = {id(by_name[name]) for name in same}
    others = {name: own for name, own in parameters.items() if id(own) not in loaded}
    if lacking := [name for name, own in others.items() if not origins.of(own)]:
        raise OwnCodeError(
            f"--model {word}: {len(lacking)} of {len(parameters)} parameters of its module are not from the "
            f"checkpoint: {listed(lacking, _NAMED)}; load the given state into them, or make what the "
            "builder works out by itself buffers"
        )
    notices = []
    if others:
        count = f"{len(others)} of {len(parameters)} parameters"
        notices.append(
            f"{count} are not the checkpoint's by name; {word} answers for their values: "
            f"{listed(others, _NAMED)}"
        )
    if unused := sorted(set(state).difference(same, *map(origins.of, held))):
        notices.append(
            f"{len(unused)} of {counted(len(state), 'tensor')} of the checkpoint {agreed(len(unused))} "
            f"not in the module that {word} "
            f"built: {listed(unused, _NAMED)}"
        )
    return tuple(notices)
