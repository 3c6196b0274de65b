"""What `spectra` does for one checkpoint that is already in memory: the contender in every comparison."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import FloatArray
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.engine import measure
from spectra_cli.extract.measurements.measurement import Measured
from spectra_cli.extract.planning.cost import ScanCost, scan_cost
from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.extract.protocols import Model, Probe

Spectra = Mapping[tuple[str, str], FloatArray]

COVARIANCE = "activation_covariance"
GRADIENT = "gradient_matrix"


def scan(
    model: Model,
    probe: Probe,
    settings: ScanSettings,
    *,
    batch_size: int | None = None,
    arena: Arena | None = None,
) -> Measured:
    """Plan and measure; no progress is shown. With an arena as the next checkpoint of a series."""
    plan = plan_scan(model, settings, device=torch.device("cpu"), batch_size=batch_size)
    return measure(model, probe, settings, plan, progress=lambda *_: None, arena=arena)


def batch_size_of(model: Model, settings: ScanSettings) -> int:
    """The batch size that a scan would choose: its rivals get the same."""
    return plan_scan(model, settings, device=torch.device("cpu")).batch_size


def cost_of(model: Model, settings: ScanSettings) -> ScanCost:
    """What that scan costs by the cost model."""
    return scan_cost(model, settings, plan_scan(model, settings, device=torch.device("cpu")))


def values_of(measured: Measured) -> Spectra:
    """(measurement, site address) -> the values of its spectrum."""
    return {(s.measurement, s.site.address): s.values for s in measured.spectra}


def largest_error(found: Spectra, expected: Spectra) -> float:
    """Largest difference between two sets of spectra, each in units of its own largest value.

    Args:
        found: at least the spectra of `expected`; of vectors of different length the longer one's
            excess counts as a difference from zero.
        expected: what they are compared with.
    """
    worst = 0.0
    for key, reference in expected.items():
        values = found[key]
        shared = min(len(values), len(reference))
        differences = [abs(values[:shared] - reference[:shared]).max()]
        differences += [abs(rest[shared:]).max() for rest in (values, reference) if len(rest) > shared]
        worst = max(worst, float(max(differences) / reference[0]))
    return worst
