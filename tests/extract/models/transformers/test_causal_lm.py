import dataclasses

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.models.transformers.causal_lm import check, check_blocks, check_causal, check_head

CPU = torch.device("cpu")


@pytest.fixture
def model(built):
    return built("gemma2")


def test_a_sound_model_passes(model):
    check(model)


def test_head_applies_the_soft_cap_and_takes_any_leading_shape(model, tokens):
    hidden = model.trunk(tokens)
    plain = hidden @ model.module.lm_head.weight.T
    cap = model.module.config.final_logit_softcapping
    torch.testing.assert_close(model.head(hidden), cap * torch.tanh(plain / cap))
    flat = hidden.flatten(0, 1)
    torch.testing.assert_close(model.head(flat), model.head(hidden).flatten(0, 1))
    torch.testing.assert_close(model.head(flat[0]), model.head(hidden)[0, 0])


def test_head_runs_the_modules_own_head_and_leaves_the_module_whole(model, tokens):
    seen = []
    handle = model.module.lm_head.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    model.head(model.trunk(tokens))
    handle.remove()
    assert seen == [(3, 7, 32)]
    assert type(model.module.model).__name__ == "Gemma2Model"


def test_gradients_flow_through_both_halves(model, tokens):
    parameters = list(model.module.requires_grad_(True).parameters())
    gradients = torch.autograd.grad(model.head(model.trunk(tokens)).square().mean(), parameters)
    model.module.requires_grad_(False)
    assert all(g.isfinite().all() and g.any() for g in gradients)


def test_another_head_is_found_out(model):
    broken = dataclasses.replace(model, head=lambda h: h @ model.module.lm_head.weight.T * 1.001)
    with pytest.raises(ModelError, match="could not be told from its trunk"):
        check_head(broken)


def test_blocks_that_return_no_stream_are_found_out(model):
    broken = dataclasses.replace(model, blocks=tuple(b.mlp.gate_proj for b in model.blocks))
    with pytest.raises(ModelError, match="expected 2 residual streams"):
        check_blocks(broken)


def test_a_model_that_sees_the_future_is_found_out(model):
    def trunk(tokens):
        hidden = model.trunk(tokens)
        return hidden + hidden.mean(1, keepdim=True)

    with pytest.raises(ModelError, match="not a decoder"):
        check_causal(dataclasses.replace(model, trunk=trunk))


def test_an_encoder_is_refused(header_of):
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    module = BertLMHeadModel(BertConfig(vocab_size=61, **sizes))
    state = {n: t for n, t in module.state_dict().items() if not n.startswith("cls.predictions.decoder")}
    header = header_of({"model_type": "bert", "vocab_size": 61, **sizes}, state, format="huggingface")
    with pytest.raises(ModelError, match="not a decoder"):
        find_family(header).build(header, state, device=CPU)
