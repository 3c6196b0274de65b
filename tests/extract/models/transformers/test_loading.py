"""No hub, no code from a checkpoint, and no weight that is not the file's."""

import dataclasses
import json
import re

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.models.transformers.loading import build_module
from tests.extract.writers.huggingface import VOCAB, random_model
from tests.extract.writers.mixtures import CONFIGS as MIXTURES

CPU = torch.device("cpu")


def build(written, state=None, **config):
    header = dataclasses.replace(written.header, config={**written.header.config, **config})
    return build_module(header, written.state if state is None else state, device=CPU)[0]


def test_missing_tensors_fail_with_the_list(write):
    written = write("llama")
    names = ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"]
    state = {n: t for n, t in written.state.items() if n not in names}
    with pytest.raises(
        ModelError, match=r"2 missing: model\.layers\.1\.mlp\.up_proj\.weight, model\.norm\.weight"
    ):
        build(written, state)


def test_a_missing_untied_head_fails(write):
    written = write("llama")
    state = {n: t for n, t in written.state.items() if n != "lm_head.weight"}
    advice = r"Where the model ties lm_head\.weight to its embedding, --set model\.tie_word_embeddings=true"
    with pytest.raises(ModelError, match=rf"1 missing: lm_head\.weight\. .* {advice} says so"):
        build(written, state)
    tied = build(written, state, tie_word_embeddings=True)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight


def test_a_missing_tied_pair_fails(write):
    written = write("qwen2")
    state = {n: t for n, t in written.state.items() if "embed" not in n}
    with pytest.raises(ModelError, match=r"missing: .*embed_tokens\.weight"):
        build(written, state)


def test_unexpected_and_misshapen_tensors_fail_with_the_list(write):
    written = write("llama")
    state = {**written.state, "model.layers.0.extra": torch.ones(3), "model.norm.weight": torch.ones(5)}
    with pytest.raises(ModelError) as error:
        build(written, state)
    assert "1 unexpected: model.layers.0.extra" in str(error.value)
    assert "model.norm.weight (5,) in the file, (32,) expected" in str(error.value)


@pytest.mark.parametrize(
    ("model_type", "name", "buffer"),
    [
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 64, 64)),
        ("gpt2", "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
        ("codegen", "transformer.h.0.attn.causal_mask", torch.ones(1, 1, 64, 64)),
        ("gpt_neo", "transformer.h.0.attn.attention.bias", torch.ones(1, 1, 64, 64)),
        ("gpt_neox", "gpt_neox.layers.0.attention.rotary_emb.inv_freq", torch.ones(1)),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
    ],
)
def test_buffers_of_old_versions_are_harmless(write, model_type, name, buffer):
    written = write(model_type)
    assert build(written, {**written.state, name: buffer}) is not None


def test_a_bias_is_not_mistaken_for_a_mask(write):
    # transformers' own filter would drop this one silently
    written = write("gpt_neox")
    with pytest.raises(ModelError, match=r"unexpected: gpt_neox\.layers\.0\.attention\.bias"):
        build(written, {**written.state, "gpt_neox.layers.0.attention.bias": torch.ones(32)})


def test_what_transformers_lets_be_missing_still_fails(write, monkeypatch):
    from transformers import LlamaForCausalLM

    written = write("llama")
    monkeypatch.setattr(LlamaForCausalLM, "_keys_to_ignore_on_load_missing", ["up_proj"])
    state = {n: t for n, t in written.state.items() if "up_proj" not in n}
    with pytest.raises(ModelError, match="2 missing"):
        build(written, state)


def test_parameters_that_differ_from_the_file_fail(write, monkeypatch):
    from transformers import LlamaForCausalLM

    written, load = write("llama"), LlamaForCausalLM.from_pretrained.__func__

    def spoiled(cls, *args, **settings):
        module, report = load(cls, *args, **settings)
        module.model.norm.weight.data = module.model.norm.weight.data + 1
        return module, report

    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", classmethod(spoiled))
    with pytest.raises(ModelError, match=r"model\.norm\.weight differs from the file after loading"):
        build(written)


def test_a_checkpoint_without_the_base_prefix_loads(write):
    # GPT-2's published files name their tensors h.0..., without transformer.
    written = write("gpt2")
    bare = {n.removeprefix("transformer."): t for n, t in written.state.items()}
    assert torch.equal(build(written, bare).transformer.wte.weight, written.module.transformer.wte.weight)


def test_stored_half_precision_becomes_float32(write):
    written = write("llama")
    module = build(written, {n: t.bfloat16() for n, t in written.state.items()}, dtype="bfloat16")
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    expected = written.state["model.norm.weight"].bfloat16().float()
    assert torch.equal(module.model.norm.weight, expected)


def test_values_that_are_not_tied_win_over_a_config_that_ties(write):
    written = write("qwen2")
    state = {**written.state, "lm_head.weight": torch.randn(61, 32)}
    module = build(written, state)
    assert torch.equal(module.lm_head.weight, state["lm_head.weight"])


def test_the_callers_tensors_are_left_alone(write):
    written = write("llama")
    before = {n: t.clone() for n, t in written.state.items()}
    build(written)
    assert written.state.keys() == before.keys()
    assert all(torch.equal(t, before[n]) for n, t in written.state.items())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "nope"}, "'nope' is unknown to transformers"),
        ({"model_type": "nope", "auto_map": {"AutoModelForCausalLM": "x.Y"}}, "asks for code of its own"),
        ({"model_type": None}, "no model_type"),
        ({"hidden_size": "wide"}, "no valid llama model"),
        ({"num_attention_heads": 5}, "no valid llama model"),
        ({"num_attention_heads": 0}, "no valid llama model"),
        ({"hidden_size": -16}, "no (valid )?llama model"),
        ({"model_type": "t5"}, "no causal language model for 't5'"),
        ({"num_hidden_layers": 1000}, "claims 1000 layers, and the checkpoint holds 21 tensors"),
    ],
)
def test_bad_configurations_are_refused(write, config, message):
    with pytest.raises(ModelError, match=message):
        build(write("llama"), **config)


def test_settings_that_would_run_other_code_are_not_passed_on(write):
    module = build(
        write("llama"),
        auto_map={"AutoModelForCausalLM": "evil.Model"},
        attn_implementation="kernels-community/evil",
        _attn_implementation="kernels-community/evil",
        use_cache=True,
    )
    assert module.config._attn_implementation == "sdpa"
    assert not hasattr(module.config, "auto_map")
    assert module.config.use_cache is False


def test_a_notice_says_when_attention_is_not_fused(write):
    _, notices = build_module(write("codegen").header, None, device=CPU)
    assert notices == ("CodeGenForCausalLM has no fused attention: eager is used",)
    assert build_module(write("mamba").header, None, device=CPU)[1] == ()


def test_transformers_logging_is_restored(write):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    build(write("llama"))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_non_finite_weights_load_as_they_are(write):
    written = write("llama")
    state = {**written.state, "model.norm.weight": torch.full((32,), float("nan"))}
    model = find_family(written.header).build(written.header, state, device=CPU)
    assert model.module.model.norm.weight.isnan().all()


def damaged(state, model_type):
    """The ways in which tensors and model can disagree."""
    name = next(n for n in state if n.endswith(("mlp.up_proj.weight", "c_fc.weight", "experts.gate_up_proj")))
    yield {n: t for n, t in state.items() if n != name}
    yield state | {"model.layers.0.extra.weight": torch.ones(3)}
    yield state | {name: torch.ones(5, 7)}
    embedding = next(n for n in state if "embed_tokens" in n or "wte" in n)
    yield state | {embedding: torch.ones(9, state[embedding].shape[1])}


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2"])
def test_headers_are_refused_in_the_words_in_which_the_tensors_are(write, header_of, model_type):
    written = write(model_type)
    for state in damaged(written.state, model_type):
        header = header_of(written.header.config, state, format="huggingface")
        said = []
        for given in (None, state):
            with pytest.raises(ModelError, match="its tensors do not fit") as caught:
                build_module(header, given, device=CPU)
            said.append(str(caught.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("model_type", ["mixtral", "deepseek_v3", "gpt_oss"])
def test_headers_of_packed_experts_are_held_against_the_model(header_of, model_type):
    module = random_model({"model_type": model_type, **MIXTURES[model_type]})
    config = json.loads(module.config.to_json_string())
    state = dict(module.state_dict())
    assert build_module(header_of(config, state, format="huggingface"), None, device=CPU)
    packed = next(name for name in state if "experts.gate_up_proj" in name)
    for wrong in (state | {packed: state[packed][:, :-1]}, {n: t for n, t in state.items() if n != packed}):
        header = header_of(config, wrong, format="huggingface")
        said = []
        for given in (None, wrong):
            with pytest.raises(ModelError, match=re.escape(packed)) as caught:
                build_module(header, given, device=CPU)
            said.append(str(caught.value))
        assert said[0] == said[1]


def test_a_skeleton_has_the_parameters_of_its_tensors_and_no_values(write):
    for model_type in ("llama", "qwen2", "gpt2"):
        written = write(model_type)
        module = build_module(written.header, None, device=CPU)[0]
        assert all(parameter.is_meta for parameter in module.parameters())
        assert sum(p.numel() for p in module.parameters()) == sum(t.numel() for t in written.state.values())


@pytest.mark.parametrize("pad", [VOCAB, 10**6, -VOCAB - 1, "x", [3], 0.5])
def test_a_padding_id_outside_the_vocabulary_is_not_used(write, pad):
    written = write("llama")
    header = dataclasses.replace(written.header, config={**written.header.config, "pad_token_id": pad})
    for given in (None, written.state):
        module, notices = build_module(header, given, device=CPU)
        assert module.config.pad_token_id is None
        assert [
            n for n in notices if n.startswith(f"pad_token_id is {pad!r}, and the vocabulary has {VOCAB}")
        ]


def test_a_class_whose_default_padding_id_is_outside_the_vocabulary(write):
    written = write("phi3")  # 32000 where nothing is said
    config = {name: value for name, value in written.header.config.items() if name != "pad_token_id"}
    header = dataclasses.replace(written.header, config=config)
    assert build_module(header, written.state, device=CPU)[0].config.pad_token_id is None


@pytest.mark.parametrize("error", [AssertionError, KeyError, ZeroDivisionError, NotImplementedError])
def test_whatever_a_constructor_raises_is_an_error_of_the_checkpoint(write, monkeypatch, error):
    from transformers import LlamaModel

    def fail(*_):
        raise error("no such thing")

    written = write("llama")
    monkeypatch.setattr(LlamaModel, "__init__", fail)
    with pytest.raises(ModelError, match=rf"/runs/tiny/step5: .*{error.__name__}: .*no such thing.*line"):
        build(written)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_want_of_memory_and_ctrl_c_are_no_errors_of_the_checkpoint(write, monkeypatch, error):
    from transformers import LlamaModel

    def fail(*_):
        raise error

    written = write("llama")
    monkeypatch.setattr(LlamaModel, "__init__", fail)
    with pytest.raises(error):
        build(written)
