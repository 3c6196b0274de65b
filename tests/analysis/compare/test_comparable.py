"""What two runs can be compared in."""

from __future__ import annotations

import pytest

from spectra_cli.analysis.compare.comparable import Comparable, comparable
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.core.errors import DataError
from spectra_cli.core.notices import Notice, NoticeKind
from spectra_cli.workflows.runs import open_runs

ACTIVATIONS, WEIGHTS = "activation_covariance", "weight"


@pytest.fixture
def runs(write_run, tmp_path):
    common = {"steps": (0, 10), "losses": (8.0, 5.0), "noise": 0.02}
    write_run(tmp_path / "a.spectra.h5", **common)
    write_run(tmp_path / "b.spectra.h5", settings={"dtype": "bfloat16"}, **common)
    return open_runs([str(tmp_path / f"{name}.spectra.h5") for name in "ab"])


def test_only_what_both_have_and_only_if_it_was_measured_alike(runs):
    found = comparable(runs[0], runs[0], Choice(layers=(1,)), ())
    assert found.choice == Choice(measurements=(ACTIVATIONS,), layers=(1,))
    assert (found.paired, found.notes, found.at_every_point) == (True, (), False)
    with pytest.raises(DataError, match="dtype: float32 against bfloat16"):
        comparable(*runs, Choice(), ())
    flagged = comparable(*runs, Choice(), ("dtype",))
    assert flagged.notes[0].startswith("measured differently (dtype)")
    with pytest.raises(DataError, match="no measurement in common"):
        comparable(*runs, Choice(measurements=(WEIGHTS,)), ())


def test_weights_stand_at_the_last_point_unless_they_were_asked_for():
    choice = Choice(measurements=(ACTIVATIONS, WEIGHTS), statistics=("rankme_sv",))
    plain, named = (
        Comparable(choice=choice, paired=True, notes=(), at_every_point=every) for every in (False, True)
    )
    assert plain.choice_at(last=True) == named.choice_at(last=False) == choice
    assert plain.choice_at(last=False).measurements == (ACTIVATIONS,)
    assert plain.choice_at(last=False).statistics == ("rankme_sv",)


def test_signs_of_wrong_tokens_are_seen_again(write_run, tmp_path):
    common = {"steps": (0, 10), "losses": (8.0, 5.0), "noise": 0.02}
    write_run(tmp_path / "a.spectra.h5", **common)
    said = Notice(NoticeKind.ABOVE_UNIFORM, "step10: the loss is high")
    write_run(tmp_path / "b.spectra.h5", notices=[(), (said,)], **common)
    found = comparable(*open_runs([str(tmp_path / f"{n}.spectra.h5") for n in "ab"]), Choice(), ())
    assert found.notes == (f"b: {said}",)
