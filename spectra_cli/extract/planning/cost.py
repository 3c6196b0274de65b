"""What a scan costs: floating-point operations and bytes, from the shapes of model and plan alone.

A multiply-add counts as two operations; norms, activations and softmax are left out (they are O(D) a
token where the rest is O(D^2)), and so are recurrences and expert matrices that are not among the
model's matrices. Shapes: D width, V vocabulary, T tokens a sequence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.measurements.scope import Planned, Scope, Work
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import MatrixView, Model

# In the order of the forward pass; a map's input gradient is needed only above the lowest measured one.
_STAGES = (("attn.q", "attn.k", "attn.v"), ("attn.o",), ("mlp.gate", "mlp.up"), ("mlp.down",))
# Backward of attention: five products to the forward's two.
_ATTENTION_BACKWARD = 2.5
EIGEN = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCost:
    """Operations by part, and bytes that must cross the memory bus, of one checkpoint.

    Attributes:
        passes: operations in the dtype of the pass: `forward`, `backward`, `head`; attention: what of them
            are scores and their use, `forward` and `backward`.
        gradients: delta^T a of every measured matrix, in the dtype of the pass.
        sums: `gram` and `covariance`, in float64.
        profiles: blocks on eigenvectors, on the CPU.
        eigen: of the symmetric eigensolvers, about 9 n^3 each with vectors; they run at a fraction of
            the rate of a matrix product, and `total` leaves them out.
        bytes_moved: weights, activations, gradient stores and sums, each once a use.
    """

    passes: Mapping[str, float]
    attention: Mapping[str, float]
    gradients: float
    sums: Mapping[str, float]
    profiles: float
    eigen: float
    bytes_moved: float

    @property
    def operations(self) -> dict[str, float]:
        """Operations of all matrix products, by part."""
        return {**self.passes, "gradients": self.gradients, **self.sums, "profiles": self.profiles}

    @property
    def total(self) -> float:
        """Operations of all matrix products."""
        return sum(self.operations.values())

    def seconds(self, *, pass_rate: float, sum_rate: float, profile_rate: float) -> float:
        """Time of all matrix products at these rates (operations a second): no scan is faster."""
        in_passes = sum(self.passes.values()) + self.gradients
        return in_passes / pass_rate + sum(self.sums.values()) / sum_rate + self.profiles / profile_rate


def scan_cost(model: Model, settings: ScanSettings, plan: ScanPlan, *, causal_share: float = 0.5) -> ScanCost:
    """Operations and bytes of one checkpoint's activations and gradients.

    Args:
        model: loaded or a skeleton on the meta device; only shapes are read.
        settings: what is measured; plan: for this model and these settings.
        causal_share: part of the T x T attention scores that is worked out: 0.5 where the kernel
            skips what the mask hides, 1 as `torch.utils.flop_counter` counts.
    """
    length, n = plan.length, plan.num_gradient_sequences
    layers = _maps_by_layer(model)
    scores = [4 * causal_share * length * _attention_width(views) for views in layers]
    by_address = {view.site.address: view for view in model.matrices}
    head = 2.0 * model.vocab_size * model.width
    forward_each = sum(2 * _reached(views) for views in layers) + sum(scores)
    forward = backward = heads = scored = scored_backward = 0.0
    for step in plan.passes:
        tokens, gradient_tokens = step.num_sequences * length, n * length if step.members else 0
        forward += tokens * forward_each
        heads += (tokens + gradient_tokens) * head
        members = [by_address[member.address] for member in step.members]
        scored += tokens * sum(scores)
        backward += gradient_tokens * _backward_each(members, layers, scores)
        scored_backward += gradient_tokens * _backward_each(members, [[]] * len(layers), scores)
    works = [work for one in works_of(model, settings, plan).values() for work in one]
    amounts: defaultdict[str, float] = defaultdict(float)
    for work in works:
        amounts[work.kind] += work.amount
    return ScanCost(
        passes={"forward": forward, "backward": backward, "head": heads},
        attention={"forward": scored, "backward": scored_backward},
        gradients=amounts["gradients"],
        sums={"gram": amounts["gram"] + amounts["gram_of_factors"], "covariance": amounts["covariance"]},
        profiles=amounts["profiles"],
        eigen=EIGEN * amounts["eigen_cubes"],
        bytes_moved=_bytes_of_passes(model, settings, plan) + sum(work.bytes_moved for work in works),
    )


def works_of(model: Model, settings: ScanSettings, plan: ScanPlan) -> dict[str, tuple[Work, ...]]:
    """Name of a measurement -> what it does on one checkpoint, as it states it."""
    scope = Scope.of(model, settings, plan.device)
    members = tuple(member for step in plan.passes for member in step.members)
    planned = Planned(members=members, batch_size=plan.batch_size)
    return {kind.name: kind.work(scope, planned) for kind in measurements_of(settings)}


def _maps_by_layer(model: Model) -> list[list[MatrixView]]:
    layers: list[list[MatrixView]] = [[] for _ in model.blocks]
    for view in model.matrices:
        if view.site.layer is not None and view.kind == "linear":
            layers[view.site.layer].append(view)
    return layers


def _attention_width(views: Iterable[MatrixView]) -> int:
    """Queries of all heads together; 0 in a block without attention."""
    return next((view.shape[0] for view in views if view.site.component == "attn.q"), 0)


def _backward_each(
    members: Sequence[MatrixView], layers: Sequence[Sequence[MatrixView]], scores: Sequence[float]
) -> float:
    """Operations a token of the gradients that travel down to the lowest member, the head's aside."""
    inside = [view for view in members if view.site.layer is not None]
    if any(view.site.component == "embed" for view in members):
        return sum(2 * _reached(views) for views in layers) + _ATTENTION_BACKWARD * sum(scores)
    if not inside:
        return 0.0
    lowest = min(int(view.site.layer or 0) for view in inside)
    first = min(_stage(view) for view in inside if view.site.layer == lowest)
    partial = 2.0 * _reached(view for view in layers[lowest] if _stage(view) > first)
    if first == 0:
        partial += _ATTENTION_BACKWARD * scores[lowest]
    above = sum(2 * _reached(views) for views in layers[lowest + 1 :])
    return partial + above + _ATTENTION_BACKWARD * sum(scores[lowest + 1 :])


def _stage(view: MatrixView) -> int:
    """Place in the block's forward pass; matrices of no known place are taken to come first."""
    return next((i for i, stage in enumerate(_STAGES) if view.site.component in stage), 0)


def _bytes_of_passes(model: Model, settings: ScanSettings, plan: ScanPlan) -> float:
    value = {"float64": 8, "bfloat16": 2}.get(settings.dtype, 4)
    parameters = sum(p.numel() for p in model.module.parameters())
    maps = [view for views in _maps_by_layer(model) for view in views]
    features = sum(view.share * sum(view.shape) for view in maps) + model.vocab_size
    total = 0.0
    for step in plan.passes:
        n = plan.num_gradient_sequences if step.members else 0
        batches = -(-step.num_sequences // plan.batch_size) + -(-n // plan.batch_size)
        total += parameters * value * batches
        total += features * value * plan.length * (step.num_sequences + 2 * n)
    return total


def _reached(views: Iterable[MatrixView]) -> float:
    """Multiply-adds a token, experts by the share of tokens that they get."""
    return float(sum(view.share * view.shape[0] * view.shape[1] for view in views))
