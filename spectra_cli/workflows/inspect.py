"""What a scan would do, from headers, and from weights that are read in seconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spectra_cli.core.errors import BudgetError, CheckpointError, SpectraError
from spectra_cli.core.notices import signs_of_wrong_tokens
from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import CheckpointRef, ProbeInfo, Skipped

if TYPE_CHECKING:
    from spectra_cli.extract.planning.cost import ScanCost
    from spectra_cli.extract.planning.plan import ScanPlan
    from spectra_cli.extract.series.opened import Series
    from spectra_cli.extract.series.outline import CheckpointOutline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """What a plan was made from, and how others are: the series, and the settings that fit it."""

    series: Series
    settings: ScanSettings
    plan: ScanPlan
    make_plan: Callable[..., ScanPlan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A series and the plan for it.

    Attributes:
        run, format: of the series; family, architecture: of its first readable checkpoint.
        recognised: False when sites come from the module tree alone.
        checkpoints: those chosen, in order.
        num_layers, width, vocab_size: of the model.
        matrices: (canonical address, own name, (fan_out, fan_in)) of every matrix.
        sites_measured: canonical addresses of the residual-stream sites that would be measured.
        passes: for each pass, the matrices whose gradients it collects.
        batch_size, sequences_to_run: of the plan; plan_problem: why there is none.
        sequence_length: T that a scan would take.
        probe: the tokens of the probe, if one was named.
        skipped: matrices asked for whose gradients would not be measured, and why.
        cost: of one checkpoint, planned: what its time is estimated from; both None without a plan.
        memory_bytes: estimated, by part; budget_bytes: what they must fit into.
        notices: what the user must know about the model; series_notices: about the checkpoints as a
            series.
    """

    run: str
    format: str
    family: str
    architecture: str
    recognised: bool
    checkpoints: tuple[CheckpointOutline, ...]
    num_layers: int
    width: int
    vocab_size: int
    matrices: tuple[tuple[str, str, tuple[int, int]], ...]
    sites_measured: tuple[str, ...]
    passes: tuple[tuple[str, ...], ...]
    batch_size: int
    sequences_to_run: int
    cost: ScanCost | None
    memory_bytes: dict[str, int]
    budget_bytes: int
    device: str
    plan_problem: str
    notices: tuple[str, ...]
    series_notices: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    sequence_length: int = 0
    probe: ProbeInfo | None = None
    planned: Planned | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> tuple[tuple[CheckpointRef, str], ...]:
        """(checkpoint, why) of those that a scan would leave out."""
        return tuple((outline.ref, outline.problem) for outline in self.checkpoints if outline.problem)

    def refusal(self, *, skip_errors: bool) -> SpectraError | None:
        """The error that a scan would end with; None where it would measure all, or (with `skip_errors`)
        some of the checkpoints.
        """
        if self.plan_problem:
            return BudgetError(self.plan_problem)
        if self.failed and not (skip_errors and len(self.failed) < len(self.checkpoints)):
            return not_measured(*self.failed[0])
        return None


def inspect(request: ScanRequest) -> Inspection:
    """Outline the series of the request and plan its scan; without a probe none is looked at.

    Weights are read, as a scan reads them, as long as they are no more than 2 GiB in all: what they alone
    tell is found here already. A notice says of how many checkpoints it could not be.

    Raises:
        CheckpointError: no checkpoint there can be read.
        ModelError: no family reads them.
        ProbeError: the probe cannot be read, or does not fit the model.
        UsageError: layers, matrices, steps or a device that do not exist.
    """
    from spectra_cli.extract.device import choose_device
    from spectra_cli.extract.planning.cost import scan_cost
    from spectra_cli.extract.selection import select_layers
    from spectra_cli.extract.series.fit import planner
    from spectra_cli.extract.series.hygiene import read_headers, series_notices
    from spectra_cli.extract.series.opened import open_series
    from spectra_cli.extract.series.outline import outlines
    from spectra_cli.extract.series.probe import read_probe
    from spectra_cli.extract.series.weights import MOST_BYTES, Weighed, weighed

    series = open_series(os.fspath(request.checkpoints), request.series)
    model = series.skeleton
    ready = read_probe(series, request, required=False)
    settings, tokens = ready.settings, ready.probe.info if request.probe else None
    device = choose_device(request.device)
    make_plan = planner(series, device, request)
    plan, problem = None, ""
    try:
        plan = make_plan(model, settings)
    except BudgetError as error:
        problem = str(error)
    layers = select_layers(settings.layers, len(model.blocks))
    headers = read_headers(series)
    outlined = outlines(
        series,
        headers,
        settings,
        probe_ids=ready.probe.info.vocab_size,
        plan=None if plan is None else make_plan,
    )
    looked = Weighed(checkpoints=outlined) if plan is None else weighed(series, outlined, MOST_BYTES)
    return Inspection(
        run=series.source.run,
        format=series.source.format,
        family=model.family,
        architecture=model.architecture,
        recognised=model.recognised,
        checkpoints=looked.checkpoints,
        num_layers=len(model.blocks),
        width=model.width,
        vocab_size=model.vocab_size,
        matrices=tuple((v.site.address, v.site.name, v.shape) for v in model.matrices),
        sites_measured=tuple(f"blocks.{layer}.resid_post" for layer in layers),
        passes=() if plan is None else tuple(tuple(m.address for m in p.members) for p in plan.passes),
        batch_size=0 if plan is None else plan.batch_size,
        sequences_to_run=0 if plan is None else plan.sequences_to_run,
        cost=None if plan is None else scan_cost(model, settings, plan),
        memory_bytes={} if plan is None else plan.memory_bytes,
        budget_bytes=0 if plan is None else plan.budget_bytes,
        device=str(device),
        plan_problem=problem,
        notices=model.notices + ready.notices + signs_of_wrong_tokens(ready.probe.info.notices, ()),
        series_notices=series.notices + series_notices(headers) + looked.notices,
        skipped=() if plan is None else plan.skipped,
        sequence_length=int(settings.sequence_length),
        probe=tokens,
        planned=None
        if plan is None
        else Planned(series=series, settings=settings, plan=plan, make_plan=make_plan),
    )


def not_measured(ref: CheckpointRef, reason: str, kept: str = "") -> CheckpointError:
    """The error that one bad checkpoint is, unless such ones are to be left out."""
    return CheckpointError(
        f"{ref.key} could not be measured: {reason.rstrip('.')}.{kept} --on-error skip leaves such ones out"
    )
