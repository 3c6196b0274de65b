"""Tiny models and probes, ready to be measured, beside what reads the results by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import Scalar, Spectrum
from spectra_cli.extract.engine import measure
from spectra_cli.extract.measurements.measurement import Measured
from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.extract.protocols import CheckpointHeader, Model, Probe
from tests.builders import provenance as builders
from tests.builders import tiny
from tests.extract.writers.decoder import random_state
from tests.extract.writers.huggingface import VOCAB

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def header_of() -> Callable[..., CheckpointHeader]:
    return tiny.header


@pytest.fixture(scope="session")
def write() -> Callable[..., tiny.Written]:
    """The model of an entry of `CONFIGS`, saved as `save_pretrained` does: a tied head left out."""
    return tiny.written


@pytest.fixture(scope="session")
def decoder_state() -> Callable[..., dict[str, Tensor]]:
    """Random tensors under the names and shapes of one early variant."""
    return random_state


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Model]:
    """A fresh model of one architecture; `edit` may change the tensors first."""
    return tiny.tiny


@pytest.fixture(scope="session")
def skeleton_of() -> Callable[..., Model]:
    """The same on the meta device, without weights."""
    return tiny.skeleton


def probe_from(ids: Tensor, targets: str = "next_token") -> Probe:
    """A probe of the given ids: (N, T + 1), or (N, T) when the last target is ignored."""
    if targets == "ignore_last":
        tokens, wanted = ids, torch.cat([ids[:, 1:], ids.new_full((len(ids), 1), -100)], 1)
    else:
        tokens, wanted = ids[:, :-1], ids[:, 1:]
    info = builders.probe(
        num_sequences=len(tokens),
        sequence_length=tokens.shape[1],
        targets=targets,
        vocab_size=int(ids.max()) + 1,
    )
    return Probe(info=info, tokens=tokens.contiguous(), targets=wanted.contiguous())


@pytest.fixture(scope="session")
def make_probe() -> Callable[..., Probe]:
    """Seeded uniform ids below `vocab`, or the ids given."""

    def probe(
        num: int = 24,
        length: int = 12,
        *,
        seed: int = 7,
        vocab: int = VOCAB,
        targets: str = "next_token",
        ids: Tensor | None = None,
    ) -> Probe:
        if ids is None:
            width = length + (targets == "next_token")
            ids = torch.randint(vocab, (num, width), generator=torch.Generator().manual_seed(seed))
        return probe_from(ids, targets)

    return probe


@pytest.fixture(scope="session")
def settings_for() -> Callable[..., ScanSettings]:
    """Settings that take in the whole probe, and every matrix inside the blocks."""

    def settings(probe: Probe, **changes: Any) -> ScanSettings:
        num, length = probe.tokens.shape
        defaults = {
            "matrices": ("all",),
            "num_sequences": num,
            "num_gradient_sequences": num,
            "sequence_length": length,
            "targets": probe.info.targets,
            "num_blocks": 4,
        }
        return ScanSettings(**(defaults | changes))

    return settings


@pytest.fixture(scope="session")
def scan(settings_for) -> Callable[..., Measured]:
    """`measure` with a plan of its own; the rest are settings."""

    def run(
        model: Model,
        probe: Probe,
        *,
        batch_size: int | None = None,
        budget_bytes: int = 2**40,
        device: torch.device = CPU,
        edit_plan: Callable[[Any], Any] = lambda plan: plan,
        **changes: Any,
    ) -> Measured:
        settings = settings_for(probe, **changes)
        plan = plan_scan(model, settings, device=device, budget_bytes=budget_bytes, batch_size=batch_size)
        return measure(model, probe, settings, edit_plan(plan), progress=lambda *_: None)

    return run


@pytest.fixture(scope="session")
def spectra_of() -> Callable[[Measured, str], dict[str, Spectrum]]:
    """Address -> spectrum of one measurement."""
    return lambda measured, name: {s.site.address: s for s in measured.spectra if s.measurement == name}


@pytest.fixture(scope="session")
def scalar_of() -> Callable[..., Scalar]:
    """The scalar of this name and address."""

    def find(measured: Measured, name: str, address: str | None = None) -> Scalar:
        (found,) = (
            s
            for s in measured.scalars
            if s.name == name and (None if s.site is None else s.site.address) == address
        )
        return found

    return find


@pytest.fixture(scope="session")
def steepen() -> Callable[[Model], Model]:
    """Squeeze what is written into the residual stream, so that its variances fall by 10^6 and more.

    The squeeze lies along random directions, not along features: no single coordinate carries a small
    eigenvalue by itself, which float32 would represent for free.
    """

    def squeeze(model: Model) -> Model:
        width = model.width
        generator = torch.Generator().manual_seed(3)
        basis = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
        matrix = ((basis * torch.logspace(0, -3, width, dtype=torch.float64)) @ basis.T).float()
        written = {v.module for v in model.matrices if v.site.component in ("attn.o", "mlp.down")}
        outputs = {p for m in written for p in m.parameters(recurse=False)}
        transposed = {v.module.weight for v in model.matrices if v.transposed}
        embeddings = {m.weight for m in model.module.modules() if isinstance(m, nn.Embedding)}
        with torch.no_grad():
            for parameter in embeddings | {p for p in outputs if p.ndim == 1 or p in transposed}:
                parameter.copy_(parameter @ matrix)
            for parameter in outputs - transposed:
                if parameter.ndim == 2:
                    parameter.copy_(matrix @ parameter)
        return model

    return squeeze


class SlowReference:
    """What the scan must find, from the module's own forward and plain autograd in float64.

    Sequences go one at a time; gradients are stacked whole, covariances take two passes.
    """

    def __init__(
        self, model: Model, probe: Probe, addresses: list[str], *, num_gradients: int | None = None
    ) -> None:
        """Run all sequences of `probe` through `model`, which becomes float64; the first backward too."""
        self.views = [v for v in model.matrices if v.site.address in addresses]
        module = model.module.double()
        parameters = {v: getattr(v.module, v.parameter) for v in self.views}
        unique = list(dict.fromkeys(parameters.values()))
        hidden: dict[int, list[Tensor]] = {layer: [] for layer in range(len(model.blocks))}
        losses, gradients = [], {v.site.address: [] for v in self.views}
        hooks = [
            block.register_forward_hook(
                lambda _m, _a, out, layer=layer: hidden[layer].append(
                    (out if isinstance(out, Tensor) else out[0])[0].detach()
                )
            )
            for layer, block in enumerate(model.blocks)
        ]
        for parameter in unique:
            parameter.requires_grad_(True)
        for number, (tokens, targets) in enumerate(zip(probe.tokens, probe.targets, strict=True)):
            output = module(tokens[None])
            logits = output if isinstance(output, Tensor) else output.logits
            loss = nn.functional.cross_entropy(logits[0], targets, ignore_index=-100)
            losses.append(loss.detach())
            if num_gradients is not None and number >= num_gradients:
                continue
            found = dict(zip(unique, torch.autograd.grad(loss, unique), strict=True))
            for view, parameter in parameters.items():
                matrix = found[parameter].T if view.transposed else found[parameter]
                gradients[view.site.address].append(matrix if view.rows is None else matrix[view.rows])
        for hook in hooks:
            hook.remove()
        for parameter in unique:
            parameter.requires_grad_(False)
        self.losses = torch.stack(losses)
        self.hidden = {layer: torch.stack(rows) for layer, rows in hidden.items()}
        self.gradients = {address: torch.stack(rows) for address, rows in gradients.items() if rows}

    def covariance_eigenvalues(self, layer: int, *, normalize: str = "rms") -> Tensor:
        """Of the centred covariance, divisor n - 1, descending."""
        return two_pass_eigenvalues(self.hidden[layer].flatten(0, 1), normalize=normalize)

    def singular_values(self, address: str) -> Tensor:
        """Of the stacked gradients G, not centred."""
        return torch.linalg.svdvals(self.gradients[address].flatten(1))

    def centred_eigenvalues(self, address: str) -> Tensor:
        """Of the gradients' covariance over sequences, as many as there are singular values."""
        stack = self.gradients[address].flatten(1)
        return torch.linalg.svdvals(stack - stack.mean(0)).square() / (len(stack) - 1)


def two_pass_eigenvalues(rows: Tensor, *, normalize: str = "none") -> Tensor:
    """Mean first, then the scatter about it: (n, D) -> (D,) descending."""
    if normalize == "rms":
        rows = rows / torch.sqrt(rows.square().mean(-1, keepdim=True) + 1e-6)
    centred = rows - rows.mean(0)
    return torch.linalg.eigvalsh(centred.T @ centred / (len(rows) - 1)).flip(0)


@pytest.fixture(scope="session")
def slow_reference() -> type[SlowReference]:
    return SlowReference


@pytest.fixture(scope="session")
def two_pass() -> Callable[..., Tensor]:
    return two_pass_eigenvalues
