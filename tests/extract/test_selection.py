import dataclasses

import pytest

from spectra_cli.core.errors import UsageError
from spectra_cli.core.types import Site, Status
from spectra_cli.extract.selection import select_layers, select_matrices


@pytest.mark.parametrize(
    ("words", "num_layers", "expected"),
    [
        ("all", 3, (0, 1, 2)),
        ("five", 12, (0, 3, 6, 8, 11)),
        ("five", 24, (0, 6, 12, 17, 23)),
        ("five", 36, (0, 9, 18, 26, 35)),
        ("five", 48, (0, 12, 24, 35, 47)),
        ("five", 2, (0, 1)),
        ("five", 1, (0,)),
        ("paper-d12", 12, (0, 3, 6, 9, 11)),
        ("0,3,6-9", 12, (0, 3, 6, 7, 8, 9)),
        ("2,1,1-2", 4, (1, 2)),
        (" 0 , 1 ", 4, (0, 1)),
        ("-1", 4, (3,)),
        ("-4,10", 12, (8, 10)),
        ("10-11", 12, (10, 11)),
    ],
)
def test_layers(words, num_layers, expected):
    assert select_layers(words, num_layers) == expected


@pytest.mark.parametrize("words", ["", "one", "1,", "1-", "a-b", "1.5", "--1", "1-2-3"])
def test_words_that_are_no_layers(words):
    with pytest.raises(UsageError, match="--layers"):
        select_layers(words, 12)


@pytest.mark.parametrize("words", ["12", "0-12", "-13", "5-3"])
def test_layers_that_do_not_exist(words):
    with pytest.raises(UsageError, match="layers 0 to 11"):
        select_layers(words, 12)


def test_papers_layers_need_twelve():
    with pytest.raises(UsageError, match="--layers five"):
        select_layers("paper-d12", 4)


def addresses(model, components, layers=(0, 1)):
    views, missing = select_matrices(model, components, layers, measurement="gradient")
    return [v.site.address for v in views], missing


def test_matrices_come_in_canonical_order_whatever_the_words(skeleton_of):
    found, missing = addresses(skeleton_of("llama"), ("mlp.down", "attn.q", "mlp.down"), (1,))
    assert found == ["blocks.1.attn.q", "blocks.1.mlp.down"]
    assert missing == ()


def test_all_means_the_blocks(skeleton_of):
    model = skeleton_of("llama")
    found, _ = addresses(model, ("all",))
    assert found == [v.site.address for v in model.matrices if v.site.layer is not None]
    found, _ = addresses(model, ("all", "embed", "lm_head"))
    assert found == [v.site.address for v in model.matrices]


def test_a_tied_head_is_the_embedding_once(skeleton_of):
    assert addresses(skeleton_of("gpt2"), ("lm_head", "embed"))[0] == ["embed"]
    assert addresses(skeleton_of("llama"), ("lm_head",))[0] == ["lm_head"]


def test_a_layer_without_the_matrix_is_named_with_its_reason(skeleton_of):
    model = skeleton_of("llama")
    lacking = dataclasses.replace(
        model,
        matrices=tuple(v for v in model.matrices if v.site.address != "blocks.0.attn.q"),
        absent={Site(layer=0, component="attn.q"): "this block has no attention"},
    )
    found, (missing,) = addresses(lacking, ("attn.q",))
    assert found == ["blocks.1.attn.q"]
    assert (missing.site.address, missing.status) == ("blocks.0.attn.q", Status.NOT_APPLICABLE)
    assert missing.reason == "this block has no attention"
    assert missing.measurement == "gradient"


def test_where_nothing_that_was_asked_for_is_there_what_is_there_is_named(skeleton_of):
    # as the default's attn.o,mlp.down,attn.q,attn.v are in a Mamba
    found, missing = addresses(skeleton_of("gpt2"), ("mlp.gate",))
    assert found == []
    assert all("; --matrices takes all, or of attn.q, attn.k, " in one.reason for one in missing)


def test_a_matrix_that_no_layer_has(skeleton_of):
    with pytest.raises(
        UsageError,
        match=r"no matrix 'mlp.gat' in this gpt2 model \(did you mean mlp.up\?\); it has embed, attn\.q",
    ):
        addresses(skeleton_of("gpt2"), ("mlp.gat",))
    found, missing = addresses(skeleton_of("gpt2"), ("mlp.gate",))
    assert (found, len(missing)) == ([], 2)


def test_an_untappable_matrix_is_named_where_taps_are_needed_and_kept_elsewhere(skeleton_of):
    model = dataclasses.replace(skeleton_of("gpt2"), untappable={"attn.q": "it is used in another way"})
    for words in (("all",), ("attn.q", "attn.o")):
        everything, none = select_matrices(model, words, [0], measurement="weight")
        tapped, missing = select_matrices(model, words, [0], measurement="gradient", tapped=True)
        assert none == ()
        left = [v.site.address for v in everything if v.site.component != "attn.q"]
        assert [v.site.address for v in tapped] == left
        assert [(m.site.address, m.reason) for m in missing] == [
            ("blocks.0.attn.q", "it is used in another way")
        ]


def test_a_canonical_matrix_that_no_layer_has_costs_nothing_else(skeleton_of):
    found, missing = addresses(skeleton_of("gpt2"), ("attn.o", "mlp.gate"))
    assert found == ["blocks.0.attn.o", "blocks.1.attn.o"]
    assert [(m.site.address, m.reason) for m in missing] == [
        ("blocks.0.mlp.gate", "the MLP has no gate"),
        ("blocks.1.mlp.gate", "the MLP has no gate"),
    ]


def test_a_misspelt_matrix_is_refused_whatever_else_is_there(skeleton_of):
    with pytest.raises(UsageError, match=r"no matrix 'mlp\.gat' in this gpt2 model"):
        addresses(skeleton_of("gpt2"), ("attn.o", "mlp.gat"))


def test_a_layers_own_path_can_be_asked_for(skeleton_of):
    found, _ = addresses(skeleton_of("mamba"), ("mixer.in_proj",), (1,))
    assert found == ["blocks.1.mixer.in_proj"]


def with_experts(model):
    """The model with the matrices of layer 1's MLP named as two experts."""
    names = {"mlp.gate": "experts.0.down", "mlp.up": "experts.0.up", "mlp.down": "experts.1.down"}

    def renamed(view):
        component = names.get(view.site.component) if view.site.layer == 1 else None
        site = view.site if component is None else dataclasses.replace(view.site, component=component)
        return dataclasses.replace(view, site=site)

    return dataclasses.replace(model, matrices=tuple(renamed(v) for v in model.matrices))


def test_a_pattern_takes_what_goes_by_such_names(skeleton_of):
    model = with_experts(skeleton_of("llama"))
    for words, expected in {
        ("experts.*.down",): ["experts.0.down", "experts.1.down"],
        ("experts.0.*",): ["experts.0.down", "experts.0.up"],
        ("experts.1.down", "experts.*"): ["experts.0.down", "experts.0.up", "experts.1.down"],
    }.items():
        found, missing = addresses(model, words)
        assert found == [f"blocks.1.{component}" for component in expected]
        assert all(m.site.layer == 0 for m in missing)
    assert addresses(model, ("experts.*.down",)) == (
        ["blocks.1.experts.0.down", "blocks.1.experts.1.down"],
        (),
    )
    # a layer of another kind has none, and that is no misspelling
    assert addresses(model, ("experts.*.down",), (0,)) == ([], ())


def test_a_pattern_that_nothing_goes_by_is_refused_with_experts_named_once(skeleton_of):
    model = with_experts(skeleton_of("llama"))
    with pytest.raises(
        UsageError, match=r"no matrix 'expert\.\*'.*experts\.\*\.down, experts\.\*\.up, lm_head"
    ):
        addresses(model, ("expert.*",))


def test_one_expert_named_alone_is_missing_where_a_layer_has_none(skeleton_of):
    found, (missing,) = addresses(with_experts(skeleton_of("llama")), ("experts.1.down",))
    assert found == ["blocks.1.experts.1.down"]
    assert missing.site.address == "blocks.0.experts.1.down"
