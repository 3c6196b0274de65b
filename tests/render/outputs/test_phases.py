from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spectra_cli.analysis.phases.over_run import PhasePoint, Phases
from spectra_cli.analysis.phases.segments import Segment
from spectra_cli.render.forms.json import as_json
from spectra_cli.render.outputs import phases as rendering


def segment(first, last, name):
    return Segment(
        first=first,
        last=last,
        earliest=last - 1,
        latest=min(last + 1, 4),
        rank_change=0.5,
        rank_stderr=0.01,
        alpha_change=-0.2,
        alpha_stderr=float("nan"),
        name=name,
    )


POINTS = tuple(
    PhasePoint(step=n, position=n * 1e6, rank=50.0, rank_stderr=1.0, alpha=1.0, alpha_stderr=float("nan"))
    for n in range(8)
)


def phases(*segments):
    return Phases(
        name="run",
        path=Path("/w/run.spectra.h5"),
        unit="tokens",
        layer=11,
        alpha="alpha_req_11_100",
        points=POINTS,
        segments=segments,
        warnings=("few checkpoints",),
    )


def test_boundaries_are_intervals_and_the_last_is_the_end(printed):
    found = phases(segment(0, 2, "warmup"), segment(2, 4, "entropy-seeking"))
    out = printed(*rendering.tables(found))
    assert out.splitlines()[0] == "run: warmup, entropy-seeking"
    assert "1M - 3M" in out
    assert "end of the run" in out
    assert "warning: few checkpoints" in out
    rows = rendering.rows(found)
    assert all(tuple(row) == rendering.COLUMNS for row in rows)
    assert [(row["end_low"], row["end_high"]) for row in rows] == [(1e6, 3e6), (None, None)]
    assert rendering.document(found)["checkpoints"][0]["alpha_stderr"] is None
    as_json(rendering.document(found))


def test_no_structure_is_said(printed):
    out = printed(*rendering.tables(phases(segment(0, 4, "flat"))))
    assert out.startswith("run: no phase structure found")


def test_of_few_checkpoints_the_first_thing_said_is_that_they_are_few():
    flat, named = (replace(phases(segment(0, 4, word)), points=POINTS[:5]) for word in ("flat", "warmup"))
    assert rendering.verdict_words(flat) == "5 checkpoints are too few to tell phases (8 needed)"
    assert rendering.verdict_words(named).endswith("(8 needed); by these, warmup")
