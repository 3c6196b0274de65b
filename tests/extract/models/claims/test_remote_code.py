"""Code that a checkpoint brings: named and refused; run, and used, only where the user says so."""

import dataclasses
import importlib.util
import json
import sys

import pytest
import torch
from transformers import dynamic_module_utils

from spectra_cli.core.errors import ModelError
from spectra_cli.core.scan_request import SeriesOptions
from spectra_cli.extract.checkpoints.huggingface.source import HuggingFaceFormat
from spectra_cli.extract.models.claims.remote_code import TRUST, named_code
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.models.transformers.loading import build_module
from spectra_cli.extract.series.opened import open_series

CPU = torch.device("cpu")
CODE = """
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM


class OwnConfig(GPTNeoXConfig):
    model_type = "own_tiny"


class OwnForCausalLM(GPTNeoXForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = 2 * output.logits
        return output
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A model of a class of its own as transformers saves it; its code leaves a mark when it runs."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [n for n in sys.modules if n.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "own_tiny.py").write_text(CODE)
    spec = importlib.util.spec_from_file_location("own_tiny", tmp_path / "own_tiny.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_tiny", module)
    spec.loader.exec_module(module)
    module.OwnConfig.register_for_auto_class()
    module.OwnForCausalLM.register_for_auto_class("AutoModelForCausalLM")
    torch.manual_seed(0)
    config = module.OwnConfig(
        vocab_size=61, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    model = module.OwnForCausalLM(config).eval()
    folder, mark = tmp_path / "run", tmp_path / "mark"
    model.save_pretrained(folder)
    code = folder / "own_tiny.py"
    code.write_text(code.read_text() + f"\nopen({str(mark)!r}, 'w').close()\n")
    return model, folder, mark


def _read(folder, **config):
    source = HuggingFaceFormat().find(str(folder))
    (ref,) = source.refs()
    header = source.header(ref)
    return dataclasses.replace(header, config={**header.config, **config}), source.open(ref)


def test_refused_by_name_and_not_run(own):
    _, folder, mark = own
    header, state = _read(folder)
    assert named_code(header) == (
        "AutoConfig: own_tiny.OwnConfig, AutoModelForCausalLM: own_tiny.OwnForCausalLM"
    )
    for given in (None, state):
        with pytest.raises(ModelError, match=r"OwnForCausalLM\), run only with --trust-remote-code"):
            find_family(header).build(header, given, device=CPU)
    assert not mark.exists()


@pytest.mark.parametrize("word", [1, "true", False, None])
def test_nothing_but_true_is_trust(own, word):
    _, folder, mark = own
    header, state = _read(folder, **{TRUST: word})
    with pytest.raises(ModelError, match="--trust-remote-code"):
        build_module(header, state, device=CPU)
    assert not mark.exists()


def test_a_file_cannot_trust_itself(own):
    _, folder, mark = own
    config = json.loads((folder / "config.json").read_text()) | {TRUST: True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        open_series(str(folder))
    assert not mark.exists()
    assert (
        open_series(str(folder), SeriesOptions(trust_remote_code=True)).skeleton.architecture
        == "OwnForCausalLM"
    )
    assert mark.exists()


def test_trusted_code_is_the_model(own):
    model, folder, mark = own
    header, state = _read(folder, **{TRUST: True})
    built = find_family(header).build(header, state, device=CPU)
    assert mark.exists()
    assert (built.family, built.architecture) == ("generic", "OwnForCausalLM")
    assert any(
        notice.startswith("code of the checkpoint was run: AutoConfig: own_tiny") for notice in built.notices
    )
    tokens = torch.arange(12)[None]
    with torch.inference_mode():
        found, expected = built.head(built.trunk(tokens)), model(input_ids=tokens).logits
    # float32 rounding of logits of order 0.1
    assert (found - expected).abs().max() < 1e-5


def test_trust_without_the_code(own):
    _, folder, mark = own
    (folder / "own_tiny.py").unlink()
    header, state = _read(folder, **{TRUST: True})
    with pytest.raises(ModelError, match=r"its own code for AutoConfig, own_tiny\.OwnConfig, cannot be run"):
        build_module(header, state, device=CPU)
    assert not mark.exists()


BROKEN = "assert False, 'no GPU'"


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        ("class OwnConfig(", f"{BROKEN}\n\n\nclass OwnConfig(", r"code for AutoConfig, .* cannot be run:"),
        (
            "    config_class",
            f"    def __init__(self, config):\n        {BROKEN}\n\n    config_class",
            "its own code raised",
        ),
        ("        output = super", f"        {BROKEN}\n        output = super", "its own code raised"),
    ],
)
def test_what_it_raises_is_told_by_its_line(own, place, code, message):
    _, folder, _ = own
    file = folder / "own_tiny.py"
    file.write_text(file.read_text().replace(place, code))
    header, state = _read(folder, **{TRUST: True})
    place = r"AssertionError: no GPU \(.*own_tiny.py, line \d+, in"
    with pytest.raises(ModelError, match=f"{folder}: .*{message} {place}"):
        find_family(header).build(header, state, device=CPU)


def test_known_architectures_are_transformers_own_unless_trusted(own):
    _, folder, mark = own
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "gpt_neox"}
    (folder / "config.json").write_text(json.dumps(config))
    header, state = _read(folder)
    module, notices = build_module(header, state, device=CPU)
    assert type(module).__name__ == "GPTNeoXForCausalLM"
    assert "config.json names code of its own; transformers' own gpt_neox was used instead" in notices
    assert not mark.exists()


@pytest.mark.parametrize("auto_map", ["own_tiny.Own", ["own_tiny.Own"], {"AutoModelForCausalLM": None}])
def test_an_auto_map_of_another_kind(own, auto_map):
    _, folder, mark = own
    header, state = _read(folder, auto_map=auto_map, **{TRUST: True})
    with pytest.raises(ModelError, match=r"own_tiny.*unknown to transformers.*asks for code of its own"):
        build_module(header, state, device=CPU)
    assert not mark.exists()
