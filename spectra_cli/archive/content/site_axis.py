"""The dimension `site` of a group: canonical addresses in canonical order, with the model's own names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spectra_cli.archive.content.canonical import json_text
from spectra_cli.archive.content.netcdf import create_dimension, create_variable, read_text
from spectra_cli.core.errors import ArchiveError
from spectra_cli.core.types import Site

# Labels the whole model; no Site has an empty address.
WHOLE_MODEL = ""


def address_of(site: Site | None) -> str:
    """The label of a site along the axis.

    Raises:
        ArchiveError: the address would be read back as another site.
    """
    if site is None:
        return WHOLE_MODEL
    if not site.address or Site.parse(site.address) != site:
        raise ArchiveError(f"cannot archive {site!r}: its address {site.address!r} does not lead back to it")
    return site.address


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAxis:
    """Labels of the axis, and what each checkpoint's model calls them.

    Attributes:
        addresses: in canonical order: before the blocks, the blocks by layer, after the blocks.
        names: the model's own names, from the first checkpoint that has the site.
        renamed: for each checkpoint, address -> name where it differs from `names`.
    """

    addresses: tuple[str, ...]
    names: tuple[str, ...]
    renamed: tuple[dict[str, str], ...]


def site_axis(sites_by_checkpoint: Sequence[Iterable[Site | None]]) -> SiteAxis:
    """The axis that holds all sites of a series.

    Inside a layer the components stand in the order in which the series first names them. A site
    outside the blocks stands before them if the checkpoint that first has it names it before any block.
    """
    names: dict[str, str] = {}
    layers: dict[str, float] = {}
    components: dict[str, int] = {}
    renamed = []
    for sites in sites_by_checkpoint:
        own: dict[str, str] = {}
        outside = -1.0
        for site in sites:
            address, name = address_of(site), site.name if site else ""
            layer = None if site is None else site.layer
            outside = outside if layer is None else float("inf")
            layers.setdefault(address, outside if layer is None else layer)
            components.setdefault("" if site is None else site.component, len(components))
            if names.setdefault(address, name) != name:
                own[address] = name
        renamed.append(own)

    def order(address: str) -> tuple[float, int]:
        component = Site.parse(address).component if address else ""
        return layers[address], components[component]

    addresses = tuple(sorted(names, key=order))
    return SiteAxis(addresses=addresses, names=tuple(names[a] for a in addresses), renamed=tuple(renamed))


def write_site_axis(group: Any, axis: SiteAxis) -> None:
    """Write the dimension `site` and its names; the group has its `checkpoint` dimension already."""
    create_dimension(group, "site", axis.addresses, long_name="canonical address; empty: the whole model")
    create_variable(group, "site_name", axis.names, ["site"], long_name="the model's own name of the site")
    if any(axis.renamed):
        texts = [json_text(own, what="site names") for own in axis.renamed]
        create_variable(
            group, "renamed", texts, ["checkpoint"], long_name="JSON: site -> name where it differs"
        )


def read_sites(group: Any, checkpoint: int) -> list[Site | None]:
    """The sites along the axis as one checkpoint's model names them."""
    own = json.loads(read_text(group, "renamed", checkpoint)) if "renamed" in group else {}
    pairs = zip(read_text(group, "site"), read_text(group, "site_name"), strict=True)
    return [Site.parse(a, name=own.get(a, name)) if a != WHOLE_MODEL else None for a, name in pairs]
