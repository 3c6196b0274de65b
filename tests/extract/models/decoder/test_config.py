import dataclasses

import pytest

from spectra_cli.extract.models.decoder.config import FLOAT32_EPS, DecoderConfig
from spectra_cli.extract.models.decoder.masks import MaskRule


def config_of(**changes):
    config = DecoderConfig(
        n_layer=12,
        n_head=6,
        n_embd=768,
        vocab_size=50304,
        mlp_width=3072,
        num_positions=None,
        rope_dir="+",
        rope_table_dtype=None,
        fused_qkv=False,
        qk_norm=True,
        norm="rms",
        norm_bias=False,
        qkv_bias=False,
        attn_proj_bias=False,
        mlp_bias=False,
        activation="relu_squared",
        tied=False,
        embed_norm=True,
        norm_eps=FLOAT32_EPS,
        qk_norm_eps=FLOAT32_EPS,
    )
    return dataclasses.replace(config, **changes)


def test_sizes_that_follow():
    config = config_of()
    assert (config.head_width, config.num_encoder_layers) == (128, 6)


@pytest.mark.parametrize(
    ("layers", "long"), [(12, {0, 4, 7, 11}), (24, {0, 4, 8, 15, 19, 23}), (6, {0, 5}), (4, {0, 3})]
)
def test_long_layers_are_every_fourth_from_either_end(layers, long):
    config = config_of(n_layer=layers, short_mask=MaskRule(window_blocks=1))
    assert set(range(layers)) - config.short_layers == long


def test_no_layer_is_short_without_a_short_mask():
    assert config_of().short_layers == frozenset()


def test_value_partners_of_the_paper_s_twelve_layers():
    sparse = config_of(value_mix="sparse", value_reach=3)
    assert [sparse.value_partner(i) for i in range(12)] == [0, 1, 2, *[None] * 6, 0, 1, 2]
    mirrored = config_of(value_mix="vte_mirror")
    assert [mirrored.value_partner(i) for i in range(12)] == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0]
    assert [config_of(value_mix="vte_full").value_partner(i) for i in range(12)] == list(range(12))
    assert config_of(value_mix="first_v").value_partner(3) is None
