from __future__ import annotations

from spectra_cli.cli.groups.resources import ResourceOptions


def test_nothing_said_is_no_budget():
    assert ResourceOptions().resolve() == {"device": "auto", "memory_bytes": None, "batch_size": None}
    assert ResourceOptions(memory="1KiB").resolve()["memory_bytes"] == 1024
