from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from spectra_cli.archive.content.canonical import content_digest, json_text
from spectra_cli.core.errors import ArchiveError


def test_json_is_one_text_for_one_value():
    value = {"b": np.float64(0.1), "a": MappingProxyType({"y": (np.int64(1), None), "x": True})}
    assert json_text(value, what="x") == '{"a":{"x":true,"y":[1,null]},"b":0.1}'


@pytest.mark.parametrize("value", [float("inf"), b"bytes", {"x": {1}}])
def test_what_is_no_json_is_named(value):
    with pytest.raises(ArchiveError, match="cannot archive execution"):
        json_text(value, what="execution")


def test_the_digest_sees_every_bit(make_checkpoint):
    checkpoint = make_checkpoint(5)
    spectrum, scalar = checkpoint.spectra[0], checkpoint.scalars[0]
    values, profile = spectrum.values.copy(), spectrum.block_profile.copy()
    values[-1] = np.nextafter(values[-1], 0.0)
    profile[1, 2] = np.nextafter(profile[1, 2], np.float32(0))

    def with_spectrum(**changes):
        return {"spectra": (replace(spectrum, **changes), *checkpoint.spectra[1:])}

    changes = [
        with_spectrum(values=values),
        with_spectrum(block_profile=profile),
        with_spectrum(centered=False),
        with_spectrum(site=replace(spectrum.site, name="other")),
        {"spectra": checkpoint.spectra[::-1]},
        {"scalars": (replace(scalar, value=3.6), *checkpoint.scalars[1:])},
        {"skipped": ()},
        {"ref": replace(checkpoint.ref, label="x")},
        {"info": replace(checkpoint.info, train_loss=None)},
        {"provenance": replace(checkpoint.provenance, execution={})},
    ]
    digests = {content_digest(replace(checkpoint, **change)) for change in ({}, *changes)}
    assert len(digests) == len(changes) + 1
