"""What a reader is told beside the numbers."""

from spectra_cli.analysis.compare.differences import Choice, SiteLeftOut
from spectra_cli.analysis.compare.notes import last_point_only, left_out_notes
from spectra_cli.core.types import Site

NAMES = ("a", "b")


def left(number, *, of_second=True, measurement="weight", reason="why"):
    return [
        SiteLeftOut(
            of_second=of_second,
            measurement=measurement,
            site=Site.parse(f"blocks.{i}.attn.o"),
            reason=reason,
        )
        for i in range(number)
    ]


def test_places_that_were_left_out_for_one_reason_are_one_note():
    # at two points
    found = [*left(2), *left(2), *left(8, of_second=False), *left(1, reason="other")]
    six = ", ".join(f"{i}.attn.o" for i in range(6))
    assert left_out_notes(found, NAMES) == [
        "not compared: weight of b at 0.attn.o, 1.attn.o: why",
        f"not compared: weight of a at {six} and 2 more places: why",
        "not compared: weight of b at 0.attn.o: other",
    ]
    assert left_out_notes([], NAMES) == []


def test_weights_at_the_last_point_alone():
    choice = Choice(measurements=("activation_covariance", "weight", "weight_update"))
    (note,) = last_point_only(choice, 5, at_every_point=False)
    assert note.startswith("weight and weight_update: compared at the last point alone")
    assert last_point_only(choice, 1, at_every_point=False) == []
    assert last_point_only(choice, 5, at_every_point=True) == []
    assert last_point_only(Choice(measurements=("gradient_covariance",)), 5, at_every_point=False) == []
