"""What a scan tells while it works: every batch and every spectrum, and ever more of the whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.workflows.scan import ScanProgress, scan


@pytest.mark.parametrize("kind", ["plain", "two passes", "drift"])
def test_it_moves_with_every_batch_and_every_spectrum(place, request_for, monkeypatch, kind):
    request = request_for(batch_size=2)
    request = replace(request, settings=replace(request.settings, num_vectors=2 if kind == "drift" else 0))
    passes, weights = 1, 8
    if kind == "two passes":
        passes = 2

        def split(*given, **how):
            plan = plan_scan(*given, **how)
            (whole,) = plan.passes
            half = len(whole.members) // 2
            parts = [replace(whole, members=m) for m in (whole.members[:half], whole.members[half:])]
            return replace(plan, passes=tuple(parts))

        monkeypatch.setattr("spectra_cli.extract.series.fit.plan_scan", split)
    seen: list[ScanProgress] = []
    scan(request, seen.append)
    for _, of_one in groupby(seen, lambda now: now.ref.key):
        told = list(of_one)
        shares = [now.done / now.total for now in told]
        assert all(first <= second for first, second in pairwise(shares))
        assert shares[0] == 0.0
        assert 0.99 <= shares[-1] < 1.0
        activities = [now.activity for now in told]
        assert len(set(activities)) == len(activities)
        for words, total in (
            ("pass 1 of %d, sequences", 8),
            ("spectra of activations", 2),
            ("spectra of weights", weights),
            ("spectra of changes of weights", weights if kind == "drift" else 0),
        ):
            words = words.replace("%d", str(passes))
            counts = [a.removeprefix(f"{words}: ") for a in activities if a.startswith(f"{words}: ")]
            step = 2 if "sequences" in words else 1
            assert counts == [f"{done} of {total}" for done in range(step, total + 1, step)]
        assert len([a for a in activities if ", spectra of gradients: " in a]) == 8 + 2  # and two Grams
