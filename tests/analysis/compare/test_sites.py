"""Counterparts: by address at equal depth, by relative depth otherwise."""

from dataclasses import replace

import pytest

from spectra_cli.analysis.compare.sites import depth, site_pairs, unknown_depth
from spectra_cli.core.types import Site, Skipped, Status


@pytest.fixture
def scanned(weight, checkpoint):
    """A checkpoint with a weight at each address, of an archive that says this of its layers."""

    def make(addresses, *, layers="all", num_layers=None, **info):
        made = checkpoint([weight([1.0], a) for a in addresses], **info)
        execution = {} if num_layers is None else {"num_layers": num_layers}
        settings = {**made.provenance.settings, "layers": layers}
        return replace(made, provenance=replace(made.provenance, settings=settings, execution=execution))

    return make


def pairs(first, second):
    return [(p.first.site.address, p.second.site.address) for p in site_pairs(first, second)]


def attention(*layers):
    return [f"blocks.{i}.attn.o" for i in layers]


def test_equal_depth_goes_by_address_and_leaves_out_what_one_model_lacks(scanned):
    first = ["embed", "blocks.0.attn.o", "blocks.1.attn.o", "blocks.1.mlp.gate"]
    second = ["embed", "blocks.0.attn.o", "blocks.1.attn.o", "lm_head"]
    shared = ["embed", "blocks.0.attn.o", "blocks.1.attn.o"]
    assert pairs(scanned(first), scanned(second)) == [(a, a) for a in shared]


def test_other_depths_go_by_relative_depth_first_with_first_and_last_with_last(scanned):
    shallow, deep = scanned(attention(*range(3))), scanned(attention(*range(5)))
    expected = [(0, 0), (1, 2), (2, 4)]
    assert pairs(shallow, deep) == [(*attention(a), *attention(b)) for a, b in expected]
    # of the deeper model only the counterparts are compared
    assert pairs(deep, shallow) == [(*attention(b), *attention(a)) for a, b in expected]


def test_the_depth_is_that_of_the_model_not_of_the_last_layer_measured(scanned):
    """Of one model, scanned with other `--layers`: layer k with layer k."""
    few, some = (scanned(attention(*layers), layers="x", num_layers=12) for layers in ((0, 3), (0, 3, 9)))
    assert depth(few) == 12
    assert pairs(few, some) == [(a, a) for a in attention(0, 3)]
    # half as deep: its layer 3 of 0-5 is at the relative depth of layer 7 of 0-11
    half = scanned(attention(0, 3), layers="x", num_layers=6)
    deep = scanned(attention(3, 7), layers="x", num_layers=12)
    assert pairs(half, deep) == [(*attention(3), *attention(7))]


def test_an_older_archive_tells_its_depth_only_if_its_scan_went_to_the_last_layer(scanned):
    assert depth(scanned(attention(0, 3, 11), layers="five")) == 12
    skipped = Skipped(
        measurement="gradient",
        site=Site.parse("blocks.5.attn.q"),
        status=Status.NOT_APPLICABLE,
        reason="none",
    )
    assert depth(replace(scanned(attention(0, 3)), skipped=(skipped,))) == 6
    assert depth(scanned(attention(0, 3), layers="0,3")) is None


def test_layers_of_unknown_depth_go_by_number_and_that_is_said_unless_the_models_are_alike(scanned):
    few = scanned(attention(0, 3), layers="0,3")
    more = scanned(attention(*range(12)), num_layers=12, num_parameters=7)
    assert pairs(few, more) == [(a, a) for a in attention(0, 3)]
    assert "does not say how many layers" in unknown_depth(few, more)
    assert unknown_depth(few, scanned(attention(0, 1), layers="0,1")) == ""
    assert unknown_depth(more, scanned(attention(*range(6)))) == ""
