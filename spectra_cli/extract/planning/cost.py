"""What a scan costs: floating-point operations and bytes, from the shapes of model and plan alone.

A multiply-add counts as two operations; norms, activations and softmax are left out (they are O(D) a
token where the rest is O(D^2)), and so are recurrences and expert matrices that are not among the
model's matrices.

A scan's time is estimated from all that it does for one checkpoint, in amounts of each kind of work: matrix
products in these operations, all that is bound by memory in values that it passes over, eigendecompositions
in n^3 and n^2. Shapes: D width, V vocabulary, T tokens a sequence, n gradient sequences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.measurements.scope import Planned, Scope, Work
from spectra_cli.extract.planning.activation_function import hidden_features
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import MatrixView, Model

# In the order of the forward pass; a map's input gradient is needed only above the lowest measured one.
_STAGES = (("attn.q", "attn.k", "attn.v"), ("attn.o",), ("mlp.gate", "mlp.up"), ("mlp.down",))
# Backward of attention: five products to the forward's two.
_ATTENTION_BACKWARD = 2.5
EIGEN = 9.0
# Kind of work -> the part of a scan that it is told as.
PARTS: Mapping[str, str] = {
    "bytes": "reading",
    "models": "reading",
    "maps": "linear_maps",
    "attention": "attention",
    "attention_backward": "attention",
    "norms": "norms_and_activations",
    "norms_backward": "norms_and_activations",
    "activations": "norms_and_activations",
    "activations_backward": "norms_and_activations",
    "head": "head_and_loss",
    "logits": "head_and_loss",
    "logits_backward": "head_and_loss",
    "calls": "calls",
    "gradients": "gradients",
    "gram": "gram_matrices",
    "gram_of_factors": "gram_matrices",
    "covariance": "covariances",
    "profiles": "error_bars",
    "eigen_cubes": "eigenvalues",
    "eigen_squares": "eigenvalues",
    "weight_products": "weights",
    "weight_cubes": "weights",
    "weight_squares": "weights",
    "drift_values": "drift",
    "vector_cubes": "weights",
}
# Skeletons' worth of work, whatever the size: a model is made once, and its short passes cost about what the
# skeleton's own do.
_BUILDS = 1.0
# Norms and residual sums of a block, one before attention and one before the MLP.
_NORMS = 2
# Calls of a block's forward pass, views included, and of forward and backward.
_CALLS, _CALLS_BACKWARD = 60, 180


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


def scan_work(model: Model, settings: ScanSettings, plan: ScanPlan, *, num_bytes: int) -> dict[str, float]:
    """Kind -> amount of one checkpoint.

    Args:
        model: loaded or a skeleton on the meta device; only shapes are read.
        settings, plan: what is measured, and how.
        num_bytes: of the checkpoint's tensors.
    """
    cost = scan_cost(model, settings, plan)
    work = defaultdict(float, {"bytes": float(num_bytes), "models": _BUILDS})
    work |= _of_passes(model, plan, cost)
    for works in works_of(model, settings, plan).values():
        for one in works:
            work[one.kind] += one.amount / one.at_once
    return {kind: amount for kind, amount in work.items() if amount}


def _of_passes(model: Model, plan: ScanPlan, cost: ScanCost) -> dict[str, float]:
    trained = sum(plan.num_gradient_sequences for step in plan.passes if step.members)
    alone = sum(step.num_sequences for step in plan.passes) - trained
    batches = -(-trained // plan.batch_size), -(-alone // plan.batch_size)
    features = plan.length * hidden_features(model)
    values = plan.length * _NORMS * model.width * len(model.blocks)
    logits = plan.length * model.vocab_size
    in_attention = sum(cost.attention.values())
    return {
        "maps": cost.passes["forward"] + cost.passes["backward"] - in_attention,
        "attention": cost.attention["forward"],
        "attention_backward": cost.attention["backward"],
        "norms": float(alone * values),
        "norms_backward": float(trained * values),
        "activations": alone * features,
        "activations_backward": trained * features,
        "head": cost.passes["head"],
        "logits": float(alone * logits),
        "logits_backward": float(trained * logits),
        "calls": float(len(model.blocks) * (_CALLS_BACKWARD * batches[0] + _CALLS * batches[1])),
    }
