"""What two runs can be compared in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.comparable import (
    Comparable,
    are_paired,
    check_allowed,
    comparable,
    mismatches,
)
from spectra_cli.analysis.compare.differences import Choice
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.notices import Notice, NoticeKind
from spectra_cli.workflows.runs import open_runs

ALL = ("activation_covariance", "gradient_covariance", "weight")


def names(found):
    return [m.aspect.name for m in found]


DIFFERENT = {
    "probe": {"digest": "b" * 64},
    "length": {"sequence_length": 64},
    "targets": {"targets": "ignore_last"},
    "samples": {"settings": {"num_sequences": 128}},
    "blocks": {"settings": {"num_blocks": 8}},
    "normalize": {"settings": {"normalize": "none"}},
    "pool": {"settings": {"pool": "last"}},
    "dtype": {"settings": {"dtype": "bfloat16"}},
}


@pytest.mark.parametrize("aspect", DIFFERENT)
def test_each_aspect_is_refused_by_name_and_allowed_by_name(provenance, aspect):
    found = mismatches(provenance(), provenance(**DIFFERENT[aspect]), ALL)
    assert names(found) == [aspect]
    with pytest.raises(DataError, match=f"--allow {aspect}"):
        check_allowed(found, [], first="a", second="b")
    (note,) = check_allowed(found, [aspect], first="a", second="b")
    assert note.startswith(f"measured differently ({aspect})")


def test_the_numerics_are_an_aspect(provenance):
    other = replace(provenance(), versions={"numerics": "2"})
    assert names(mismatches(provenance(), other, ["weight"])) == ["numerics"]


def test_what_does_not_change_a_number_is_no_reason(provenance):
    other = provenance(
        settings={"preset": "quick", "layers": "five", "model": {"window": 4}, "seed": 1, "num_vectors": 8},
        source="/elsewhere/val.bin",
        starts=(1, 2),
    )
    assert mismatches(provenance(), other, ALL) == ()


def test_only_aspects_of_what_is_compared_count(provenance):
    other = provenance(digest="b" * 64, settings={"normalize": "none", "dtype": "bfloat16"})
    assert mismatches(provenance(), other, ["weight"]) == ()
    assert "normalize" not in names(mismatches(provenance(), other, ["gradient_covariance"]))
    fewer = provenance(settings={"num_gradient_sequences": 16})
    assert mismatches(provenance(), fewer, ["activation_covariance"]) == ()


def test_noise_is_common_only_on_the_same_tokens_in_the_same_blocks(provenance):
    assert are_paired(())
    assert not are_paired(mismatches(provenance(), provenance(digest="b" * 64), ALL))
    assert are_paired(mismatches(provenance(), provenance(settings={"dtype": "float64"}), ALL))


def test_everything_that_differs_is_listed_and_a_wrong_name_is_refused(provenance):
    found = mismatches(provenance(), provenance(digest="b" * 64, settings={"dtype": "bfloat16"}), ALL)
    with pytest.raises(
        DataError, match=r"probe: dddddddddddd against bbbbbbbbbbbb; dtype: .*--allow probe,dtype"
    ):
        check_allowed(found, [], first="a", second="b")
    with pytest.raises(DataError, match=r"--allow dtype,probe"):
        check_allowed(found, ["dtype"], first="a", second="b")
    with pytest.raises(UsageError, match="--allow tokenizer: expected some of probe"):
        check_allowed(found, ["tokenizer"], first="a", second="b")


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
