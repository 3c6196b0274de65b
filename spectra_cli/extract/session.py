"""A scan made ready: source, family, probe and plan settled before the first weight is read."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

import torch
from torch import Tensor

from spectra_cli.core.errors import ModelError, OutOfMemoryError
from spectra_cli.core.notices import Notice, NoticeKind, kind_of
from spectra_cli.core.process.heap import give_back_heap
from spectra_cli.core.scan_facts import ExecutionFacts
from spectra_cli.core.scan_request import Resources
from spectra_cli.core.settings import NUMERICS_VERSION, ScanSettings
from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    CheckpointSpectra,
    Provenance,
)
from spectra_cli.extract.above_uniform import above_uniform
from spectra_cli.extract.arena import Arena
from spectra_cli.extract.checkpoints.files.unchanged import Reading, one_reading
from spectra_cli.extract.checkpoints.tensors.stored_values import (
    non_finite,
    precision_notices,
    require_some_values,
)
from spectra_cli.extract.device import choose_device, device_name
from spectra_cli.extract.digest import state_digest
from spectra_cli.extract.engine import measure
from spectra_cli.extract.measurements.measurement import GradientMeasurement, Measured
from spectra_cli.extract.measurements.reference import Reference
from spectra_cli.extract.measurements.registry import measurements_of
from spectra_cli.extract.memory import is_out_of_memory, room_for
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.onednn_linear import linear_library
from spectra_cli.extract.passes.verification import Verified, verify_gradients
from spectra_cli.extract.planning.course import Progress
from spectra_cli.extract.planning.plan import ScanPlan
from spectra_cli.extract.protocols import CheckpointHeader, Model, Probe
from spectra_cli.extract.series.fit import planner, require_fit, skeleton_of
from spectra_cli.extract.series.opened import Series, build_skeleton, family_of
from spectra_cli.extract.series.outline import num_parameters, training_of
from spectra_cli.extract.series.reference import keep_reference, read_reference, reference_name

# What a checkpoint of the same tensors does not say of itself, or says in its own name.
_OF_ONE_CHECKPOINT = (NoticeKind.NON_FINITE_WEIGHTS, NoticeKind.ABOVE_UNIFORM, NoticeKind.TAKEN_OVER)
_LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Opened:
    """A checkpoint read and digested, before it is a model; `damage` names its non-finite weights."""

    files: Reading
    header: CheckpointHeader
    state: dict[str, Tensor]
    digest: str
    damage: str


# Digest and header of a checkpoint -> another one of the same content with what was measured on it.
Twin = tuple[CheckpointHeader, CheckpointSpectra]
FindTwin = Callable[[str, CheckpointHeader], Twin | None]


class Session:
    """Measures one checkpoint after another, all with the same probe and settings."""

    def __init__(self, series: Series, probe: Probe, settings: ScanSettings, resources: Resources) -> None:
        """Plan the work; raises `BudgetError` or `UsageError` before any weight is read."""
        self.series = series
        self.device = choose_device(resources.device)
        said: dict[str, Any] = {"model": dict(series.model_settings)} if series.model_settings else {}
        if settings.measures_drift:
            said["reference"] = reference_name(series.reference)
        self.provenance = Provenance(
            settings=settings.as_json() | said, probe=probe.info, versions=versions()
        )
        self._probe = probe
        self._settings = settings
        self._reference: Reference | None = None
        self._arena = Arena(self.device)
        self._taps: dict[str, Verified] = {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-checkpoint")
        self._ahead: dict[CheckpointRef, Future[_Opened]] = {}
        self._plan = planner(series, self.device, resources)
        self.plan = self._plan(series.skeleton, settings)

    def _open(self, ref: CheckpointRef) -> _Opened:
        with one_reading() as files:
            header = self.series.source.header(ref)
            with room_for(header, self.device):
                state = self.series.source.open(ref)
                require_some_values(state, where=ref.uri)
                damage = non_finite(state)
                digest = state_digest(state)
        if damage:
            damage = Notice(NoticeKind.NON_FINITE_WEIGHTS, f"{ref.key}: non-finite weights: {damage}")
        return _Opened(files=files, header=header, state=state, digest=digest, damage=damage)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.clear()
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._arena.give_back()
        give_back_heap()

    def measure(
        self,
        ref: CheckpointRef,
        progress: Progress,
        *,
        following: CheckpointRef | None = None,
        find_twin: FindTwin | None = None,
    ) -> CheckpointSpectra:
        """Load, check and measure one checkpoint.

        Args:
            ref: which one.
            progress: hears where it is.
            following: the one asked for next, read and digested in the background meanwhile where the
                plan says so (not on the CPU). One checkpoint at most waits so.
            find_twin: finds a checkpoint of the same content that was measured already; its numbers are
                taken over, since measuring again would give the same ones.

        Raises:
            CheckpointError, ModelError: this checkpoint cannot be measured, and why.
        """
        started = time.perf_counter()
        progress("reading", 0, 1)
        if self._settings.measures_drift and self._reference is None and ref != self.series.reference:
            self._reference = read_reference(self.series, self._settings)
        reading = self._ahead.pop(ref, None)
        opened = self._open(ref) if reading is None else reading.result()
        header, digest, damage = opened.header, opened.digest, opened.damage
        twin = find_twin(digest, header) if find_twin and not self.series.runs_own_code else None
        if twin and self._is_same_model(header, twin[0]) and self._is_same_drift(ref, twin[1]):
            self._read_ahead(following)
            return self._taken_over(opened, twin, started)
        with opened.files.going_on():
            with room_for(header, self.device):
                model = family_of(header, self.series.builder).build(header, opened.state, device=self.device)
            opened.state.clear()  # before the base of an adapter that rescales is read once more
            model = replace(model, updates=header.updates())
        if self._settings.measures_drift and self._reference is None:
            archived = self.series.names_reference
            self._reference = keep_reference(model, self._settings, digest, archived=archived)
        del opened, reading
        self._read_ahead(following)
        self._check_fits(ref, model)
        try:
            model = self._verified(model, progress)
            measured, plan, halvings = self._measure_within_memory(model, progress)
        except ModelError as error:
            if not damage:
                raise
            raise ModelError(f"{error}; {damage}") from error
        notices: tuple[str, ...] = (damage,) if damage else ()
        if halvings:
            said = f"the batch was halved {halvings} times, to {plan.batch_size} sequences"
            notices += (f"out of memory: {said}",)
        notices += precision_notices(header.tensors, compute_dtype=self._settings.dtype)
        # random tokens and untrained weights are above it by their nature
        if not self._probe.info.synthetic and ref.step != 0:
            said = above_uniform(measured.scalars, vocab_size=model.vocab_size)
            notices += (Notice(NoticeKind.ABOVE_UNIFORM, f"{ref.key}: {said}"),) if said else ()
        execution: dict[str, Any] = {"batch_size": plan.batch_size, "passes": len(plan.passes)}
        execution |= {"batch_halvings": halvings, "num_layers": len(model.blocks)} | self._compared_with()
        if model.kernels:
            execution["attention"] = ", ".join(model.kernels)
            notices += tuple(f"flex attention was not used: {why}" for why in model.kernels.values() if why)
        return CheckpointSpectra(
            ref=ref,
            info=_info(header, model, digest, notices),
            provenance=replace(self.provenance, execution=self._execution(started) | execution),
            spectra=measured.spectra,
            scalars=measured.scalars,
            skipped=measured.skipped,
        )

    def _is_same_model(self, header: CheckpointHeader, other: CheckpointHeader) -> bool:
        """Whether equal tensors make equal models: some have windows that depend on the step.

        Adapters are never the same: their updates may differ by less than the merged weights show.
        """
        if header.updates():
            return False
        models = [build_skeleton(h, self.series.builder) for h in (header, other)]
        first, second = ((model.architecture, model.notices, model.facts) for model in models)
        return first == second

    def _is_same_drift(self, ref: CheckpointRef, measured: CheckpointSpectra) -> bool:
        """Whether the drift of equal tensors was measured from the reference as it is now."""
        if not self._settings.measures_drift:
            return True
        known = measured.provenance.execution_facts.reference
        now = ExecutionFacts.of(self._compared_with()).reference
        return ref != self.series.reference and known == now

    def _read_ahead(self, following: CheckpointRef | None) -> None:
        if following is not None and self.plan.read_ahead:
            self._ahead[following] = self._reader.submit(self._open, following)

    def _execution(self, started: float) -> dict[str, Any]:
        selection = {"selection": self.series.selection} if self.series.selection else {}
        return selection | {
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "linear_maps": linear_library(self.device, self._settings.dtype),
            "seconds": round(time.perf_counter() - started, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
        }

    def _compared_with(self) -> dict[str, Any]:
        """Which weights the drift was measured from, so that a reader sees if they have changed since."""
        if self._reference is None:
            return {}
        name = reference_name(self.series.reference)
        return {"reference": {"checkpoint": name, "digest": self._reference.digest}}

    def _taken_over(self, opened: _Opened, twin: Twin, started: float) -> CheckpointSpectra:
        """What was measured on a checkpoint with the same tensors and configuration, as that of this one."""
        ref, (its_header, measured) = opened.header.ref, twin
        notices = (
            *opened.header.notices,
            *(
                notice
                for notice in measured.info.notices
                if notice not in its_header.notices and kind_of(notice) not in _OF_ONE_CHECKPOINT
            ),
            *((opened.damage,) if opened.damage else ()),
            Notice(
                NoticeKind.TAKEN_OVER,
                f"{ref.key} holds the tensors of {measured.ref.key}: its numbers were taken over",
            ),
        )
        execution = {**measured.provenance.execution, **self._execution(started)}
        return replace(
            measured,
            ref=ref,
            info=replace(
                measured.info,
                **training_of(opened.header, build_skeleton(opened.header, self.series.builder)),
                fingerprint=opened.header.fingerprint,
                notices=notices,
            ),
            provenance=replace(self.provenance, execution=execution | {"taken_from": measured.ref.key}),
        )

    def _measure_within_memory(self, model: Model, progress: Progress) -> tuple[Measured, ScanPlan, int]:
        plan = self._plan(model, self._settings)
        halvings = 0
        # checks on a few tokens need not have run with what the probe runs with
        model.kernels.clear()
        while True:
            try:
                measured = measure(
                    model,
                    self._probe,
                    self._settings,
                    plan,
                    progress=progress,
                    reference=self._reference,
                    arena=self._arena,
                )
                return measured, plan, halvings
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if plan.batch_size == 1:
                    raise OutOfMemoryError(
                        f"out of memory on {self.device} even with one sequence a batch: {error}; "
                        "measure fewer layers (--layers) or shorter sequences"
                    ) from error
            # Outside the handler: the traceback would keep the failed pass's tensors alive.
            torch.cuda.empty_cache()
            give_back_heap()
            halvings += 1
            plan = self._plan(model, self._settings, batch_size=max(1, plan.batch_size // 2))

    def _verified(self, model: Model, progress: Progress) -> Model:
        """The model, its taps checked against autograd: once for each architecture in the series."""
        kinds = measurements_of(self._settings)
        if not any(isinstance(kind, GradientMeasurement) for kind in kinds):
            return model
        if model.architecture not in self._taps:
            progress("checking gradients", 0, 1)
            with numerics(model, self._settings):
                self._taps[model.architecture] = verify_gradients(model, self._probe, self._settings)
        taps = self._taps[model.architecture]
        notices = model.notices
        if taps.alone:
            through = ", ".join(sorted(taps.alone))
            notices += (f"gradients were measured one sequence a batch: tokens pass mixed through {through}",)
        return replace(model, untappable=taps.untappable, alone=taps.alone, notices=notices)

    def check_header(self, header: CheckpointHeader) -> None:
        """Refuse a checkpoint whose header tells that it cannot be measured, before its weights are read.

        Raises:
            CheckpointError, ModelError, BudgetError: why.
        """
        self._check_fits(header.ref, skeleton_of(self.series, header))

    def _check_fits(self, ref: CheckpointRef, model: Model) -> None:
        require_fit(ref, model, self._settings, probe_ids=self._probe.info.vocab_size, plan=self._plan)


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    found = {"spectra": version("llm-spectra"), "numerics": NUMERICS_VERSION}
    return found | {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def _info(header: CheckpointHeader, model: Model, digest: str, notices: tuple[str, ...]) -> CheckpointInfo:
    return CheckpointInfo(
        num_parameters=num_parameters(model),
        family=model.family,
        architecture=model.architecture,
        digest=digest,
        fingerprint=header.fingerprint,
        notices=header.notices + model.notices + notices,
        **training_of(header, model),
    )
