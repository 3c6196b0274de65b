from types import SimpleNamespace

import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.core.types import CheckpointRef
from spectra_cli.extract.protocols import CheckpointHeader
from spectra_cli.extract.series.reference import keep_reference, read_reference, reference_name


def test_names():
    ref = CheckpointRef(run="r", step=5, uri="/r/step5", format="f")
    assert reference_name(ref) == "step5"
    assert reference_name(CheckpointRef(run="r", step=None, uri="/models/base", format="f")) == "base"


def test_the_kept_weights_are_those_that_are_measured_and_outlive_the_model(model_of):
    model = model_of("llama")
    settings = ScanSettings(matrices=("attn.q", "embed"), layers="0", num_vectors=2)
    reference = keep_reference(model, settings, "digest", archived=False)
    assert list(reference.weights) == ["embed", "blocks.0.attn.q"]
    view = next(v for v in model.matrices if v.site.address == "blocks.0.attn.q")
    assert torch.equal(reference.weights["blocks.0.attn.q"], view.weight())
    with torch.no_grad():
        view.weight().zero_()
    assert reference.weights["blocks.0.attn.q"].any()
    principal = reference.principal("blocks.0.attn.q", 2)
    assert principal is reference.principal("blocks.0.attn.q", 2)  # computed once
    assert principal.left.shape == (view.shape[0], 2)


def test_a_reference_without_the_layers_of_the_scan_is_a_problem_with_its_name(model_of, monkeypatch):
    model = model_of("llama")
    ref = CheckpointRef(run="r", step=5, uri="/r/step5", format="f")
    header = CheckpointHeader(ref=ref, tensors={}, config={}, fingerprint="", num_bytes=0)
    source = SimpleNamespace(header=lambda ref: header, open=lambda ref: {})
    series = SimpleNamespace(reference=ref, reference_source=source, builder=None, names_reference=True)
    family = SimpleNamespace(build=lambda *_, **__: model)
    monkeypatch.setattr("spectra_cli.extract.series.reference.family_of", lambda *_: family)
    monkeypatch.setattr("spectra_cli.extract.series.reference.state_digest", lambda _: "digest")
    found = read_reference(series, ScanSettings(matrices=("attn.q",), layers="97", num_vectors=2))
    assert not found.weights
    assert "step5" in found.problem
    assert "97" in found.problem
