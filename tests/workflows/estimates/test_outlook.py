"""What is proposed where a scan takes too long: it fits, and it gives what it can."""

from dataclasses import replace

import pytest

from spectra_cli.core.scan_request import ScanRequest
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import PRESETS, ScanSettings
from spectra_cli.extract.planning.cost import PARTS
from spectra_cli.extract.planning.rates import Rates
from spectra_cli.workflows.estimates.outlook import BOUNDS, propose
from spectra_cli.workflows.estimates.scan_estimate import ScanEstimate, seconds_by_part
from spectra_cli.workflows.inspect import inspect

WHOLE = SeriesSelection()


@pytest.fixture
def proposed(place):
    """The time and the proposals for `number` checkpoints, where each unit of work takes `unit` seconds."""

    def run(unit, *, number=2, settings=PRESETS["default"], selection=WHOLE):
        found = inspect(ScanRequest(checkpoints="run", settings=settings))
        rates = Rates(seconds=dict.fromkeys(PARTS, unit))
        planned = found.planned
        parts = seconds_by_part(planned, planned.settings, planned.plan, rates)
        time = ScanEstimate(parts=parts, num_checkpoints=number, rates=rates)
        return time, propose(found, time, selection)

    return run


def test_a_scan_of_ten_minutes_needs_no_proposal(proposed):
    time, found = proposed(1e-12)
    assert time.seconds_of_all < 600
    assert found == ()


def test_each_bound_that_is_exceeded_gets_one_that_fits(proposed):
    per_unit = proposed(1e-9)[0].seconds_of_all / 1e-9
    for seconds, bounds in (
        (1000, ["ten minutes"]),
        (7200, ["ten minutes", "an hour"]),
        (40_000, list(BOUNDS)),
    ):
        _, found = proposed(seconds / per_unit)
        assert [proposal.bound for proposal in found] == bounds
        assert all(0 < proposal.seconds <= 0.7 * BOUNDS[proposal.bound] for proposal in found)


def test_many_checkpoints_are_thinned_evenly_before_anything_is_left_out(proposed):
    per_unit = proposed(1e-9, number=1)[0].seconds / 1e-9
    time, found = proposed(50 / per_unit, number=40)
    assert time.seconds_of_all == pytest.approx(2000)
    (proposal,) = found
    assert (proposal.options, proposal.num_checkpoints) == ("--every 5", 8)
    assert proposal.seconds == pytest.approx(400)
    assert proposal.resolves.endswith("; all layers, 8 of 40 checkpoints")
    (after,) = proposed(50 / per_unit, number=40, selection=SeriesSelection(every=3))[1]
    assert after.options == "--every 15"
    (last,) = proposed(50 / per_unit, number=40, selection=SeriesSelection(last=40))[1]
    assert (last.options, last.num_checkpoints) == ("--limit 8", 8)


def test_what_was_asked_for_is_never_enlarged(proposed):
    asked = ScanSettings(
        num_sequences=2000, num_gradient_sequences=16, sequence_length=24, layers="1", num_blocks=8
    )
    per_unit = proposed(1e-9, settings=asked)[0].seconds_of_all / 1e-9
    _, (proposal,) = proposed(1000 / per_unit, settings=asked)
    assert proposal.options == "--sequences 256 --gradient-sequences 16 --sequence-length 24"
    assert "no tails of gradients from 16 sequences" in proposal.resolves


def test_weights_alone_are_only_thinned(proposed):
    asked = replace(PRESETS["default"], measurements=("weight",))
    per_unit = proposed(1e-9, settings=asked)[0].seconds_of_all / 1e-9
    _, (proposal,) = proposed(800 / per_unit, settings=asked)
    assert proposal.options == "--every 2"
    assert proposal.resolves == "spectra of weights; all layers, 1 of 2 checkpoints"


@pytest.mark.parametrize(
    ("num_sequences", "given"),
    [
        (256, "heads, tails and ranks of activations from 256"),  # 16 rows for each of 16 dimensions
        (255, "heads, ranks and tails (marked partial) of activations from 255"),
        (64, "heads, ranks and tails (marked partial) of activations from 64"),
        (63, "heads and ranks (tails take some 64 sequences) of activations from 63"),
    ],
)
def test_tails_are_promised_by_the_width_of_the_model(proposed, num_sequences, given):
    asked = replace(PRESETS["default"], measurements=("activation_covariance",), num_sequences=num_sequences)
    per_unit = proposed(1e-9, settings=asked)[0].seconds_of_all / 1e-9
    _, (proposal,) = proposed(700 / per_unit, settings=asked)
    assert proposal.resolves.startswith(f"{given} sequences; ")
