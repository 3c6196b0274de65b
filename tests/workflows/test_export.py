"""Which part of archives is exported, and what is said where there is none."""

from __future__ import annotations

import pytest

from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.workflows.export import Selection, choose
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum, weight


@pytest.fixture
def growing(tmp_path):
    """The second checkpoint has a layer more, and a measurement that the first has not."""
    path = tmp_path / "a.spectra.h5"
    first = [spectrum([2.0, 1.0])]
    second = [*first, spectrum([2.0, 1.0], address="blocks.1.resid_post"), weight([2.0, 1.0])]
    write_archive(path, [checkpoint(first, step=1), checkpoint(second, step=None)])
    return path


def measured(path, **selection):
    """Step -> measurement and site of everything that is chosen."""
    (run,) = choose([path], Selection(**selection))
    return {one.ref.step: [(s.measurement, s.site.address) for s in one.spectra] for one in run.checkpoints()}


ACTIVATIONS = "activation_covariance"


def test_without_a_selection_there_is_everything(growing):
    assert measured(growing) == {
        1: [(ACTIVATIONS, "blocks.0.resid_post")],
        None: [
            (ACTIVATIONS, "blocks.0.resid_post"),
            (ACTIVATIONS, "blocks.1.resid_post"),
            ("weight", "blocks.0.attn.o"),
        ],
    }


def test_what_only_the_last_checkpoint_has_can_be_asked_for(growing):
    assert measured(growing, layers=[1]) == {1: [], None: [(ACTIVATIONS, "blocks.1.resid_post")]}
    assert measured(growing, measurements=["weights"]) == {1: [], None: [("weight", "blocks.0.attn.o")]}


WRONG = {
    "a layer": ({"layers": [2, 3]}, r"a\.spectra\.h5 holds no layer 2, 3; it holds 0, 1"),
    "a layer at that step": ({"layers": [1], "steps": [1]}, r"holds no layer 1; it holds 0$"),
    "a step": ({"steps": [2]}, "holds no step 2; it holds 1$"),
    "a measurement": (
        {"measurements": ["gradient_matrix"]},
        "holds no measurement 'gradient_matrix'; it holds activation_covariance, weight",
    ),
    "a slip": ({"measurements": ["wieght"]}, r"'wieght' \(did you mean weight\?\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_there_is_said_with_what_is(growing, case):
    selection, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        choose([growing], Selection(**selection))


def test_the_statistics_are_those_asked_for(growing):
    (run,) = choose([growing], Selection(statistics=["stable_rank"], measurements=["weight"]))
    first, second = run.summaries()
    assert first.statistics == ()
    assert [(v.name, v.measurement, v.site.address) for v in second.statistics] == [
        ("stable_rank", "weight", "blocks.0.attn.o")
    ]


def test_a_tracker_needs_the_step_of_some_checkpoint(growing, tmp_path):
    (run,) = choose([growing], Selection())
    run.check_steps("TensorBoard")
    path = tmp_path / "b.spectra.h5"
    write_archive(path, [checkpoint([spectrum([2.0, 1.0])], step=None)])
    (run,) = choose([path], Selection())
    with pytest.raises(
        UsageError, match=r"^TensorBoard goes by steps, and nothing says those .* in .*b\.spectra"
    ):
        run.check_steps("TensorBoard")
