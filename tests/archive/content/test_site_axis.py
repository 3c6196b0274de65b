from __future__ import annotations

import pytest

from spectra_cli.archive.content.site_axis import address_of, site_axis
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import Site


def sites(*addresses: str, prefix: str = "") -> list[Site]:
    return [Site.parse(a, name=prefix + a) for a in addresses]


def test_layers_in_natural_order_and_components_as_first_named():
    first = sites("embed", "blocks.10.q", "blocks.10.k", "blocks.2.q", "lm_head")
    second = sites("blocks.2.k", "blocks.2.gate", "final")
    expected = ["embed", "blocks.2.q", "blocks.2.k", "blocks.2.gate", "blocks.10.q", "blocks.10.k", "lm_head"]
    assert site_axis([first]).addresses == tuple(
        a for a in expected if a not in ("blocks.2.k", "blocks.2.gate")
    )
    assert site_axis([first, second]).addresses == (*expected, "final")


def test_other_names_are_kept_apart_for_their_checkpoint():
    axis = site_axis([sites("blocks.0.q"), sites("blocks.0.q", prefix="model.")])
    assert axis.names == ("blocks.0.q",)
    assert axis.renamed == ({}, {"blocks.0.q": "model.blocks.0.q"})


def test_an_address_that_leads_elsewhere_is_refused():
    with pytest.raises(ArchiveError, match="does not lead back"):
        address_of(Site(layer=None, component="blocks.1.q"))
