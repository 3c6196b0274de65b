"""What a figure says that it heeds is what it reads; nothing else may be asked of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spectra_cli.analysis.run import Axis, Loss
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures.registry import FIGURES, FLAGS, figure_of, narrowed
from spectra_cli.render.figures.request import PlotRequest

ASKED = {
    "steps": (range(100, 101),),
    "layers": (0,),
    "matrices": ("attn.o",),
    "measurement": "weight",
    "statistics": ("tail_exponent_scaled",),
    "align": Axis.STEP,
    "loss": Loss.PROBE,
    "at": 100.0,
}
CASES = [
    (name, num, heeded)
    for name, kind in FIGURES.items()
    for num, heeded in ((1, kind.alone), (2, kind.together))
]
HEEDED = [(name, num, heeded) for name, num, heeded in CASES if heeded is not None]


class Watched(PlotRequest):
    """A request that knows what was read of it."""

    __slots__ = ("_read",)
    _read: set[str]

    def __getattribute__(self, name: str):
        if name in FLAGS:
            object.__getattribute__(self, "_read").add(name)
        return object.__getattribute__(self, name)


@pytest.fixture(scope="module")
def runs_of(planted, full, reaching):
    def of(name: str, num: int) -> tuple[str, ...]:
        if name == "forecast":
            return tuple(reaching[:6])
        return tuple((planted if name in ("phases", "layers", "trajectory") else full)[:num])

    return of


@pytest.mark.parametrize(("name", "num", "heeded"), HEEDED)
def test_a_figure_reads_all_that_it_heeds(runs_of, name, num, heeded, monkeypatch):
    request = Watched(runs=runs_of(name, num))
    object.__setattr__(request, "_read", set())
    figure_of(name, request)
    assert request._read >= heeded


@pytest.mark.parametrize(("name", "num", "heeded"), HEEDED)
def test_what_a_figure_does_not_heed_is_refused_and_left_out_of_a_set(name, num, heeded):
    runs = tuple("ab"[:num])
    for field in set(FLAGS) - set(heeded):
        request = PlotRequest(runs=runs, **{field: ASKED[field]})
        with pytest.raises(UsageError, match=f"takes no {FLAGS[field]}; it takes --"):
            figure_of(name, request)
        assert narrowed(name, request) == (PlotRequest(runs=runs), [FLAGS[field]])
    whole = replace(PlotRequest(runs=runs), **{field: ASKED[field] for field in heeded})
    assert narrowed(name, whole) == (whole, [])


@pytest.mark.parametrize(("name", "num"), [(name, num) for name, num, heeded in CASES if heeded is None])
def test_a_figure_of_other_many_runs_is_refused(name, num):
    with pytest.raises(UsageError, match="two runs or more" if num == 1 else "one run"):
        figure_of(name, PlotRequest(runs=tuple("ab"[:num])))
