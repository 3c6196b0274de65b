import pytest

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.nanogpt.arguments import settled
from spectra_cli.extract.models.nanogpt.variants import VARIANTS, find_variant


def find(candidates, arguments, *, uri, by=None, toy=False):
    """Key and source; `by`: what says the arguments, a file unless it is the user."""
    sources = {"config": "args.json"} | {f"config.{name}": by for name in arguments if by}
    return find_variant(candidates, settled(arguments, sources, toy=toy), uri=uri, toy=toy)


SPARSE = ("13", "14", "15", "16", "16adj", "17", "18", "19")


def test_the_ladder_as_the_paper_has_it():
    """RoPE, cap, head, scale and mask of every variant, as in the table of differences."""
    names = ("rope_dir", "pos", "softcap", "head", "attn_scale", "mask")
    rows = {k: tuple(v.says[name] for name in names) for k, v in VARIANTS.items()}
    plain = ("none", "plain", "default", "causal")
    assert rows["4"] == ("-", "rope", *plain)
    assert rows["3"] == rows["5"] == rows["6"] == rows["nanoGPT"] == ("+", "rope", *plain)
    assert (
        rows["7"] == rows["8"] == rows["toy unet"] == ("+", "rope", "tanh 30", "plain", "default", "causal")
    )
    for key, mask in {
        "9": "doc_token",
        "10": "doc_token",
        "11": "doc_token",
        "12": "doc_token_block",
    }.items():
        assert rows[key] == ("+", "rope", "tanh 30", "plain", "default", mask)
    assert rows["13"] == ("+", "rope", "tanh 30", "plain", "default", "doc_block")
    assert rows["14"] == ("-", "rope_trunc", "tanh 30", "plain", "default", "doc_block")
    assert rows["15"] == ("-", "rope_trunc", "tanh 15", "plain", "default", "doc_block")
    assert rows["16"] == rows["16adj"] == ("-", "rope_trunc", "tanh 15", "fp8", "default", "doc_block")
    assert rows["17"] == ("-", "rope_trunc", "tanh 15", "fp8", "default", "doc_block_long_short")
    assert rows["18"] == ("-", "rope_trunc", "tanh 15", "fp8", 0.12, "doc_block_long_short")
    assert rows["19"] == ("-", "rope_trunc", "sigmoid 15", "fp8", 0.12, "doc_block_long_short")


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
    found = find(SPARSE, {"wandb_run_name": name}, uri="/a.pt")
    assert (found.key, found.inferred) == (variant, True)
    assert found.source == ("" if variant is None else f"wandb_run_name {name!r} in args.json")
    assert find(SPARSE, {}, uri=f"/runs/{name}/checkpoints/a.pt").key == variant
    assert find(SPARSE, {"script": f"/code/{name}.py"}, uri="/a.pt").key == variant


def test_the_innermost_folder_counts_and_other_groups_names_do_not():
    assert find(SPARSE, {}, uri="/14_truncated_rope/15_softcap/a.pt").key == "15"
    # variant 11's default name says 10
    assert find(("8", "9", "10"), {"wandb_run_name": "10_vte_gpt2"}, uri="/a.pt").key is None


def test_telling_arguments_count_in_files_alone():
    arguments = {"window_warmup_steps": 3000, "adam_lr": 0.1}
    found = find(SPARSE, arguments, uri="/a.pt")
    assert (found.key, found.source) == ("19", "argument adam_lr in args.json")
    assert find(("8", "9", "10"), {"window_warmup_steps": 1}, uri="/a.pt").key == "10"
    assert find(("8", "9", "10"), {"window_warmup_steps": 1}, uri="/a.pt", by="--set").key is None


def test_a_stated_variant_needs_no_agreement():
    found = find(SPARSE, {"variant": 17, "adam_lr": 1}, uri="/a.pt")
    assert (found.key, found.source, found.inferred, found.notices) == ("17", "args.json", False, ())
    assert find(SPARSE, {"variant": "14_truncated_rope"}, uri="/15_softcap/a.pt", by="--set").key == "14"


@pytest.mark.parametrize("candidates", [("7",), SPARSE])
def test_a_variant_of_other_tensors_is_refused_from_the_user_and_noticed_in_a_file(candidates):
    with pytest.raises(
        ModelError, match=r"variant is '12' by --set; its tensors are those of (7|13, .* 18 or 19)"
    ):
        find(candidates, {"variant": "12"}, uri="/14_truncated_rope/a.pt", by="--set")
    found = find(candidates, {"variant": "12"}, uri="/14_truncated_rope/a.pt")
    assert found.key == ("7" if candidates == ("7",) else "14")
    assert any("variant is '12' by args.json; its tensors are those of" in n for n in found.notices)


def test_files_go_before_folders_and_contradictions_among_files_are_errors():
    arguments = {"wandb_run_name": "14_truncated_rope"}
    found = find(SPARSE, arguments, uri="/15_softcap/a.pt")
    assert found.key == "14"
    assert any("and 15 by the path '15_softcap': the former is taken" in n for n in found.notices)
    with pytest.raises(
        ModelError, match=r"14 \(wandb_run_name .*\), 19 \(argument adam_lr .*--set model\.variant="
    ):
        find(SPARSE, arguments | {"adam_lr": 0.1}, uri="/a.pt")


@pytest.mark.parametrize(
    ("stack", "key"),
    [
        ("baseline+rope+muon+untie_embed+value_mix+unet", "toy unet"),
        ("baseline+unet+fixed_window+rope", "toy fixed_window"),
        ("attn_scale+unet", "toy attn_scale"),
        ("baseline+rope+value_mix", None),
    ],
)
def test_the_toy_runner_takes_the_latest_stage_of_its_variant(stack, key):
    toys = ("toy unet", "toy fixed_window", "toy attn_scale")
    found = find(toys, {"variant": stack}, uri="/runs/var-baseline", toy=True)
    assert found.key == key
    assert any("its tensors are those of" in n for n in found.notices) == (key is None)
    # the folder says fixed_window, the run's own file unet
    if key is not None:
        assert find(toys, {"variant": stack}, uri="/var-baseline+unet+fixed_window/a.pt", toy=True).key == key
