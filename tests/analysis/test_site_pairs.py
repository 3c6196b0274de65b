"""Counterparts: by address at equal depth, by relative depth otherwise."""

from spectra_cli.analysis.site_pairs import component_words, site_pairs


def pairs(weight, first, second):
    return [
        (p.first.site.address, p.second.site.address)
        for p in site_pairs([weight([1.0], a) for a in first], [weight([1.0], a) for a in second])
    ]


def test_equal_depth_goes_by_address_and_leaves_out_what_one_model_lacks(weight):
    first = ["embed", "blocks.0.attn.o", "blocks.1.attn.o", "blocks.1.mlp.gate"]
    second = ["embed", "blocks.0.attn.o", "blocks.1.attn.o", "lm_head"]
    shared = ["embed", "blocks.0.attn.o", "blocks.1.attn.o"]
    assert pairs(weight, first, second) == [(a, a) for a in shared]


def test_other_depths_go_by_relative_depth_first_with_first_and_last_with_last(weight):
    shallow = [f"blocks.{i}.attn.o" for i in range(3)]
    deep = [f"blocks.{i}.attn.o" for i in range(5)]
    expected = [("0", "0"), ("1", "2"), ("2", "4")]
    found = [(a.split(".")[1], b.split(".")[1]) for a, b in pairs(weight, shallow, deep)]
    assert found == expected
    # of the deeper model only the counterparts are compared
    back = [(a.split(".")[1], b.split(".")[1]) for a, b in pairs(weight, deep, shallow)]
    assert back == [(b, a) for a, b in expected]


def test_a_component_nobody_has_words_for_keeps_its_name():
    assert component_words("experts.3.down") == "experts.3.down"
