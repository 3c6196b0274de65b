"""State-space and hybrid models of transformers, found from the module tree, against their writers."""

import json
import logging
from dataclasses import replace

import pytest
import torch

from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.numerics import numerics
from spectra_cli.extract.passes.verification import verify_gradients
from tests.extract.writers.state_space import CONFIGS

CPU, META = torch.device("cpu"), torch.device("meta")

# used as a weight outside a call of its module
UNTAPPABLE = {"mamba": {"mixer.dt_proj"}, "falcon_mamba": {"mixer.dt_proj"}, "jamba": {"mamba.dt_proj"}}


@pytest.fixture(scope="module")
def write_model(header_of):
    """A model with random weights, its header and its tensors, as `save_pretrained` has them."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    def written(model_type):
        torch.manual_seed(0)
        transformers_logging.set_verbosity_error()
        config = AutoConfig.for_model(model_type, **CONFIGS[model_type])
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        transformers_logging.set_verbosity_warning()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        tied = module.get_output_embeddings().weight is module.get_input_embeddings().weight
        state = {n: t.clone() for n, t in module.state_dict().items() if not (tied and n == "lm_head.weight")}
        saved = json.loads(module.config.to_json_string())
        return module, header_of(saved, state, format="huggingface"), state

    return written


@pytest.mark.parametrize("model_type", CONFIGS)
def test_a_scan_is_the_slow_reference(
    model_type, write_model, make_probe, scan, spectra_of, slow_reference, capfd
):
    writer, header, state = write_model(model_type)
    # RWKV halves weights and residual stream at inference, which its norms' epsilons do not follow
    writer.train(model_type == "rwkv")
    family = find_family(header)
    model = family.build(header, state, device=CPU)
    probe = make_probe(5, 10)
    with torch.no_grad():
        expected = writer(input_ids=probe.tokens, use_cache=False).logits
        found = model.head(model.trunk(probe.tokens))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5

    settings = ScanSettings(matrices=("all",), sequence_length=10)
    with numerics(model, settings):
        failed = verify_gradients(model, probe, settings)
    assert failed.untappable.keys() == UNTAPPABLE.get(model_type, set())
    model = replace(model, untappable=failed.untappable)
    measured = scan(model, probe)
    gradients = spectra_of(measured, "gradient_matrix")
    untapped = {s.site.component for s in measured.skipped if "through its taps" in s.reason}
    assert untapped == failed.untappable.keys()
    per_block = {v.site.address for v in model.matrices if v.site.layer is not None}
    assert spectra_of(measured, "weight").keys() == per_block
    weights = {view.site.address: view.weight().clone() for view in model.matrices}

    truth = slow_reference(model, probe, list(gradients))
    covariances = spectra_of(measured, "activation_covariance")
    for layer in range(len(model.blocks)):
        values = torch.tensor(covariances[f"blocks.{layer}.resid_post"].values)
        expected = truth.covariance_eigenvalues(layer)[: len(values)]
        # float32 rounding of an eigenvalue of share s moves it by about 6e-8 / sqrt(s n)
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5 * float(expected[0]))
    assert gradients
    for address, spectrum in gradients.items():
        expected = truth.singular_values(address)
        torch.testing.assert_close(
            torch.tensor(spectrum.values), expected, rtol=0, atol=1e-4 * float(expected[0])
        )
    # nothing that ran changed a weight, and what is measured is what the file holds
    for view in model.matrices:
        stored = state[view.site.name]
        torch.testing.assert_close(weights[view.site.address], stored, rtol=0, atol=0)
    assert "falling back" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("model_type", CONFIGS)
def test_the_skeleton_has_the_same_sites(model_type, write_model):
    _, header, state = write_model(model_type)
    family = find_family(header)
    skeleton = family.build(header, None, device=META)
    model = family.build(header, state, device=CPU)
    assert [(v.site, v.shape) for v in skeleton.matrices] == [(v.site, v.shape) for v in model.matrices]
    assert skeleton.absent == model.absent


def test_missing_kernels_are_a_notice_of_every_model_and_nothing_on_the_console(write_model, capfd):
    for model_type in ("mamba", "mamba", "mamba2"):
        _, header, state = write_model(model_type)
        model = find_family(header).build(header, state, device=CPU)
        (notice,) = [n for n in model.notices if "on plain PyTorch" in n]
        assert "mamba_ssm" in notice
        assert ("mamba_chunk_scan_combined" in notice) == (model_type == "mamba2")
        with torch.no_grad():
            model.trunk(torch.zeros(1, 4, dtype=torch.int64))
    assert capfd.readouterr().err == ""
    assert not logging.getLogger("transformers.integrations.hub_kernels").filters


def test_an_attention_free_model_is_not_said_to_lack_fused_attention(write_model):
    _, header, _ = write_model("mamba")
    skeleton = find_family(header).build(header, None, device=META)
    assert not any("attention" in notice for notice in skeleton.notices)


def test_matrices_that_layers_share_are_measured_once(write_model):
    _, header, state = write_model("zamba2")
    model = find_family(header).build(header, state, device=CPU)
    (query,) = [view for view in model.matrices if view.site.component == "attn.q"]
    assert (query.site.layer, len(query.aliases)) == (1, 1)
    reasons = {site.address: reason for site, reason in model.absent.items()}
    assert reasons["blocks.3.attn.q"] == "shares its weights with blocks.1.attn.q: measured once, there"
    assert reasons["blocks.0.attn.q"].startswith("no matrix of Zamba2ForCausalLM")
