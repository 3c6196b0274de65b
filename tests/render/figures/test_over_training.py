"""Trajectories and heat maps: the numbers of `show`, nothing left out."""

from __future__ import annotations

import numpy as np
import pytest

from spectra_cli.archive.reader import open_archive
from spectra_cli.archive.writer import write_archive
from spectra_cli.core.errors import UsageError
from spectra_cli.render.figures import layers, trajectory
from spectra_cli.render.figures.figure import Symbol
from spectra_cli.render.figures.parts import over_training
from spectra_cli.render.figures.parts.over_training import trajectories
from spectra_cli.render.figures.request import PlotRequest
from spectra_cli.statistics.summarise import summarise
from tests.builders.archives import write_planted_run
from tests.builders.checkpoints import checkpoint
from tests.builders.spectra import spectrum


def values(path, name, layer):
    archive = open_archive(path)
    found = [
        next(v for v in summarise(archive.checkpoint(place), [name]) if v.site.layer == layer)
        for place in range(len(archive))
    ]
    return np.array([v.value for v in found]), np.array([v.stderr for v in found])


def test_a_trajectory_is_a_line_a_layer_with_the_archived_numbers_and_errors(planted):
    found = trajectory.figure(PlotRequest(runs=planted[:1], statistics=("rankme_cov",)))
    (panel,) = found.panels
    assert len(panel.series) == 3
    for layer, line in enumerate(panel.series):
        value, error = values(planted[0], "rankme_cov", layer)
        np.testing.assert_array_equal(line.y, value)
        np.testing.assert_allclose(line.high - line.y, error, rtol=1e-9)
        np.testing.assert_array_equal(line.x, [0, 100_000, 200_000, 400_000])
        assert line.ink.shade == layer / 2
    assert (found.scale.low, found.scale.high) == (0, 2)


def test_several_runs_are_lines_of_the_same_place(planted):
    found = trajectory.figure(PlotRequest(runs=planted, statistics=("rankme_cov",), layers=(2,)))
    (panel,) = found.panels
    assert [line.label for line in panel.series] == ["a", "b"]
    for path, line in zip(planted, panel.series, strict=True):
        np.testing.assert_array_equal(line.y, values(path, "rankme_cov", 2)[0])


def test_withheld_values_are_marked_and_counted(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 1, 2], noise=3.0, width=128, num_layers=1)
    found = trajectory.figure(PlotRequest(runs=(path,), statistics=("tail_exponent_scaled",)))
    assert [mark.symbol for mark in found.panels[0].marks] == [Symbol.WITHHELD] * 3
    assert "Withheld: tail exponent, scaled by width (" in " ".join(found.caption)
    assert "× at the lower end: a value that is withheld." in found.caption
    cells = layers.figure(PlotRequest(runs=(path,), statistics=("tail_exponent_scaled",))).panels[0].cells
    assert np.isnan(cells.values).all()
    assert (cells.reasons != "").all()


def test_cells_are_the_archived_numbers(planted):
    found = layers.figure(PlotRequest(runs=planted[:1], statistics=("rankme_cov", "head_exponent_1_10")))
    for panel, name in zip(found.panels, ("rankme_cov", "head_exponent_1_10"), strict=True):
        assert (panel.cells.rows, panel.cells.columns) == (("0", "1", "2"), ("0", "100", "200", "400"))
        for layer in range(3):
            np.testing.assert_array_equal(panel.cells.values[layer], values(planted[0], name, layer)[0])
        assert (panel.cells.reasons == "").all()


def test_runs_stand_side_by_side_with_one_scale_of_a_statistic(planted):
    found = layers.figure(PlotRequest(runs=planted, statistics=("rankme_cov", "head_exponent_1_10")))
    assert found.columns == 2
    heads = [panel.title.split(",")[0] for panel in found.panels]
    assert heads == ["a", "b", "a", "b"]
    for first, second in (found.panels[:2], found.panels[2:]):
        both = np.concatenate([first.cells.values.ravel(), second.cells.values.ravel()])
        for scale in (first.cells.scale, second.cells.scale):
            assert (scale.low, scale.high) == (both.min(), both.max())
    assert "Shades of a statistic mean the same in all its panels." in found.caption


def test_what_is_not_shown_is_counted_as_panels_and_not_as_values(tmp_path):
    parts = [f"attn.{letter}" for letter in "qkvo"] + ["mlp.up", "mlp.down", "mlp.gate"]
    paths = []
    for number in range(2):
        made = [
            checkpoint(
                # the parts that come last are zero: their stable rank is withheld
                [
                    spectrum(np.arange(64, 0, -1.0) * (part != "mlp.up"), "weight", f"blocks.{layer}.{part}")
                    for layer in range(2)
                    for part in parts
                ],
                step=step,
                uri=f"/{number}/{step}",
                digest=f"{number}-{step}",
            )
            for step in (1, 2)
        ]
        paths.append(tmp_path / f"{number}.spectra.h5")
        write_archive(paths[-1], made)
    asked = PlotRequest(runs=(paths[0],), statistics=("stable_rank",))
    found = layers.figure(asked)
    assert len(found.panels) == 6
    shown_zero = sum("mlp.up" in panel.title for panel in found.panels)
    assert f"{7 - 6} more panel is not shown" in " ".join(found.caption)
    assert ("Withheld" in " ".join(found.caption)) == bool(shown_zero)
    assert ("Hatched" in " ".join(found.caption)) == bool(shown_zero)
    several = trajectory.figure(PlotRequest(runs=tuple(paths), statistics=("stable_rank",)))
    assert len(several.panels) == 1
    assert "13 more panels are not shown" in " ".join(several.caption)


def test_runs_of_different_probes_are_each_said_on_which(planted, full):
    found = trajectory.figure(PlotRequest(runs=(planted[0], full[1])))
    assert "a: probe: 256 sequences of 1024 tokens of val.bin. b: probe: 128 sequences of 32" in " ".join(
        found.caption
    )
    assert "8 or 16 blocks" in found.errors
    alike = trajectory.figure(PlotRequest(runs=planted))
    assert "Probe: 256 sequences of 1024 tokens of val.bin." in alike.caption


def test_one_checkpoint_is_no_training(planted):
    for module in (trajectory, layers):
        alone = module.figure(PlotRequest(runs=planted[:1], steps=(range(200, 201),)))
        assert alone.title.endswith("at step200")
        assert module.figure(PlotRequest(runs=planted[:1])).title.endswith("over training")


def test_a_checkpoint_at_zero_is_told_of_where_the_axis_is_logarithmic(tmp_path):
    path = write_planted_run(tmp_path / "a.spectra.h5", steps=[0, 1, 100, 10_000])
    found = trajectory.figure(PlotRequest(runs=(path,)))
    assert found.panels[0].x.log
    assert np.isnan(found.panels[0].series[0].x[0])
    assert "1 checkpoint at 0 stands off a logarithmic axis." in found.caption


def test_an_unknown_statistic_is_refused_with_the_nearest(planted):
    with pytest.raises(UsageError, match="did you mean rankme_cov"):
        layers.figure(PlotRequest(runs=planted[:1], statistics=("rankme_co",)))


@pytest.mark.parametrize("name", ["gradient_covariance", "activation_covariance", "weight"])
def test_the_fast_way_gives_the_values_of_summarise(full, name):
    names = (
        "rankme_cov",
        "head_exponent_1_10",
        "tail_exponent_scaled",
        "stable_rank",
        "gradient_noise_scale",
    )
    archive = open_archive(full[0])
    request = PlotRequest(runs=full[:1])
    (run,) = request.opened()
    found = trajectories(run, names, name, request, most=None)
    assert found.values
    for place in range(len(archive)):
        wanted = {
            (v.name, v.site.address): v
            for v in summarise(archive.checkpoint(place), names)
            if v.measurement == name and v.site is not None
        }
        here = {key: values[place] for key, values in found.values.items()}
        assert set(here) == set(wanted)
        for key, value in wanted.items():
            fast = here[key]
            assert (fast.status, fast.reason, fast.unit, fast.step) == (
                value.status,
                value.reason,
                value.unit,
                value.step,
            )
            np.testing.assert_array_equal([fast.value, fast.stderr], [value.value, value.stderr])


def test_every_layer_of_every_matrix_has_its_row(tmp_path):
    made = [
        checkpoint(
            [
                spectrum(np.arange(64, 0, -1.0), "weight", f"blocks.{layer}.{part}")
                for layer in range(3)
                for part in ("attn.q", "mlp.up")
            ],
            step=step,
            digest=str(step),
        )
        for step in (1, 2)
    ]
    write_archive(tmp_path / "a.spectra.h5", made)
    asked = PlotRequest(runs=(tmp_path / "a.spectra.h5",), statistics=("stable_rank",))
    found = layers.figure(asked)
    assert [panel.cells.rows for panel in found.panels] == [("0", "1", "2")] * 2
    assert [len(panel.series) for panel in trajectory.figure(asked).panels] == [3, 3]


def test_a_statistic_of_something_else_is_refused(planted):
    with pytest.raises(UsageError, match="condition is of weights, updates, not of activations"):
        trajectory.figure(PlotRequest(runs=planted[:1], statistics=("condition",)))
    with pytest.raises(UsageError, match="gradient_noise_scale is of gradients"):
        layers.figure(PlotRequest(runs=planted[:1], statistics=("gradient_noise_scale",)))


def test_parts_of_any_size_give_the_same_numbers(planted, monkeypatch):
    request = PlotRequest(runs=planted[:1])
    whole = layers.figure(request)
    monkeypatch.setattr(over_training, "_MOST_NUMBERS", 1)
    for one, other in zip(layers.figure(request).panels, whole.panels, strict=True):
        np.testing.assert_array_equal(one.cells.values, other.cells.values)
        np.testing.assert_array_equal(one.cells.reasons, other.cells.reasons)
