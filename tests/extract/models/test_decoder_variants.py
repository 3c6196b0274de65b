import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder_variants import VARIANTS, find_variant

SPARSE = ("13", "14", "15", "16", "16adj", "17", "18", "19")


def test_the_ladder_as_the_paper_has_it():
    """RoPE, cap, head, scale and mask of every variant, as in the table of differences."""
    rows = {
        k: (v.rope_dir, v.rope, v.softcap, v.softcap_constant, v.head, v.attn_scale, v.mask)
        for k, v in VARIANTS.items()
    }
    plain = ("none", 0.0, "plain", None, "causal")
    assert rows["4"] == ("-", "full", *plain)
    assert rows["3"] == rows["5"] == rows["6"] == rows["nanoGPT"] == ("+", "full", *plain)
    assert rows["7"] == rows["8"] == rows["toy unet"] == ("+", "full", "tanh", 30.0, "plain", None, "causal")
    for key, mask in {
        "9": "doc_token",
        "10": "doc_token",
        "11": "doc_token",
        "12": "doc_token_block",
    }.items():
        assert rows[key] == ("+", "full", "tanh", 30.0, "plain", None, mask)
    assert rows["13"] == ("+", "full", "tanh", 30.0, "plain", None, "doc_block")
    assert rows["14"] == ("-", "truncated", "tanh", 30.0, "plain", None, "doc_block")
    assert rows["15"] == ("-", "truncated", "tanh", 15.0, "plain", None, "doc_block")
    assert rows["16"] == rows["16adj"] == ("-", "truncated", "tanh", 15.0, "fp8", None, "doc_block")
    assert rows["17"] == ("-", "truncated", "tanh", 15.0, "fp8", None, "doc_block_long_short")
    assert rows["18"] == ("-", "truncated", "tanh", 15.0, "fp8", 0.12, "doc_block_long_short")
    assert rows["19"] == ("-", "truncated", "sigmoid", 15.0, "fp8", 0.12, "doc_block_long_short")


def test_warm_ups_of_the_schedules():
    steps = {
        k: (v.schedule.rule, v.schedule.warmup_steps, v.schedule.by_epochs)
        for k, v in VARIANTS.items()
        if v.schedule is not None and v.schedule.rule != "fixed"
    }
    assert steps == {
        "10": ("tokens", 2000, True),
        "11": ("tokens", 4000, False),
        "12": ("tokens", 4000, False),
        "13": ("blocks", 3000, False),
        "14": ("blocks", 3000, True),
        "15": ("blocks", 3000, True),
        "16": ("blocks", 3000, True),
        "16adj": ("ceiling", 3000, False),
        "17": ("ceiling", 2500, True),
        "18": ("ceiling", 2500, True),
        "19": ("ceiling", 2500, True),
    }
    assert VARIANTS["9"].schedule.window == 1024
    assert VARIANTS["toy fixed_window"].schedule.window == 8


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("13_sparse_embd_gpt2", "13"),
        ("13_sparse_embed_scale", "13"),
        ("14_truncated_rope_scale_dist", "14"),
        ("15_softcap_gpt2", "15"),
        ("16_fp8lmhead_gpt2", "16"),
        ("16_fp8lmhead_win_adj", "16adj"),
        ("16_adj_fp8lmhead_gpt2", "16adj"),
        ("17_lswa_adam", "17"),
        ("18_attn_scale_gpt2", "18"),
        ("19_sublr_gpt2", "19"),
        ("8_unet", None),
        ("114_truncated_rope", None),
        ("my run", None),
    ],
)
def test_names_tell_variants(name, variant):
    found, source = find_variant(SPARSE, {"wandb_run_name": name}, uri="/a.pt")
    assert found == variant
    assert source == ("" if variant is None else f"wandb_run_name {name!r}")
    assert find_variant(SPARSE, {}, uri=f"/runs/{name}/checkpoints/a.pt")[0] == variant


def test_the_innermost_folder_counts_and_other_groups_names_do_not():
    assert find_variant(SPARSE, {}, uri="/14_truncated_rope/15_softcap/a.pt")[0] == "15"
    # variant 11's default name says 10
    assert find_variant(("8", "9", "10"), {"wandb_run_name": "10_vte_gpt2"}, uri="/a.pt") == (None, "")


def test_telling_arguments():
    arguments = {"window_warmup_steps": 3000, "adam_lr": 0.1}
    assert find_variant(SPARSE, arguments, uri="/a.pt") == ("19", "argument adam_lr")
    assert find_variant(("8", "9", "10"), {"window_warmup_steps": 1}, uri="/a.pt")[0] == "10"


def test_one_candidate_needs_no_evidence_and_a_stated_one_no_agreement():
    assert find_variant(("7",), {"variant": "12"}, uri="/8_unet/a.pt") == ("7", "")
    assert find_variant(SPARSE, {"variant": 17, "adam_lr": 1}, uri="/a.pt") == ("17", "")


def test_contradictions_are_errors():
    with pytest.raises(
        ModelError, match=r"14 \(wandb_run_name '14_truncated_rope'\), 15 \(path '15_softcap'\)"
    ):
        find_variant(SPARSE, {"wandb_run_name": "14_truncated_rope"}, uri="/15_softcap/a.pt")
    with pytest.raises(ModelError, match=r"variant is '20'; its tensors are those of 13, .* 18 or 19"):
        find_variant(SPARSE, {"variant": "20"}, uri="/a.pt")
