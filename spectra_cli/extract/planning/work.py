"""All that one checkpoint's scan does, in amounts of each kind of work: what its time is estimated from.

Matrix products are counted in operations (see `cost`), all that is bound by memory in values that it passes
over, eigendecompositions in n^3 and n^2. From the shapes of model and plan alone. Shapes: D width,
V vocabulary, T tokens a sequence, n gradient sequences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.planning.activation_function import hidden_features
from spectra_cli.extract.planning.cost import ScanCost, scan_cost, works_of
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import Model

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
