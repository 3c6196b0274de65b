"""Layers that are stated against those that are there."""

import re
import time

import pytest

from spectra_cli.extract.models.claims.layers import layers_apart

NAMES = ["wte", "h.0.a", "h.0.b", "h.1.a", "h.1.b", "h.2.a", "h.2.b"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (3, ""),
        (4, "2 missing: h.3.a, h.3.b"),
        (1, "4 unexpected: h.1.a, h.1.b, h.2.a, h.2.b"),
        (0, "6 unexpected: h.0.a, h.0.b, h.1.a, h.1.b, h.2.a, h.2.b"),
    ],
)
def test_what_is_missing_or_too_much(stated, said):
    assert layers_apart(NAMES, re.compile(r"(h\.)(\d+)(\..+)"), stated=stated) == said


def test_nothing_loops_over_a_claim():
    started = time.process_time()
    said = layers_apart(NAMES, re.compile(r"(h\.)(\d+)(\..+)"), stated=10**15)
    assert said.startswith("1999999999999994 missing: h.3.a, h.3.b, ")
    assert said.endswith("h.12.b and 1999999999999974 more")
    assert time.process_time() - started < 1
