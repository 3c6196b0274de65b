import re

import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.masks import MaskRule
from spectra_cli.extract.models.nanogpt.inference import infer_decoder
from spectra_cli.extract.models.nanogpt.structure import Seen
from spectra_cli.extract.protocols import Fact


def shapes_of(state):
    return {n: tuple(t.shape) for n, t in state.items()}


def infer(shapes, *, tied=True, where="/runs/a.pt", step=1000, values=None, toy=False, by=None, **arguments):
    return infer_decoder(
        Seen(
            sources={f"config.{name}": source for name, source in (by or {}).items()},
            shapes=shapes,
            arguments={"n_head": 4, **arguments},
            where=where,
            step=step,
            tied=tied,
            value_weights=values or {},
            toy=toy,
        )
    )


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


def test_sizes_come_from_the_tensors_not_from_the_arguments():
    # variant 9 accepts sizes and ignores them
    shapes = shapes_like("8", **BIG)
    config = infer(shapes, variant="9", n_layer=24, n_embd=768, vocab_size=1).config
    found = (config.n_layer, config.n_embd, config.vocab_size)
    assert found == (12, shapes["transformer.wte.weight"][1], shapes["transformer.wte.weight"][0])


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
    with pytest.raises(ModelError, match=r"--set model\.n_head=VALUE, .* args\.json"):
        infer(shapes_of(decoder_state(variant, num_layers=1, width=width)), n_head=None)


@pytest.mark.parametrize(
    ("variant", "heads"), [("3", 5), ("6", 32), ("3", -1), ("3", "4"), ("3", float("inf")), ("3", [4])]
)
def test_heads_that_do_not_divide_the_width_are_refused(decoder_state, variant, heads):
    with pytest.raises(ModelError, match=re.escape(f"n_head is {heads!r}")):
        infer(shapes_of(decoder_state(variant)), n_head=heads)


def shapes_like(group, *, layers=12, width=32, free=7, vocab=61):
    """Shapes of a group of variants: 7, 8 (to 10), 11, 12, 13 (to 19)."""
    shapes = {"transformer.wte.weight": (vocab, width), "lm_head.weight": (vocab, width)}
    for i in range(layers):
        block = f"transformer.h.{i}"
        shapes[f"{block}.lambdas"] = (2,)
        shapes |= {
            f"{block}.mlp.c_fc.weight": (4 * width, width),
            f"{block}.mlp.c_proj.weight": (width, 4 * width),
        }
        if group == "13" and i == free:
            continue
        shapes |= {f"{block}.attn.c_{c}.weight": (width, width) for c in ("q", "k", "v", "proj")}
        shapes |= {f"{block}.attn.mix": (2,)} if group == "13" else {f"{block}.attn.lamb": ()}
    if group != "7":
        shapes["skip_weights"] = (layers // 2,)
    if group == "13":
        shapes |= {f"value_embeds.emb.{j}.weight": (vocab, width) for j in range(3)}
    if group in ("11", "12"):
        shapes["transformer.vte.weight"] = (vocab, width * (layers if group == "11" else layers // 2))
    return shapes


BIG = {"vocab": 50304}


@pytest.mark.parametrize(
    ("group", "arguments", "name", "features"),
    [
        ("7", {}, "variant 7 ", {"softcap": "tanh", "softcap_constant": 30.0, "mask": None, "unet": False}),
        ("8", {"variant": "8"}, "variant 8 ", {"norm_eps": 1e-6, "qk_norm_eps": 1e-6, "unet": True}),
        ("8", {"max_device_batch_size": 8}, "variant 8 ", {"norm_float32": True, "mask": None}),
        (
            "8",
            {"window_size": 1024},
            "variant 9 ",
            {"mask": MaskRule(window_tokens=1024, eot=50256), "norm_eps": 2.0**-23},
        ),
        (
            "8",
            {"wandb_run_name": "10_flex_window_gpt2", "window_warmup_steps": 2000},
            "variant 10 ",
            {"mask": MaskRule(window_tokens=896, eot=50256), "rope_dir": "+"},
        ),
        ("11", {}, "variant 11 ", {"value_mix": "vte_full", "mask": MaskRule(window_tokens=448, eot=50256)}),
        (
            "12",
            {},
            "variant 12 ",
            {"value_mix": "vte_mirror", "mask": MaskRule(window_tokens=448, window_blocks=4, eot=50256)},
        ),
        (
            "13",
            {"wandb_run_name": "13_sparse_embd_gpt2", "block_size": 128},
            "variant 13 ",
            {"rope": "full", "rope_dir": "+", "attention_free": {7}, "value_reach": 3, "unet": True},
        ),
        (
            "13",
            {"wandb_run_name": "14_truncated_rope_gpt2"},
            "variant 14 ",
            {"rope": "truncated", "rope_dir": "-", "mask": MaskRule(window_blocks=5, eot=50256)},
        ),
        ("13", {"variant": "15"}, "variant 15 ", {"softcap_constant": 15.0, "head": "plain"}),
        (
            "13",
            {"wandb_run_name": "16_fp8lmhead_gpt2"},
            "variant 16 ",
            {"head": "fp8", "mask": MaskRule(window_blocks=5, eot=50256)},
        ),
        (
            "13",
            {"wandb_run_name": "16_adj_fp8lmhead_gpt2"},
            "variant 16adj ",
            {"head": "fp8", "mask": MaskRule(window_blocks=5, eot=50256), "short_mask": None},
        ),
        (
            "13",
            {"matrix_lr": 0.1},
            "variant 17 ",
            {
                "mask": MaskRule(window_blocks=6, eot=50256),
                "short_mask": MaskRule(window_blocks=3, eot=50256),
                "attn_scale": None,
            },
        ),
        ("13", {"variant": "18"}, "variant 18 ", {"attn_scale": 0.12, "softcap": "tanh"}),
        (
            "13",
            {"adam_lr": 0.1},
            "variant 19 ",
            {"softcap": "sigmoid", "softcap_constant": 15.0, "attn_scale": 0.12},
        ),
    ],
)
def test_later_variants_follow_from_tensors_and_names(group, arguments, name, features):
    inferred = infer(shapes_like(group, **BIG), tied=False, **arguments)
    assert inferred.variant.startswith(name)
    assert {f: getattr(inferred.config, f) for f in features} == features
    assert inferred.config.embed_norm
    assert inferred.config.x0_mix


@pytest.mark.parametrize("group", ["8", "13"])
def test_folders_name_a_variant_too(group):
    where = "/runs/9_fixed_window/7_value_mix" if group == "8" else "/runs/8_unet/14_truncated_rope_bs8"
    inferred = infer(shapes_like(group, **BIG), where=f"{where}/ckpt_step_0001000.pt")
    assert inferred.variant.startswith("variant 9 " if group == "8" else "variant 14 ")
    assert any("by its path" in n for n in inferred.notices)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            "8",
            r"variants 8, 9, 10 .*variant, or all of mask, would; say it with --set model\.variant=",
        ),
        (
            "13",
            r"variants 13, .*19 .*variant, or all of pos, rope_dir, mask, softcap, head, attn_scale, would",
        ),
    ],
)
def test_a_variant_that_nothing_tells_is_asked_for(group, message):
    with pytest.raises(ModelError, match=message):
        infer(shapes_like(group, **BIG))


def test_fields_can_stand_in_for_the_variant():
    stated = {
        "pos": "rope_trunc",
        "rope_dir": "-",
        "mask": "doc_block_long_short",
        "softcap": "sigmoid 20",
        "head": "plain",
        "attn_scale": "default",
    }
    with pytest.raises(ModelError, match=r"--set model\.window_tokens="):
        infer(shapes_like("13", **BIG), **stated)
    config = infer(shapes_like("13", **BIG), **stated, window_blocks=5).config
    assert (config.rope, config.rope_dir, config.attn_scale, config.head) == ("truncated", "-", None, "plain")
    assert (config.softcap, config.softcap_constant) == ("sigmoid", 20.0)
    assert (config.mask.window_blocks, config.short_mask.window_blocks) == (5, 2)
    causal = infer(shapes_like("8"), mask="causal")
    assert causal.variant.startswith("variant 8 ")
    assert causal.config.norm_eps == 1e-6


def test_a_stated_field_goes_before_the_variant():
    config = infer(
        shapes_like("13", **BIG), variant="16", head="plain", rope_dir="+", softcap="none", norm_eps=1e-5
    ).config
    assert (config.head, config.rope_dir, config.softcap, config.norm_eps) == ("plain", "+", "none", 1e-5)


def test_the_cap_comes_from_the_argument_where_the_trainer_takes_it():
    sparse, mixed = shapes_like("13", **BIG), shapes_like("7")
    assert infer(sparse, variant="14", lm_head_softcap=20).config.softcap_constant == 20.0
    assert infer(mixed, lm_head_softcap=20).config.softcap_constant == 30.0


def test_variant_9_has_the_paper_s_heads_whatever_its_arguments_say():
    shapes = shapes_like("8", width=768, **BIG)
    inferred = infer(shapes, variant="9", n_head=12)
    assert inferred.config.n_head == 6
    assert any("ignores its argument n_head = 12" in n for n in inferred.notices)
    assert infer(shapes, variant="10", n_head=12).config.n_head == 12


MOVED = {layer: 0.5 + 0.1 * (layer < 4 or layer >= 8) for layer in range(12) if layer != 7}


def test_the_reach_of_value_embeddings_shows_in_weights_that_stood_still():
    shapes = shapes_like("13", **BIG)
    shown = infer(shapes, variant="14", values=MOVED)
    assert shown.config.value_reach == 4
    assert any("first and last 4 layers: attn.mix has moved" in n for n in shown.notices)
    assert infer(shapes, variant="14", values=MOVED, vte_endpoint_k=4).config.value_reach == 4
    with pytest.raises(
        ModelError, match=r"reach 3 layers by vte_endpoint_k in .*first and last 4 .*value_reach="
    ):
        infer(shapes, variant="14", values=MOVED, vte_endpoint_k=3)
    said = infer(shapes, variant="14", values=MOVED, value_reach=2, by={"value_reach": "--set"})
    assert said.config.value_reach == 2
    assert any("not 0.5 in layers 2, 3, 8, 9 too" in n for n in said.notices)


@pytest.mark.parametrize("stated", [{}, {"vte_endpoint_k": 3}])
def test_weights_that_moved_everywhere_show_no_reach(stated):
    # weight decay moves all of them; the paper's d12 code fixes the reach at 3
    values = {layer: 0.4 + 0.01 * layer for layer in MOVED}
    inferred = infer(shapes_like("13", **BIG), variant="14", values=values, **stated)
    assert inferred.config.value_reach == 3
    assert any("not 0.5 in layers 3, 4, 5, 6, 8 too" in n for n in inferred.notices)
    said = "vte_endpoint_k in its arguments" if stated else "inferred: the paper's code at 12 layers"
    assert inferred.facts["value_reach"] == Fact(value="3", source=said)


def test_an_untrained_reach_is_stated_or_the_paper_s():
    shapes, still = shapes_like("13", **BIG), dict.fromkeys(MOVED, 0.5)
    assumed = infer(shapes, variant="14", values=still)
    assert assumed.config.value_reach == 3
    assert any("the paper's code at 12 layers; --set model.value_reach" in n for n in assumed.notices)
    assert infer(shapes, variant="14", values=still, vte_endpoint_k=5).config.value_reach == 5
    with pytest.raises(ModelError, match="reach 7 layers; expected 1 to 6"):
        infer(shapes, variant="14", value_reach=7)


def test_windows_follow_the_step_and_say_so():
    shapes = shapes_like("13", **BIG)
    sizes = {s: infer(shapes, variant="14", step=s).config.mask.window_blocks for s in (0, 1500, 3000, 9999)}
    assert sizes == {0: 1, 1500: 7, 3000: 14, 9999: 14}
    notices = infer(shapes, variant="14", step=1500).notices
    assert any("window 7 blocks of 128 tokens, at step 1500 of a warm-up over 3000" in n for n in notices)
    with pytest.raises(ModelError, match=r"grows with the step.*--set model\.window_tokens="):
        infer(shapes, variant="14", step=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "12"}, "; variant is '12' by its arguments; its tensors are those of 13, 14"),
        (
            {"adam_lr": 1, "wandb_run_name": "14_truncated_rope"},
            r"more than one variant: 14 .*--set model\.variant=",
        ),
        ({"variant": "14", "rope_dir": "minus"}, r"rope_dir is 'minus'; expected \+, -"),
        ({"variant": "14", "n_head": 16}, "heads are 2 wide, which truncated RoPE cannot halve"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        infer(shapes_like("13", **BIG), **arguments)


@pytest.mark.parametrize(("name", "stated"), [("unet", False), ("value_mix", "none"), ("skip_attn_layer", 5)])
def test_what_the_tensors_show_cannot_be_overruled(name, stated):
    with pytest.raises(
        ModelError, match=rf"{name} is {stated!r} by its arguments, but its tensors are those of {name} = "
    ):
        infer(shapes_like("13", **BIG), tied=False, variant="14", **{name: stated})
    assert infer(shapes_like("13", **BIG), tied=False, variant="14", skip_attn_layer=7, unet=True)


def test_norms_that_no_tensor_shows_can_be_stated(decoder_state):
    config = infer(shapes_of(decoder_state("4s")), embed_norm=True, qk_norm=False).config
    assert (config.embed_norm, config.qk_norm, config.tied) == (True, False, True)


def test_documents_need_an_end_of_text():
    with pytest.raises(
        ModelError, match=r"vocabulary of 61 ids .*eot is an id, or none; .*--set model\.eot="
    ):
        infer(shapes_like("11"))
    assert infer(shapes_like("11"), eot=3).config.mask.eot == 3
    assert infer(shapes_like("11"), eot="none").config.mask.eot is None


def test_uneven_halves_and_strange_tables_are_refused():
    with pytest.raises(ModelError, match="even number of blocks, found 5"):
        infer(shapes_like("8", layers=5) | {"skip_weights": (3,)}, variant="8")
    shapes = shapes_like("11") | {"transformer.vte.weight": (61, 64)}
    with pytest.raises(ModelError, match=r"has 64 columns; expected 384 \(variant 11\) or 192"):
        infer(shapes)


@pytest.mark.parametrize(
    ("stage", "name", "window", "scale"),
    [
        ("baseline+rope+unet", "toy unet", None, None),
        ("baseline+rope+unet+fixed_window", "toy fixed window", 8, None),
        (["unet", "fixed_window", "attn_scale"], "toy attention scale", 8, 0.12),
    ],
)
def test_toy_stages_share_their_tensors_too(stage, name, window, scale):
    inferred = infer(shapes_like("8"), toy=True, stages=stage)
    assert inferred.variant == name
    assert inferred.config.mask == (None if window is None else MaskRule(window_tokens=8))
    assert (inferred.config.attn_scale, inferred.config.norm_eps) == (scale, 2.0**-23)


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


def test_what_the_user_says_wins_over_files_under_whatever_name():
    shapes = shapes_like("8", **BIG)
    files = {"n_heads": 2, "softcap": "tanh 20", "window_warmup_epochs": 1, "variant": "10"}
    said = {"num_heads": 8, "lm_head_softcap": 15, "window_warmup_steps": 1000}
    inferred = infer(
        shapes,
        **{"n_head": None, **files, **said},
        by=dict.fromkeys(files, "args.json") | dict.fromkeys(said, "--set"),
    )
    config = inferred.config
    assert (config.n_head, config.softcap_constant, config.mask.window_tokens) == (8, 15.0, 1792)
    for lost in (
        "n_heads 2 by args.json",
        "softcap 'tanh 20' by args.json",
        "window_warmup_epochs 1 by args.json",
    ):
        assert any(lost in n and "the former is taken" in n for n in inferred.notices), lost
    facts = inferred.facts
    assert facts["n_head"] == Fact(value="8", source="num_heads in --set")
    assert facts["softcap"] == Fact(value="tanh 15", source="--set")
    assert facts["window_tokens"].source == "a warm-up over 1000"
    assert facts["variant"] == Fact(value="variant 10 (flex window)", source="args.json")
    assert facts["norm_eps"].source == "the code of variant 10 (flex window)"


def test_what_the_user_says_and_the_decoder_has_no_place_for_is_noticed(decoder_state):
    said = {"window_tokens": 8, "rope_dir": "-", "value_reach": 3}
    notices = infer(shapes_of(decoder_state("3")), **said, by=dict.fromkeys(said, "--set")).notices
    assert [n for n in notices if "changes nothing" in n] == [
        "rope_dir by --set changes nothing: its positions are learned",
        "window_tokens by --set changes nothing: its mask is causal",
        "value_reach by --set changes nothing: it has no sparse value embeddings",
    ]
    with pytest.raises(ModelError, match=r"n_layer is 3 by --set, but its tensors are those of n_layer = 2"):
        infer(shapes_of(decoder_state("3")), n_layer=3, by={"n_layer": "--set"})
    with pytest.raises(ModelError, match=r"variant 3 \(baseline\) has no soft cap.* --set model\.softcap="):
        infer(shapes_of(decoder_state("3")), lm_head_softcap=15, by={"lm_head_softcap": "--set"})


def test_variant_9_ignores_the_heads_of_its_arguments_and_not_the_user_s():
    shapes = shapes_like("8", width=768, **BIG)
    assert infer(shapes, variant="9", n_head=12, by={"n_head": "--set"}).config.n_head == 12


@pytest.mark.parametrize(
    ("stage", "window", "size", "scale", "expected"),
    [
        ("fixed_window", 16, 16, None, None),
        ("fixed_window", 0, 1, None, None),  # a token sees at least itself
        ("attn_scale", 4, 4, 0.25, 0.25),
        ("attn_scale", 4, 4, None, None),  # null: the usual scale, not 0.12
    ],
)
def test_a_toy_run_s_own_arguments_go_before_the_names_of_its_folders(stage, window, size, scale, expected):
    inferred = infer(
        shapes_like("8"),
        toy=True,
        where="/runs/toy__var-baseline+unet+fixed_window__win-8/a.pt",
        n_head=None,
        n_heads=2,
        variant=f"baseline+unet+{stage}",
        window_size=window,
        attention_scale=scale,
        lm_head_softcap=20.0,
    )
    assert inferred.config.mask == MaskRule(window_tokens=size)
    assert (inferred.config.attn_scale, inferred.config.softcap_constant) == (expected, 20.0)
    assert inferred.facts["window_tokens"] == Fact(value=str(size), source="window_size in its arguments")
    assert not any("by its path" in n for n in inferred.notices)


def test_a_toy_window_that_nothing_states_is_an_assumption_with_its_way_out():
    inferred = infer(shapes_like("8"), toy=True, where="/runs/unet+fixed_window/a.pt")
    assert inferred.config.mask == MaskRule(window_tokens=8)
    assert any("8 tokens, inferred: " in n and "--set model.window_tokens" in n for n in inferred.notices)
    assert any("toy fixed window by its path" in n and "--set model.variant" in n for n in inferred.notices)


def test_a_norm_that_only_the_values_of_the_head_speak_for_is_said(decoder_state):
    for variant, tied, words in (("4s", True, "no norm"), ("6", False, "a norm")):
        shapes = shapes_of(decoder_state(variant))
        notice = f"{words} after the embedding, "
        assert any(n.startswith(notice) for n in infer(shapes, tied=tied).notices)
        named = infer(shapes, tied=tied, wandb_run_name="6_untie_embed_gpt2").notices
        assert not any("after the embedding" in n for n in named)


def test_the_gelu_of_nanogpt_is_an_assumption(decoder_state):
    shapes = shapes_of(decoder_state("n"))
    assert any("--set model.activation=gelu_tanh" in n for n in infer(shapes).notices)
    stated = infer(shapes, activation="gelu_tanh")
    assert stated.config.activation == "gelu_tanh"
    assert not any("activation" in n for n in stated.notices)
