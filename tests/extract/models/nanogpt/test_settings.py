import pytest
import torch

from spectra_cli.core.errors import ModelError
from spectra_cli.extract.models.decoder.masks import MaskRule
from spectra_cli.extract.models.nanogpt.arguments import Stated
from spectra_cli.extract.models.nanogpt.settings import (
    attention_scale,
    attention_window,
    mask_block,
    mask_rules,
    rope_settings,
    soft_cap_settings,
)
from spectra_cli.extract.models.nanogpt.variants import VARIANTS
from spectra_cli.extract.models.nanogpt.windows import Window

WHERE = "x.pt"


def window(size, *, in_blocks):
    return Window(size=size, in_blocks=in_blocks, source="")


def test_rope():
    assert rope_settings(VARIANTS["4"].says, WHERE) == ("full", "-", torch.bfloat16)
    assert rope_settings(VARIANTS["14"].says, WHERE) == ("truncated", "-", None)
    stated = {"pos": "rope_trunc", "rope_dir": "+", "rope_table_dtype": "activations"}
    assert rope_settings({**VARIANTS["4"].says, **stated}, WHERE) == ("truncated", "+", None)
    assert rope_settings({**VARIANTS["3"].says, "pos": "learned"}, WHERE)[0] == "full"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("none", ("none", 0.0)), ("tanh 12.5", ("tanh", 12.5)), ("sigmoid 3", ("sigmoid", 3))],
)
def test_soft_caps_are_a_kind_and_a_constant(stated, expected):
    assert soft_cap_settings(Stated(values={"softcap": stated}), VARIANTS["13"], WHERE) == expected


@pytest.mark.parametrize("stated", ["tanh", "relu 5", "tanh x", "none 5", "tanh inf", 15])
def test_other_soft_caps_are_refused(stated):
    with pytest.raises(ModelError, match=r"softcap is .*; expected none, or as in `tanh 15`"):
        soft_cap_settings(Stated(values={"softcap": stated}), VARIANTS["13"], WHERE)


def test_attention_scale():
    of_variant = VARIANTS["18"].says
    stated = ({}, {"attn_scale": 1}, {"attn_scale": "default"})
    assert [attention_scale({**of_variant, **a}, WHERE) for a in stated] == [0.12, 1.0, None]


def test_block_size_is_the_mask_block_only_where_masks_have_blocks_alone():
    arguments = {"block_size": 64}
    assert (
        mask_block(arguments, "doc_block", WHERE)
        == mask_block(arguments, "doc_block_long_short", WHERE)
        == 64
    )
    assert mask_block(arguments, "doc_token_block", WHERE) == 128
    assert mask_block({**arguments, "mask_block": 32}, "doc_block", WHERE) == 32


def test_stated_windows_are_counted_as_the_mask_counts():
    def size(kind, variant, **stated):
        return attention_window(stated, VARIANTS[variant], kind, step=None, where=WHERE).size

    assert size("doc_block", "13", window_blocks=5) == 5
    assert size("doc_block", "13", window_tokens=640) == 5
    assert size("doc_token", "10", window_tokens=600) == 600
    assert size("doc_token", "10", window_blocks=5) == 640
    with pytest.raises(ModelError, match="window_tokens is 600, but windows are counted in blocks of 128"):
        size("doc_block", "13", window_tokens=600)
    with pytest.raises(ModelError, match=r"mask doc_token needs a window.*--set model\.window_tokens="):
        size("doc_token", "13")
    assert attention_window({}, VARIANTS["7"], "causal", step=None, where=WHERE) is None


def test_rules_are_those_of_the_table_of_masks():
    def rules(kind, size, **stated):
        made = window(size, in_blocks=kind.startswith("doc_block"))
        return mask_rules({"eot": 5, **stated}, kind, made, vocab_size=10, where=WHERE)

    assert rules("token", 8) == (MaskRule(window_tokens=8), None)
    assert rules("doc_token", 300) == (MaskRule(window_tokens=300, eot=5), None)
    assert rules("doc_token_block", 300) == (MaskRule(window_tokens=300, window_blocks=3, eot=5), None)
    assert rules("doc_block", 7) == (MaskRule(window_blocks=7, eot=5), None)
    assert rules("doc_block_long_short", 7) == (
        MaskRule(window_blocks=7, eot=5),
        MaskRule(window_blocks=3, eot=5),
    )
    assert rules("doc_block_long_short", 1)[1] == MaskRule(window_blocks=1, eot=5)
    assert mask_rules({}, "causal", None, vocab_size=10, where=WHERE) == (None, None)


@pytest.mark.parametrize("eot", [10, -1, True, "last"])
def test_an_end_of_text_outside_the_vocabulary_is_refused(eot):
    with pytest.raises(ModelError, match=r"eot is .*; expected an id below 10, or none"):
        mask_rules({"eot": eot}, "doc_token", window(5, in_blocks=False), vocab_size=10, where=WHERE)
