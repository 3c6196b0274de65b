"""Sessions over real folders: several checkpoints of one run, some of them broken."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spectra_cli.core.errors import BudgetError, CheckpointError, ModelError
from spectra_cli.core.notices import NoticeKind, kind_of
from spectra_cli.core.scan_request import Resources, ScanRequest
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract import digest
from spectra_cli.extract.engine import measure
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.probe import read_probe
from spectra_cli.extract.session import Session

SETTINGS = ScanSettings(
    num_sequences=6, num_gradient_sequences=8, sequence_length=10, num_blocks=2, matrices=("attn.q",)
)


@pytest.fixture
def run_folder(write, tmp_path):
    """Two checkpoints of a tiny Llama; the second has other weights."""
    module = write("llama").module
    saved = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.save_pretrained(tmp_path / "checkpoint-1")
    with torch.no_grad():
        module.model.layers[0].self_attn.q_proj.weight.mul_(2)
    module.save_pretrained(tmp_path / "checkpoint-2")
    module.load_state_dict(saved)
    return tmp_path


def synthetic(series, settings=SETTINGS):
    return read_probe(series, ScanRequest(checkpoints="run", settings=settings, probe="synthetic")).probe


def quiet(*_):
    pass


def test_a_series_is_opened_without_weights(run_folder):
    series = open_series(str(run_folder))
    assert [ref.step for ref in series.refs] == [1, 2]
    assert {p.device.type for p in series.skeleton.module.parameters()} == {"meta"}


def test_every_checkpoint_is_measured_with_the_same_probe(run_folder):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    heard = []
    one, two = (session.measure(ref, lambda *words: heard.append(words)) for ref in series.refs)
    assert one.provenance.probe == two.provenance.probe
    assert one.info.digest != two.info.digest
    assert one.info.num_parameters == two.info.num_parameters == 19_424
    names = {"activation_covariance", "gradient_covariance", "gradient_matrix", "weight"}
    assert {s.measurement for s in one.spectra} == names
    first, second = (found.select("weight")[0].values for found in (one, two))
    np.testing.assert_allclose(2 * first, second, rtol=1e-6)
    assert one.provenance.execution["passes"] == 1
    assert one.provenance.execution["batch_halvings"] == 0
    assert one.provenance.execution["num_layers"] == len(series.skeleton.blocks)
    assert one.provenance.settings == SETTINGS.as_json()
    # gradients are checked against autograd once for each architecture
    assert [words[0] for words in heard].count("checking gradients") == 1


def test_two_measurements_of_one_checkpoint_are_equal(run_folder):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    one, two = (session.measure(series.refs[0], quiet) for _ in range(2))
    for a, b in zip(one.spectra, two.spectra, strict=True):
        np.testing.assert_array_equal(a.values, b.values)


def test_the_first_readable_checkpoint_gives_the_skeleton(run_folder):
    (run_folder / "checkpoint-1" / "model.safetensors").write_bytes(b"short")
    series = open_series(str(run_folder))
    assert series.first.ref.step == 2
    (run_folder / "checkpoint-2" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="none of 2 checkpoints"):
        open_series(str(run_folder))


def test_a_budget_too_small_is_refused_before_any_weight_is_read(run_folder):
    series = open_series(str(run_folder))
    with pytest.raises(BudgetError, match="smallest plan"):
        Session(series, synthetic(series), SETTINGS, Resources(device="cpu", memory_bytes=1000))


def test_a_checkpoint_of_another_vocabulary(run_folder, write):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    from transformers import LlamaConfig, LlamaForCausalLM

    config = write("llama").module.config.to_dict() | {"vocab_size": 20}
    shutil.rmtree(run_folder / "checkpoint-2")
    LlamaForCausalLM(LlamaConfig(**config)).save_pretrained(run_folder / "checkpoint-2")
    with pytest.raises(CheckpointError, match="vocabulary has 20 ids and the probe needs"):
        session.measure(series.refs[1], quiet)


def test_what_computed_attention_under_masks_is_kept(run_folder, monkeypatch):
    from spectra_cli.extract import session as module

    series = open_series(str(run_folder))
    plain = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    assert "attention" not in plain.measure(series.refs[0], quiet).provenance.execution

    def masked(model, *words, **others):
        assert not model.kernels
        model.kernels["fused attention under masks"] = "no triton"
        return measure(model, *words, **others)

    monkeypatch.setattr(module, "measure", masked)
    found = plain.measure(series.refs[0], quiet)
    assert found.provenance.execution["attention"] == "fused attention under masks"
    assert "flex attention was not used: no triton" in found.info.notices


def test_a_model_that_finds_no_room_is_an_error_of_that_checkpoint(run_folder, monkeypatch):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))

    def build(*_, **__):
        raise MemoryError

    monkeypatch.setattr("spectra_cli.extract.session.family_of", lambda *_: SimpleNamespace(build=build))
    with pytest.raises(ModelError, match=r"checkpoint-1: out of memory .* on cpu: its tensors take"):
        session.measure(series.refs[0], quiet)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_memory_that_runs_out_halves_the_batch(run_folder, monkeypatch, error):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu", batch_size=8))
    from spectra_cli.extract import session as module

    sizes, given_back_after = [], []

    def scarce(model, probe, settings, plan, *, progress, **others):
        sizes.append(plan.batch_size)
        if plan.batch_size > limit:
            raise error("no memory")
        return measure(model, probe, settings, plan, progress=progress, **others)

    monkeypatch.setattr(module, "measure", scarce)
    monkeypatch.setattr(module, "give_back_heap", lambda: given_back_after.append(sizes[-1]))
    limit = 2
    found = session.measure(series.refs[0], quiet)
    assert sizes == [8, 4, 2]
    assert given_back_after == [8, 4]
    assert found.provenance.execution["batch_halvings"] == 2
    assert any("halved 2 times" in notice for notice in found.info.notices)
    assert found.provenance.execution["batch_size"] == 2
    limit = 0
    with pytest.raises(ModelError, match="even with one sequence a batch"):
        session.measure(series.refs[0], quiet)


def test_a_session_that_ends_gives_its_memory_back(run_folder, monkeypatch):
    from spectra_cli.extract import session as module

    given_back = []
    monkeypatch.setattr("spectra_cli.extract.session.Arena.give_back", lambda _: given_back.append("arena"))
    monkeypatch.setattr(module, "give_back_heap", lambda: given_back.append("heap"))
    series = open_series(str(run_folder))
    with Session(series, synthetic(series), SETTINGS, Resources(device="cpu")) as session:
        session.measure(series.refs[0], quiet)
        given_back.clear()
    assert given_back == ["arena", "heap"]


def test_a_checkpoint_replaced_while_it_is_read_is_an_error_of_its_own(run_folder, monkeypatch):
    series = open_series(str(run_folder))
    session = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    reading = digest.state_digest

    def replaced_meanwhile(state):
        found = reading(state)
        (run_folder / "checkpoint-2" / "model.safetensors").replace(
            run_folder / "checkpoint-1" / "model.safetensors"
        )
        return found

    monkeypatch.setattr("spectra_cli.extract.session.state_digest", replaced_meanwhile)
    with pytest.raises(CheckpointError, match=r"checkpoint-1\S*: it changed while it was being read"):
        session.measure(series.refs[0], quiet)


def test_ids_of_another_vocabulary_are_seen_in_the_loss(run_folder, tmp_path):
    """A sharp model, shown ids it does not expect: far above ln V, which is noted; not at step 0."""
    from safetensors.torch import load_file, save_file

    for name in ("checkpoint-1", "checkpoint-2"):
        file = run_folder / name / "model.safetensors"
        state = load_file(file)
        state["lm_head.weight"] = 40 * state["lm_head.weight"]
        save_file(state, file, metadata={"format": "pt"})
    shutil.move(run_folder / "checkpoint-1", run_folder / "checkpoint-0")
    series = open_series(str(run_folder))
    ids = np.random.default_rng(0).integers(0, series.skeleton.vocab_size, (8, 11)).astype(np.int32)
    np.save(tmp_path / "ids.npy", ids)
    probe = read_probe(
        series, ScanRequest(checkpoints="run", settings=SETTINGS, probe=str(tmp_path / "ids.npy"))
    ).probe
    session = Session(series, probe, SETTINGS, Resources(device="cpu"))
    start, later = (session.measure(ref, quiet).info.notices for ref in series.refs)
    assert not [notice for notice in start if kind_of(notice) is NoticeKind.ABOVE_UNIFORM]
    (notice,) = (notice for notice in later if kind_of(notice) is NoticeKind.ABOVE_UNIFORM)
    assert notice.startswith("step2: probe loss")
    random = Session(series, synthetic(series), SETTINGS, Resources(device="cpu"))
    unspoken = random.measure(series.refs[1], quiet).info.notices
    assert NoticeKind.ABOVE_UNIFORM not in map(kind_of, unspoken)
