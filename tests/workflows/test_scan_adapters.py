"""A series of adapters, from PEFT's folders to an archive and its statistics."""

import json
import shutil
import warnings

import numpy as np
import peft
import pytest
import tokenizers
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from spectra_cli.archive.reader import open_archive
from spectra_cli.core.errors import DataError
from spectra_cli.core.scan_request import ScanRequest, SeriesOptions
from spectra_cli.core.settings import ScanSettings
from spectra_cli.statistics.summarise import summarise
from spectra_cli.workflows.scan import scan

RANK, WIDTH = 3, 16
NOT_ADAPTED = "the adapter has no low-rank update of this matrix"


def save_gpt2(folder, *, seed):
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=40, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=16)
    GPT2LMHeadModel(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2, and two LoRA checkpoints over it on the fused attention, the second twice the first."""
    folder = tmp_path_factory.mktemp("series")
    save_gpt2(folder / "base", seed=0)
    settings = {"r": RANK, "lora_alpha": 6, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's own
        adapted = peft.get_peft_model(base, peft.LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    for step in (5, 10):
        checkpoint = folder / "run" / f"checkpoint-{step}"
        adapted.save_pretrained(checkpoint)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.mul_(2)
    np.save(folder / "probe.npy", np.random.default_rng(0).integers(0, 40, 400).astype(np.int32))
    return folder


@pytest.fixture(scope="module")
def archive(folder):
    settings = ScanSettings(
        measurements=("activation_covariance", "weight", "weight_update"),
        matrices=("attn.q", "attn.v", "mlp.down"),
        num_sequences=8,
        sequence_length=8,
        num_blocks=2,
    )
    request = ScanRequest(
        checkpoints=str(folder / "run"),
        settings=settings,
        probe=str(folder / "probe.npy"),
        output=folder / "run.spectra.h5",
    )
    scan(request, lambda _: None)
    return open_archive(folder / "run.spectra.h5")


def update_of(folder, step, component):
    """`2 B A` of one third of the fused matrix, from the adapter's own file."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "run" / f"checkpoint-{step}" / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.transformer.h.1.attn.c_attn.lora_{x}.weight"].double() for x in "AB")
    start = {"attn.q": 0, "attn.v": 2 * WIDTH}[component]
    return (2 * b @ a)[start : start + WIDTH].numpy()


def test_the_updates_come_back_from_the_archive(folder, archive):
    assert [ref.key for ref in archive.refs] == ["step5", "step10"]
    for checkpoint, step in zip(archive, (5, 10), strict=True):
        spectra = {s.site.address: s for s in checkpoint.select("weight_update")}
        assert list(spectra) == [f"blocks.{layer}.attn.{part}" for layer in (0, 1) for part in "qv"]
        for component in ("attn.q", "attn.v"):
            found = spectra[f"blocks.1.{component}"]
            expected = np.linalg.svd(update_of(folder, step, component), compute_uv=False)[:RANK]
            np.testing.assert_allclose(found.values, expected, rtol=1e-12)
            assert (found.num_samples, found.ambient_dim, found.unit) == (WIDTH, WIDTH, "weight_unit")
        assert any("merged in float32" in notice for notice in checkpoint.info.notices)


def test_unadapted_matrices_are_skipped_by_name(archive):
    for checkpoint in archive:
        skipped = {s.site.address: s.reason for s in checkpoint.skipped if s.measurement == "weight_update"}
        assert skipped == {f"blocks.{layer}.mlp.down": NOT_ADAPTED for layer in (0, 1)}


def test_the_weights_are_the_merged_ones(folder, archive):
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    before = base.transformer.h[1].attn.c_attn.weight.T[:WIDTH].double().detach().numpy()
    for checkpoint, step in zip(archive, (5, 10), strict=True):
        (found,) = (s for s in checkpoint.select("weight") if s.site.address == "blocks.1.attn.q")
        expected = np.linalg.svd(before + update_of(folder, step, "attn.q"), compute_uv=False)
        # merged in float32
        np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-6 * expected[0])


def test_its_statistics(archive):
    first, second = (summarise(checkpoint) for checkpoint in archive)

    def value(values, name):
        of_updates = [v for v in values if (v.name, v.measurement) == (name, "weight_update")]
        (found,) = (v.value for v in of_updates if v.site.address == "blocks.1.attn.q")
        return found

    # all of B twice as large: so is every singular value, and every rank stays
    assert value(second, "frobenius_norm") == pytest.approx(2 * value(first, "frobenius_norm"))
    assert value(second, "stable_rank") == pytest.approx(value(first, "stable_rank"))
    assert 1 <= value(first, "rankme_sv") <= RANK
    assert not any(v.name == "num_outliers" and v.measurement == "weight_update" for v in first)


def test_text_is_cut_by_the_bases_tokenizer_where_the_adapter_has_none(folder, tmp_path):
    end = "<eos>"
    words = {f"w{i}": i for i in range(39)} | {end: 39}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=end))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    base = shutil.copytree(folder / "base", tmp_path / "base")
    PreTrainedTokenizerFast(tokenizer_object=model, eos_token=end).save_pretrained(base)
    (tmp_path / "probe.txt").write_text(" ".join(f"w{i % 39}" for i in range(200)))
    request = ScanRequest(
        checkpoints=str(folder / "run" / "checkpoint-5"),
        settings=ScanSettings(measurements=("activation_covariance",), num_sequences=4, sequence_length=8),
        series=SeriesOptions(base=str(base)),
        probe=str(tmp_path / "probe.txt"),
        output=tmp_path / "text.h5",
    )
    scan(request, lambda _: None)
    (checkpoint,) = open_archive(tmp_path / "text.h5")
    assert checkpoint.provenance.probe.vocab_size <= 40


def request_for(folder, checkpoints, **changes):
    settings = ScanSettings(measurements=("weight_update",), matrices=("attn.q",))
    return ScanRequest(checkpoints=str(checkpoints), settings=settings, output=folder / "only.h5", **changes)


def test_updates_alone_need_no_probe(folder):
    scan(request_for(folder, folder / "run" / "checkpoint-5"), lambda _: None)
    (checkpoint,) = open_archive(folder / "only.h5")
    assert {s.measurement for s in checkpoint.spectra} == {"weight_update"}


def test_what_is_no_adapter_has_no_updates(folder):
    with pytest.raises(DataError, match="this checkpoint is no adapter"):
        scan(request_for(folder, folder / "base", overwrite=True), lambda _: None)


def test_another_base_can_be_given(folder, tmp_path):
    save_gpt2(tmp_path / "other", seed=1)
    found = {}
    for base in (folder / "base", tmp_path / "other"):
        settings = ScanSettings(measurements=("weight", "weight_update"), matrices=("attn.q",))
        request = ScanRequest(
            checkpoints=str(folder / "run" / "checkpoint-5"),
            settings=settings,
            output=tmp_path / f"{base.name}.h5",
            series=SeriesOptions(base=str(base)),
        )
        scan(request, lambda _: None)
        (found[base.name],) = open_archive(tmp_path / f"{base.name}.h5")
    one, other = found["base"], found["other"]
    np.testing.assert_array_equal(
        one.select("weight_update")[0].values, other.select("weight_update")[0].values
    )
    assert not np.array_equal(one.select("weight")[0].values, other.select("weight")[0].values)


def test_the_base_given_is_the_reference_too(folder, tmp_path):
    base = str(folder / "base")
    request = ScanRequest(
        checkpoints=str(folder / "run"),
        settings=ScanSettings(measurements=("weight",), matrices=("attn.q", "mlp.down"), num_vectors=2),
        series=SeriesOptions(base=base, reference=base),
        output=tmp_path / "run.spectra.h5",
    )
    scan(request, lambda _: None)
    first = open_archive(request.output).checkpoint(0)
    change = {s.site.component: s.value for s in first.scalars if s.name == "relative_change"}
    assert change["attn.q"] > 0.1
    assert change["mlp.down"] == 0
