"""All that one checkpoint's scan does, in amounts of each kind of work: what its time is estimated from.

Matrix products are counted in operations (see `cost`), all that is bound by memory in values that it passes
over, eigendecompositions in n^3 and n^2. From the shapes of model and plan alone. Shapes: D width,
V vocabulary, T tokens a sequence, n gradient sequences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.measurements.cores import num_workers
from spectra_cli.extract.measurements.gram import packed_size
from spectra_cli.extract.planning.activation_function import hidden_features
from spectra_cli.extract.planning.cost import ScanCost, scan_cost
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import MatrixView, Model
from spectra_cli.extract.selection import select_layers, select_matrices

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
# Skeletons' worth of work, whatever the size: the header's, the model's, and its first short passes.
_BUILDS = 3.0
# Norms and residual sums of a block, one before attention and one before the MLP.
_NORMS = 2
# Calls of a block's forward pass, views included, and of forward and backward.
_CALLS, _CALLS_BACKWARD = 60, 180
# Products with k leading vectors, a QR factorisation and projections, in units of one product.
_VECTOR_PRODUCTS = 6.0


def scan_work(model: Model, settings: ScanSettings, plan: ScanPlan, *, num_bytes: int) -> dict[str, float]:
    """Kind -> amount of one checkpoint.

    Args:
        model: loaded or a skeleton on the meta device; only shapes are read.
        settings, plan: what is measured, and how.
        num_bytes: of the checkpoint's tensors.
    """
    cost = scan_cost(model, settings, plan)
    work = Counter({"bytes": float(num_bytes), "models": _BUILDS})
    work.update(_of_passes(model, plan, cost))
    work.update(_of_sums(model, settings, plan, cost))
    work.update(_of_weights(model, settings))
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
        "gradients": cost.gradients,
    }


def _of_sums(model: Model, settings: ScanSettings, plan: ScanPlan, cost: ScanCost) -> dict[str, float]:
    """Side by side on the cores where the matrices are small."""
    n, width = plan.num_gradient_sequences, model.width
    area = {view.site.address: float(math.prod(view.shape)) for view in model.matrices}
    gathered = [member for step in plan.passes for member in step.members]
    dense = sum(area[member.address] for member in gathered if not member.factored)
    factored = sum(area[member.address] for member in gathered if member.factored)
    sites = 0
    if "activation_covariance" in settings.measurements:
        sites = len(select_layers(settings.layers, len(model.blocks)))
    of_sites, of_grams = num_workers(width), num_workers(n)
    return {
        "gram": 2.0 * packed_size(n) * dense / of_grams,
        "gram_of_factors": 2.0 * packed_size(n) * factored,
        "covariance": cost.sums["covariance"],
        "profiles": sites * settings.num_blocks * 2.0 * packed_size(width) * width / of_sites,
        "eigen_cubes": sites * width**3 / of_sites + 2.0 * len(gathered) * n**3 / of_grams,
        "eigen_squares": sites * width**2 / of_sites + 2.0 * len(gathered) * n**2 / of_grams,
    }


def _of_weights(model: Model, settings: ScanSettings) -> dict[str, float]:
    views: Sequence[MatrixView] = ()
    if "weight" in settings.measurements:
        layers = select_layers(settings.layers, len(model.blocks))
        views, _ = select_matrices(model, settings.matrices, layers, measurement="weight")
    sides = [(min(view.shape), max(view.shape)) for view in views]
    workers = num_workers(max((least for least, _ in sides), default=0))
    products = sum(float(least) ** 2 * most for least, most in sides)
    cubes = sum(float(least) ** 3 for least, _ in sides) / workers
    squares = sum(float(least) ** 2 for least, _ in sides) / workers
    area = sum(float(least) * most for least, most in sides)
    drift = settings.measures_drift
    # the change of a weight has a spectrum of its own
    twice = 1 + drift
    return {
        "weight_products": (twice * products + drift * _VECTOR_PRODUCTS * settings.num_vectors * area)
        / workers,
        "weight_cubes": cubes if drift or not settings.num_vectors else 0.0,
        "vector_cubes": cubes if settings.num_vectors else 0.0,
        "weight_squares": twice * squares,
        "drift_values": drift * area / workers,
    }
