import pytest
import torch

from spectra_cli.core.errors import CheckpointError
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.series import fit
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.outline import num_parameters, outline_header


def outline_checkpoint(series, ref, **settings):
    header = series.source.header(ref)
    return outline_header(series, header, fit.skeleton_of(series, header, heeds_ties=True), **settings)


@pytest.fixture
def series(write, tmp_path):
    for step in (1, 2):
        write("llama").module.save_pretrained(tmp_path / f"checkpoint-{step}")
    return open_series(str(tmp_path)), tmp_path


def test_what_the_header_says(series):
    opened, _ = series
    found = outline_checkpoint(opened, opened.refs[0], compute_dtype="float32")
    assert found.ref == opened.refs[0]
    assert found.architecture == "LlamaForCausalLM"
    assert found.num_parameters == 19_424
    assert found.num_bytes == 4 * 19_424
    assert (found.tokens_seen, found.train_loss, found.eval_loss) == (None, None, None)


def test_checkpoints_of_one_shape_share_a_skeleton(series, monkeypatch):
    opened, _ = series
    built = []
    monkeypatch.setattr(fit, "build_skeleton", lambda header, _: built.append(header) or opened.skeleton)
    for ref in opened.refs:
        outline_checkpoint(opened, ref, compute_dtype="float32")
    assert built == []


def test_a_checkpoint_of_another_shape_has_its_own(series, write):
    opened, folder = series
    write("qwen2").module.save_pretrained(folder / "checkpoint-2")
    found = outline_checkpoint(opened, opened.refs[1], compute_dtype="float32")
    assert found.architecture == "Qwen2ForCausalLM"


def test_a_damaged_one_says_so(series):
    opened, folder = series
    (folder / "checkpoint-2" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="checkpoint-2"):
        outline_checkpoint(opened, opened.refs[1], compute_dtype="float32")


def test_the_configuration_counts_as_much_as_the_shapes(series, monkeypatch):
    opened, folder = series
    path = folder / "checkpoint-2" / "config.json"
    path.write_text(path.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    built = []
    monkeypatch.setattr(fit, "build_skeleton", lambda header, _: built.append(header) or opened.skeleton)
    outline_checkpoint(opened, opened.refs[1], compute_dtype="float32")
    assert [header.ref.step for header in built] == [2]


@pytest.mark.parametrize("model_type", ["llama", "gpt2"])
def test_tied_parameters_count_once_with_and_without_weights(write, model_type):
    written = write(model_type)
    family = find_family(written.header)
    for state in (written.state, None):
        model = family.build(written.header, state, device=torch.device("cpu"))
        # the file holds a tied matrix once
        assert num_parameters(model) == sum(t.numel() for t in written.state.values())
