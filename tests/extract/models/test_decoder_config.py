import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder_config import infer_decoder


def shapes_of(state):
    return {n: tuple(t.shape) for n, t in state.items()}


def infer(shapes, *, tied=True, **arguments):
    return infer_decoder(shapes, {"n_head": 4, **arguments}, tied=tied, where="/runs/a.pt")


@pytest.mark.parametrize(
    ("variant", "tied", "name", "features"),
    [
        ("n", True, "nanoGPT", {"norm": "layer", "norm_bias": False, "activation": "gelu", "qk_norm": False}),
        (
            "nb",
            True,
            "nanoGPT",
            {"norm_bias": True, "qkv_bias": True, "mlp_bias": True, "attn_proj_bias": True},
        ),
        (
            "3",
            True,
            "variant 3 (baseline)",
            {"num_positions": 16, "fused_qkv": True, "activation": "relu_squared"},
        ),
        ("4", True, "variant 4 (rope)", {"rope_dir": "-", "rope_table_dtype": torch.bfloat16, "tied": True}),
        (
            "4s",
            True,
            "variant 4s or 5 (rope, tied)",
            {"rope_dir": "+", "rope_table_dtype": None, "embed_norm": False},
        ),
        ("6", False, "variant 6 (untied embedding)", {"embed_norm": True, "tied": False, "qk_norm": True}),
    ],
)
def test_features_follow_from_names_and_values(decoder_state, variant, tied, name, features):
    inferred = infer(shapes_of(decoder_state(variant)), tied=tied)
    assert inferred.variant == name
    assert {f: getattr(inferred.config, f) for f in features} == features


def test_sizes_come_from_the_tensors_not_from_the_arguments(decoder_state):
    # variant 9 accepts sizes and ignores them
    config = infer(shapes_of(decoder_state("3")), n_layer=12, n_embd=768, vocab_size=1).config
    assert (config.n_layer, config.n_embd, config.vocab_size, config.mlp_width) == (2, 32, 61, 128)


@pytest.mark.parametrize(("variant", "known"), [("3", True), ("4", True), ("4s", False), ("6", False)])
def test_unread_weights_leave_only_the_tie_of_4s_5_and_6_open(decoder_state, variant, known):
    inferred = infer(shapes_of(decoder_state(variant)), tied=None)
    assert inferred.config.tied is known
    assert any("once the weights are read" in n for n in inferred.notices) is not known


@pytest.mark.parametrize(("width", "heads"), [(768, 6), (1024, 16), (1280, 20), (1600, 25)])
def test_heads_are_looked_up_by_width_with_a_notice(decoder_state, width, heads):
    inferred = infer(shapes_of(decoder_state("3", num_layers=1, width=width)), n_head=None)
    assert inferred.config.n_head == heads
    assert any(f"{heads} heads" in n for n in inferred.notices)


@pytest.mark.parametrize(("variant", "width"), [("3", 32), ("n", 768)])
def test_unknown_heads_are_asked_for_by_name(decoder_state, variant, width):
    # nanoGPT has 12 heads at 768, the paper 6: no guess
    with pytest.raises(ModelError, match=r'write \{"n_head": \.\.\.\} into args\.json'):
        infer(shapes_of(decoder_state(variant, num_layers=1, width=width)), n_head=None)


@pytest.mark.parametrize(("variant", "heads"), [("3", 5), ("6", 32), ("3", -1)])
def test_heads_that_do_not_divide_the_width_are_refused(decoder_state, variant, heads):
    with pytest.raises(ModelError, match=f"n_head is {heads}"):
        infer(shapes_of(decoder_state(variant)), n_head=heads)


@pytest.mark.parametrize(
    ("extra", "variant"),
    [
        (["transformer.h.0.lambdas", "transformer.h.0.attn.lamb"], "7 "),
        (["transformer.h.0.lambdas", "transformer.h.0.attn.lamb", "skip_weights"], "8, 9 or 10"),
        (["transformer.h.0.attn.lamb", "skip_weights", "transformer.vte.weight"], "11 or 12"),
        (["transformer.h.0.attn.mix", "skip_weights", "value_embeds.emb.0.weight"], "13 to 19"),
    ],
)
def test_later_variants_are_named_and_refused(decoder_state, extra, variant):
    shapes = shapes_of(decoder_state("6")) | dict.fromkeys(extra, (2,))
    with pytest.raises(ModelError, match=f"belongs to variant {variant}.*not read yet"):
        infer(shapes)


def test_something_else_is_refused_with_what_was_found():
    with pytest.raises(ModelError, match=r"no NanoGPT-style decoder: .* found conv\.weight"):
        infer({"conv.weight": (3, 3)})


def test_epsilons_are_settings_and_the_assumed_one_is_said(decoder_state):
    shapes = shapes_of(decoder_state("4"))
    assumed = infer(shapes)
    assert (assumed.config.norm_eps, assumed.config.qk_norm_eps) == (2.0**-23, 2.0**-23)
    assert any("2^-7" in n for n in assumed.notices)
    stated = infer(shapes, qk_norm_eps=2.0**-7)
    assert stated.config.qk_norm_eps == 2.0**-7
    assert stated.notices == ()
