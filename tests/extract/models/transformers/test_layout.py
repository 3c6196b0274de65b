"""Every Hugging Face family against the writer's own model, and its views against autograd."""

import pytest
import torch
from torch.nn import functional

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.checkpoints.registry import find_source
from spectra_cli.extract.models.registry import FAMILIES, find_family
from spectra_cli.extract.models.transformers.layouts import LAYOUTS

CPU = torch.device("cpu")
TYPES = {t for f in LAYOUTS.values() for t in f.model_types}
VARIANTS = {
    "falcon-40b",
    "falcon-rw",
    "gemma2-window",
    "gemma3-window",
    "gpt_bigcode-heads",
    "mistral-window",
    "mpt-clipped",
    "olmo3-window",
    "opt-350m",
    "phi-normed",
    "phi3-window",
    "qwen2-window",
    "stablelm-parallel",
}
EVERY = sorted({*TYPES, *VARIANTS, "mamba"})


def build(written, state):
    return find_family(written.header).build(written.header, state, device=CPU)


@pytest.mark.parametrize("model_type", EVERY)
def test_logits_are_the_writers(write, built, tokens, model_type):
    written, model = write(model_type), built(model_type)
    with torch.no_grad():
        expected = written.module(tokens, use_cache=False).logits
        found = model.head(model.trunk(tokens))
    # float32 rounding through two layers; also sdpa here, whatever the writer ran
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert not model.module.training
    assert not any(p.requires_grad for p in model.module.parameters())


# The eager attention of transformers' Falcon adds ALiBi twice, in the scores and in the mask.
@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("falcon-rw", "mamba")])
def test_a_saved_folder_gives_the_logits_of_the_writers_plain_attention(write, tokens, tmp_path, name):
    module = write(name).module
    module.save_pretrained(tmp_path)
    source = find_source(str(tmp_path))
    (ref,) = source.refs()
    header = source.header(ref)
    model = find_family(header).build(header, source.open(ref), device=CPU)
    eager = type(module).from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        expected, found = eager(tokens, use_cache=False).logits, model.head(model.trunk(tokens))
    # float32 rounding: fused attention sums in another order
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


# Mamba's hidden_states begin after the first block, not with the embedding
@pytest.mark.parametrize("model_type", [t for t in EVERY if t not in ("mamba", "opt-350m")])
def test_blocks_return_the_residual_stream(write, built, tokens, model_type):
    model, streams = built(model_type), []

    def note(_module, _inputs, out):
        streams.append(out[0] if isinstance(out, tuple) else out)

    handles = [block.register_forward_hook(note) for block in model.blocks]
    with torch.no_grad():
        final = model.trunk(tokens)
        expected = write(model_type).module(tokens, use_cache=False, output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    # float32 rounding; the last entry of hidden_states is normed already
    torch.testing.assert_close(streams[0], expected[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.final_norm(streams[-1]), final, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(final, expected[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", EVERY)
def test_skeleton_has_the_sites_and_shapes_of_the_loaded_model(write, built, model_type):
    skeleton, model = build(write(model_type), None), built(model_type)
    assert {p.device.type for p in skeleton.module.parameters()} == {"meta"}

    def outline(m):
        views = [(v.site.address, v.site.name, v.shape, v.aliases) for v in m.matrices]
        # which kernels are missing shows in a forward pass only
        notices = [notice for notice in m.notices if "on plain PyTorch" not in notice]
        return views, m.absent, m.width, m.vocab_size, m.max_length, notices

    assert outline(skeleton) == outline(model)


def test_a_model_whose_norms_are_elsewhere_has_no_final_norm(write, built, tokens):
    model, streams = built("opt-350m"), []
    handle = model.blocks[1].register_forward_hook(lambda _m, _i, out: streams.append(out))
    with torch.no_grad():
        final = model.trunk(tokens)
    handle.remove()
    assert model.final_norm is None
    torch.testing.assert_close(final, streams[0] @ model.module.model.decoder.project_out.weight.T)
    assert any("project_out, model.decoder.project_in" in notice for notice in model.notices)


# Mamba reads one weight past its module: verification leaves it out of gradients
@pytest.mark.parametrize("model_type", [t for t in EVERY if t != "mamba"])
def test_view_gradients_are_autograds(write, tokens, model_type):
    written = write(model_type)
    model = build(written, written.state)
    model.module.double()
    model.module.requires_grad_(True)
    views = [v for v in model.matrices if v.kind == "linear" and v.site.layer is not None]
    inputs, deltas = {}, {}

    def tap(module, args, output):
        inputs[module] = args[0].detach()
        output.register_hook(lambda g: deltas.__setitem__(module, g))

    handles = [m.register_forward_hook(tap) for m in {v.module for v in views}]
    loss = functional.cross_entropy(
        model.head(model.trunk(tokens)).flatten(0, 1), tokens.roll(-1, 1).flatten()
    )
    loss.backward()
    for handle in handles:
        handle.remove()
    for view in views:
        delta = deltas[view.module] if view.rows is None else deltas[view.module][..., view.rows]
        gradient = torch.einsum("...o,...i->oi", delta, inputs[view.module])
        stored = getattr(view.module, view.parameter).grad
        expected = stored.T if view.transposed else stored
        expected = expected if view.rows is None else expected[view.rows]
        assert gradient.shape == view.shape
        # the same float64 products in another order
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12, msg=view.site.address)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
def test_grouped_heads_have_smaller_k_and_v(built, model_type):
    shapes = {v.site.address: v.shape for v in built(model_type).matrices}
    assert shapes["blocks.1.attn.q"] == (32, 32)
    assert shapes["blocks.1.attn.k"] == shapes["blocks.1.attn.v"] == (16, 32)
    assert shapes["blocks.1.mlp.gate"] == (48, 32)
    assert shapes["blocks.1.mlp.down"] == (32, 48)


def test_canonical_order_and_names(built):
    model = built("llama")
    block = ["attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    expected = ["embed", *(f"blocks.{i}.{c}" for i in range(2) for c in block), "lm_head"]
    assert [v.site.address for v in model.matrices] == expected
    assert model.matrices[1].site.name == "model.layers.0.self_attn.q_proj.weight"
    parameters = dict(model.module.named_parameters())
    assert all(parameters[v.site.name] is v.module.weight for v in model.matrices)


@pytest.mark.parametrize("model_type", ["qwen2", "gpt2"])
def test_a_tied_embedding_is_seen_once(built, model_type):
    model = built(model_type)
    sites = {v.site.address: v for v in model.matrices}
    assert "lm_head" not in sites
    assert sites["embed"].aliases == ("lm_head.weight",)
    assert "measured once" in {s.address: why for s, why in model.absent.items()}["lm_head"]


def test_every_canonical_component_is_a_view_or_absent_with_a_reason(built):
    model = built("gpt2")
    assert {s.address: why for s, why in model.absent.items() if s.layer == 1} == {
        "blocks.1.mlp.gate": "the MLP has no gate"
    }


def test_a_model_of_several_models_is_refused_by_name(header_of):
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 61}
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": vision}
    with pytest.raises(ModelError, match=r"Gemma3For.* holds several models \(text_config"):
        find_family(header := header_of(config, {}, format="huggingface")).build(header, None, device=CPU)


def test_registry_names_are_the_families_own():
    assert all(name == family.name and family.summary for name, family in FAMILIES.items())
