"""Per-sequence gradient Gram matrices of Hugging Face models, by the libraries that offer such gradients.

All get the same matrices, sequences and loss (mean token cross-entropy), keep a dense float32 stack of
per-sequence gradients a matrix, and share one float64 reduction. None can do with less memory: each
library returns a full gradient a sequence. The sequences go through the model `chunk` at a time, which
bounds what backward keeps; `run.py` tries several chunks and times each rival at its fastest.

- `torch.func`: `vmap(grad(loss))` over `functional_call`.
- Opacus: `GradSampleModule`; hooks for linear maps, its functorch mode for GPT-2's Conv1D.
- BackPACK: `BatchGrad`, with every `nn.Linear` extended. GPT-2 cannot run: its maps are transformers'
  Conv1D, which BackPACK has no rule for, and it then returns nothing, without an error.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.ours import GRADIENT, Spectra, scan, values_of
from benchmarks.workloads import build_probe, wrap_huggingface
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.protocols import MatrixView, Model, Probe
from spectra_cli.extract.selection import select_layers, select_matrices

_CHUNK_BYTES = 64 * 2**20


class CannotRun(Exception):
    """A library cannot give the per-sequence gradients of this model; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientWork:
    """A Hugging Face model and what is measured on it.

    Attributes:
        family: `llama` or `gpt2`; `module`: in eval mode, without gradients.
        model: the same weights as `spectra` sees them.
        views: the matrices; `settings`: of the scan that measures them.
        parameters: site address -> name of the parameter in `module`.
        stacks: the rivals' gradients by site address, (n, P); kept from round to round, as `arena` is, where
            `spectra` keeps its own: both are timed as in a series, after the first checkpoint.
    """

    family: str
    module: nn.Module
    model: Model
    probe: Probe
    settings: ScanSettings
    views: tuple[MatrixView, ...]
    parameters: Mapping[str, str]
    stacks: dict[str, Tensor] = field(default_factory=dict)
    arena: Arena = field(default_factory=lambda: Arena(torch.device("cpu")))


def make_work(
    family: str,
    *,
    width: int = 256,
    num_layers: int = 6,
    num_heads: int = 4,
    vocab_size: int = 1024,
    sequence_length: int = 256,
    num_sequences: int = 128,
) -> GradientWork:
    """A model with seeded random weights; `attn.o`, `mlp.down`, `attn.q` and `attn.v` of every layer."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "llama":
            config: Any = transformers.LlamaConfig(
                hidden_size=width,
                num_hidden_layers=num_layers,
                num_attention_heads=num_heads,
                intermediate_size=4 * width,
                vocab_size=vocab_size,
                max_position_embeddings=sequence_length,
                bos_token_id=0,
                eos_token_id=0,
            )
            module: Any = transformers.LlamaForCausalLM(config)
        else:
            config = transformers.GPT2Config(
                n_embd=width,
                n_layer=num_layers,
                n_head=num_heads,
                vocab_size=vocab_size,
                n_positions=sequence_length,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            )
            module = transformers.GPT2LMHeadModel(config)
    module.eval().requires_grad_(requires_grad=False)
    model = wrap_huggingface(module)
    settings = ScanSettings(
        preset="benchmark",
        measurements=("gradient",),
        num_gradient_sequences=num_sequences,
        sequence_length=sequence_length,
    )
    layers = select_layers(settings.layers, len(model.blocks))
    views, _ = select_matrices(model, settings.matrices, layers, measurement="gradient")
    names = {n: n for n, _ in module.named_parameters()}
    return GradientWork(
        family=family,
        module=module,
        model=model,
        probe=build_probe(model, sequence_length=sequence_length, num_sequences=num_sequences),
        settings=settings,
        views=views,
        parameters={view.site.address: _own_name(view.site.name, names) for view in views},
    )


def run_ours(work: GradientWork, chunk: int = 0) -> Spectra:
    """`spectra`: both gradient spectra with block profiles, more than the rivals are asked for.

    With a chunk of 0 it chooses the number of sequences at a time by itself.
    """
    measured = values_of(
        scan(work.model, work.probe, work.settings, batch_size=chunk or None, arena=work.arena)
    )
    return {key: values for key, values in measured.items() if key[0] == GRADIENT}


def run_vmap(work: GradientWork, chunk: int) -> Spectra:
    """`torch.func.vmap(grad(loss))`, `chunk` sequences at a time."""
    from torch.func import functional_call, grad, vmap

    wanted = set(work.parameters.values())
    everything = dict(work.module.named_parameters())
    frozen = {n: p.detach() for n, p in everything.items() if n not in wanted}
    measured = {n: p.detach() for n, p in everything.items() if n in wanted}

    def loss(parameters: dict[str, Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        inputs = {"input_ids": tokens[None], "use_cache": False}
        logits = functional_call(work.module, frozen | parameters, args=(), kwargs=inputs).logits
        return functional.cross_entropy(logits[0], targets)

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    return _collect(work, chunk, lambda tokens, targets: gradients(measured, tokens, targets))


def run_opacus(work: GradientWork, chunk: int) -> Spectra:
    """Opacus' `GradSampleModule`."""
    import opacus

    twin = _trainable_twin(work)
    twin.train()  # Opacus records nothing in eval mode; the models have no dropout
    wrapped = opacus.GradSampleModule(
        twin,
        batch_first=True,
        loss_reduction="sum",
        strict=False,
        force_functorch=work.family == "gpt2",
    )
    return _collect(work, chunk, _by_backward(wrapped, twin, "grad_sample"))


def run_backpack(work: GradientWork, chunk: int) -> Spectra:
    """BackPACK's `BatchGrad` on every `nn.Linear`.

    Raises:
        CannotRun: none of the matrices lies in a module that BackPACK knows.
    """
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    twin = _trainable_twin(work)
    for module in twin.modules():
        if isinstance(module, nn.Linear):
            extend(module)
    with backpack(BatchGrad()):
        return _collect(work, chunk, _by_backward(twin, twin, "grad_batch"))


RIVALS: Mapping[str, Callable[[GradientWork, int], Spectra]] = {
    "vmap(grad)": run_vmap,
    "Opacus": run_opacus,
    "BackPACK": run_backpack,
}

CONTENDERS: Mapping[str, Callable[[GradientWork, int], Spectra]] = {"spectra": run_ours, **RIVALS}


def _trainable_twin(work: GradientWork) -> nn.Module:
    """A copy of the module in which the measured parameters alone ask for a gradient."""
    twin = copy.deepcopy(work.module)
    wanted = set(work.parameters.values())
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(name in wanted)
    return twin


def _by_backward(
    module: nn.Module, twin: nn.Module, attribute: str
) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    """One backward pass of the summed losses; the library leaves the gradients on the parameters."""

    def gradients(tokens: Tensor, targets: Tensor) -> dict[str, Tensor]:
        logits = module(input_ids=tokens, use_cache=False).logits
        losses = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)
        losses.sum().backward()
        found = {}
        for name, parameter in twin.named_parameters():
            if not parameter.requires_grad:
                continue
            if getattr(parameter, attribute, None) is None:
                raise CannotRun(f"{name} was given no {attribute}: its module is not one the library knows")
            found[name] = getattr(parameter, attribute)
            parameter.grad = None
            setattr(parameter, attribute, None)
        return found

    return gradients


def _collect(
    work: GradientWork, chunk: int, gradients: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> Spectra:
    """Stacks of gradients, filled chunk by chunk, then one Gram matrix each."""
    count = work.settings.num_gradient_sequences
    for view in work.views:
        if view.site.address not in work.stacks:
            work.stacks[view.site.address] = torch.empty(count, view.shape[0] * view.shape[1])
    for start in range(0, count, chunk):
        part = slice(start, min(start + chunk, count))
        found = gradients(work.probe.tokens[part], work.probe.targets[part])
        for view in work.views:
            gradient = found[work.parameters[view.site.address]].detach()
            if view.transposed:
                gradient = gradient.transpose(1, 2)
            if view.rows is not None:
                gradient = gradient[:, view.rows]
            work.stacks[view.site.address][part] = gradient.flatten(1)
    spectra = {}
    for address, stack in work.stacks.items():
        kernel = _gram(stack)
        spectra[GRADIENT, address] = torch.linalg.eigvalsh(kernel).clamp(min=0).flip(0).sqrt().numpy()
    return spectra


def _gram(stack: Tensor) -> Tensor:
    """(n, n) float64 from (n, P) float32, a slice of columns at a time."""
    total = stack.new_zeros(stack.shape[0], stack.shape[0], dtype=torch.float64)
    for columns in stack.split(max(1, _CHUNK_BYTES // (8 * stack.shape[0])), dim=1):
        wide = columns.double()
        total.addmm_(wide, wide.T)
    return total


def _own_name(stored: str, names: Mapping[str, str]) -> str:
    """The module's name for a parameter that the checkpoint calls `stored`."""
    return next(name for name in names if name == stored or name.endswith(f".{stored}"))
