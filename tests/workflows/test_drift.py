"""A tiny fine-tuning run of two kinds, scanned with vectors and read by drift; resume and workers."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spectra_cli.analysis.drift.change import ChangeReading
from spectra_cli.archive.reader import Archive, open_archive
from spectra_cli.archive.validate import validate
from spectra_cli.core.errors import DataError, UsageError
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.core.series_selection import SeriesSelection
from spectra_cli.core.settings import ScanSettings
from spectra_cli.workflows.drift import drift
from spectra_cli.workflows.scan import scan

WIDTH, LEADING, VECTORS = 48, 4, 12
SETTINGS = ScanSettings(
    measurements=("activation_covariance", "weight"),
    matrices=("attn.q", "attn.o", "mlp.down"),
    num_sequences=16,
    sequence_length=8,
    num_blocks=4,
    num_vectors=VECTORS,
)
SCANNED = ("model.layers.0", "model.layers.1")


def planted(shape, generator):
    """A weight with a few strong directions, and a gap behind them."""
    m, n = shape
    size = min(shape)
    values = torch.cat([torch.linspace(8, 6, LEADING), torch.linspace(2, 0.2, size - LEADING)]).double()
    left = torch.linalg.qr(torch.randn(m, size, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(n, size, generator=generator, dtype=torch.float64)).Q
    return (left * values) @ right.T / 10


def keep_off(weight, generator):
    """A few of the smallest entries move, by little: what RL does, made plain."""
    chosen = (weight.abs() <= weight.abs().quantile(0.4)) & (
        torch.rand(weight.shape, generator=generator) < 0.2
    )
    return weight + 0.01 * torch.randn(weight.shape, generator=generator) * chosen


def rotate(weight, generator):
    """Both sides turned as a whole: every principal direction moves, no singular value does."""
    for side in (0, 1):
        noise = torch.randn(2 * (weight.shape[side],), generator=generator, dtype=torch.float64)
        turn = torch.matrix_exp(0.02 * (noise - noise.T)).to(weight.dtype)
        weight = turn @ weight if side == 0 else weight @ turn
    return weight


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`off/` and `rotated/`: the same base as step 0, then two steps each."""
    folder = tmp_path_factory.mktemp("runs")
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
    )
    base = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in base.parameters():
            if parameter.ndim == 2:
                parameter.copy_(planted(parameter.shape, generator))
    for name, move in (("off", keep_off), ("rotated", rotate)):
        model = LlamaForCausalLM(config)
        model.load_state_dict(base.state_dict())
        for step in (0, 10, 20):
            if step:
                with torch.no_grad():
                    for path, parameter in model.named_parameters():
                        if parameter.ndim == 2 and path.startswith(SCANNED):
                            parameter.copy_(move(parameter, generator))
            model.save_pretrained(folder / name / f"checkpoint-{step}")
    np.save(folder / "probe.npy", np.random.default_rng(0).integers(0, 64, 2048).astype(np.int32))
    return folder


def scanned(runs, name, output, **changes):
    fields = {"checkpoints": str(runs / name), "settings": SETTINGS, "probe": str(runs / "probe.npy")}
    scan(ScanRequest(output=output, **(fields | changes)), lambda _: None)
    return output


@pytest.fixture(scope="module")
def archives(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    return {name: scanned(runs, name, folder / f"{name}.spectra.h5") for name in ("off", "rotated")}


def weights_of(pair):
    return [site for site in pair.sites if site.measurement == "weight"]


@pytest.mark.parametrize(("name", "expected"), [("off", ChangeReading.OFF), ("rotated", ChangeReading.ON)])
def test_the_two_kinds_of_fine_tuning_are_told_apart(archives, name, expected):
    report = drift(str(archives[name]), ranks=[LEADING])
    assert [(p.against, p.before, p.after) for p in report.pairs] == [
        ("first", "step0", "step10"),
        ("first", "step0", "step20"),
        ("previous", "step0", "step10"),
        ("previous", "step10", "step20"),
    ]
    assert report.notices == ()
    for pair in report.against("first"):
        assert pair.reading(0) is expected
        assert len(weights_of(pair)) == 6
        for site in weights_of(pair):
            # Mirsky: the shift is bounded by the change; a rotation shifts nothing beyond float32
            assert site.shift <= site.change.relative
            (rank,) = site.ranks
            assert rank.cut.well_defined
            assert (rank.left.max_degrees > 5) == (name == "rotated")
            assert np.sin(np.radians(rank.left.max_degrees)) <= rank.sine_bound
    shifts = [site.shift for pair in report.against("first") for site in weights_of(pair)]
    assert (max(shifts) < 1e-6) if name == "rotated" else (min(shifts) > 1e-5)


def test_the_path_to_the_last_checkpoint_ends_at_one(archives):
    report = drift(str(archives["rotated"]))
    assert report.ranks == (VECTORS,)
    paths = [np.mean(list(by_site.values())) for by_site in report.similarity.values()]
    assert paths[-1] == pytest.approx(1.0, abs=1e-12)
    assert paths[0] < paths[1] < 1


def test_activations_turn_too_and_the_last_probe_noise_is_said(archives):
    pair = drift(str(archives["rotated"]), ranks=[LEADING]).against("first")[-1]
    layers = [site for site in pair.sites if site.measurement == "activation_covariance"]
    assert [site.site.address for site in layers] == ["blocks.0.resid_post", "blocks.1.resid_post"]
    for site in layers:
        (rank,) = site.ranks
        assert rank.left is None
        assert rank.reading is None
        assert 0 < rank.sampling_turn < 1
        assert rank.right.turned > 0


def everything(path):
    return [
        (
            c.ref.key,
            [(s.measurement, s.site.address, s.values.tobytes()) for s in c.spectra],
            [s.vectors.right.tobytes() for s in c.spectra if s.vectors is not None],
            [(s.name, s.site and s.site.address, s.value.hex()) for s in c.scalars],
        )
        for c in open_archive(path)
    ]


def test_workers_and_resumed_scans_give_the_same_archive(runs, archives, tmp_path):
    # each worker its own checkpoint, in any order: all compare with the first of the whole series
    output = tmp_path / "off.spectra.h5"
    for steps in ("20", "0", "10"):
        scanned(runs, "off", output, series=SeriesOptions(selection=SeriesSelection(steps=steps)))
    assert everything(output) == everything(archives["off"])
    assert validate(output) == ()


def test_a_reference_that_is_named_comes_along(runs, archives, tmp_path):
    # one checkpoint alone, as a base and its fine-tuned model lie on the hub
    output = scanned(
        runs,
        "rotated/checkpoint-20",
        tmp_path / "one.spectra.h5",
        series=SeriesOptions(reference=str(runs / "rotated/checkpoint-0")),
    )
    (pair,) = drift(str(output), ranks=[LEADING]).pairs
    whole = drift(str(archives["rotated"]), ranks=[LEADING]).against("first")[-1]
    assert (pair.before, pair.after) == ("step0", "step20")
    assert pair.reading(0) is ChangeReading.ON
    for one, other in zip(weights_of(pair), weights_of(whole), strict=True):
        assert one.shift == pytest.approx(other.shift, abs=1e-12)
        assert one.ranks[0].left.turned == pytest.approx(other.ranks[0].left.turned, rel=1e-6)
        assert one.change == other.change
    with pytest.raises(UsageError, match=r"--reference .* holds 3 checkpoints"):
        scanned(runs, "off", tmp_path / "x.h5", series=SeriesOptions(reference=str(runs / "off")))


def test_a_reference_that_cannot_be_read_costs_the_comparison_alone(runs, tmp_path):
    shutil.copytree(runs / "off", tmp_path / "run")
    (tmp_path / "run/checkpoint-0/model.safetensors").write_bytes(b"\0" * 64)
    output = scanned(
        runs,
        str(tmp_path / "run"),
        tmp_path / "a.h5",
        series=SeriesOptions(selection=SeriesSelection(steps="10:")),
    )
    checkpoint = open_archive(output).checkpoint(0)
    assert {s.measurement for s in checkpoint.spectra} == {"activation_covariance", "weight"}
    assert len(checkpoint.skipped) == 6
    assert all("reference checkpoint step0 cannot be read" in s.reason for s in checkpoint.skipped)
    report = drift(str(output))
    assert [pair.reading(0) for pair in report.against("first")] == [None]
    (notice,) = report.notices
    assert "step10 and 1 more checkpoint: the reference checkpoint step0 could not be read" in notice


def test_a_first_checkpoint_written_anew_is_noticed(runs, tmp_path):
    shutil.copytree(runs / "off", tmp_path / "run")
    output = scanned(runs, str(tmp_path / "run"), tmp_path / "a.h5")
    shutil.copy(
        runs / "rotated/checkpoint-10/model.safetensors", tmp_path / "run/checkpoint-0/model.safetensors"
    )
    scanned(runs, str(tmp_path / "run"), output)
    report = drift(str(output))
    (notice,) = report.notices
    assert "step0 was written anew" in notice
    assert "--overwrite" in notice
    assert report.against("first")[-1].reading(0) is None


def test_a_first_checkpoint_written_anew_is_no_twin_of_one_that_was_compared_with_the_old(runs, tmp_path):
    shutil.copytree(runs / "off", tmp_path / "run")
    output = scanned(runs, str(tmp_path / "run"), tmp_path / "a.h5")
    shutil.copy(runs / "off/checkpoint-10/model.safetensors", tmp_path / "run/checkpoint-0/model.safetensors")
    scanned(runs, str(tmp_path / "run"), output)
    first = open_archive(output).checkpoint(0)
    assert "taken_from" not in first.provenance.execution
    assert {s.value for s in first.scalars if s.name == "relative_change"} == {0.0}
    shutil.copytree(tmp_path / "run/checkpoint-0", tmp_path / "run/checkpoint-30")
    scanned(runs, str(tmp_path / "run"), output)
    last = open_archive(output).checkpoint(3)
    assert last.provenance.execution["taken_from"] == "step0"


def test_without_vectors_the_shift_is_told_and_how_to_get_the_rest(runs, archives, tmp_path):
    output = scanned(runs, "off", tmp_path / "a.h5", settings=replace(SETTINGS, num_vectors=0))
    report = drift(str(output))
    assert "--vectors 64" in report.notices[0]
    expected = [s.shift for s in weights_of(drift(str(archives["off"])).against("first")[-1])]
    assert [s.shift for s in report.against("first")[-1].sites] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(UsageError, match=r"-k 16: .* holds no vectors"):
        drift(str(output), ranks=[16])


def test_one_checkpoint_and_no_weights_are_refused(runs, tmp_path):
    selected = SeriesOptions(selection=SeriesSelection(steps="10"))
    with pytest.raises(DataError, match=r"one checkpoint, step10: drift needs two.*--reference"):
        drift(str(scanned(runs, "off", tmp_path / "one.h5", series=selected)))
    settings = replace(SETTINGS, measurements=("activation_covariance",), num_vectors=0)
    with pytest.raises(DataError, match="holds no weights"):
        drift(str(scanned(runs, "off", tmp_path / "none.h5", settings=settings)))


def test_a_rank_beyond_what_was_kept_is_refused(archives):
    with pytest.raises(UsageError, match=r"-k 4,99: .* holds 12 vectors a spectrum.*--vectors 99"):
        drift(str(archives["off"]), ranks=[4, 99])


def test_every_checkpoint_of_another_reference_is_noticed(runs, archives, tmp_path):
    """The middle one was measured from the first as it was once, the last from it as it is now."""
    shutil.copytree(runs / "off", tmp_path / "run")
    output = scanned(runs, str(tmp_path / "run"), tmp_path / "a.h5")
    shutil.copy(
        runs / "rotated/checkpoint-10/model.safetensors", tmp_path / "run/checkpoint-0/model.safetensors"
    )
    shutil.copy(
        runs / "rotated/checkpoint-20/model.safetensors", tmp_path / "run/checkpoint-20/model.safetensors"
    )
    scanned(runs, str(tmp_path / "run"), output)
    report = drift(str(output))
    (notice,) = report.notices
    assert "step10: step0 was written anew" in notice
    assert [pair.reading(0) is None for pair in report.against("first")] == [True, False]


def test_one_baseline_for_the_series_where_only_some_archived_their_reference(
    runs, archives, tmp_path, monkeypatch
):
    alone = scanned(
        runs,
        "rotated/checkpoint-20",
        tmp_path / "one.spectra.h5",
        series=SeriesOptions(reference=str(runs / "rotated/checkpoint-0")),
    )
    with_reference = open_archive(alone).checkpoint(0, vectors=True)
    read = Archive.checkpoint

    def mixed(self, index, *, vectors=True):
        return with_reference if index == 1 else read(self, index, vectors=vectors)

    monkeypatch.setattr(Archive, "checkpoint", mixed)
    report = drift(str(archives["off"]), ranks=[LEADING])
    names = [(pair.before, len(pair.missing)) for pair in report.against("first")]
    assert names == [("step0", 0), ("step0", 0)]
    # of the archived reference only weights are known: activations show that the first itself was taken
    assert all(len(pair.sites) == 8 for pair in report.against("first"))
