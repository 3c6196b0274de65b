from torch import nn

from spectra_cli.core.types import Site
from spectra_cli.extract.models.canonical import (
    absent_components,
    embedding_views,
    in_canonical_order,
    unmeasured_notice,
)
from spectra_cli.extract.protocols import MatrixView


def view(address):
    return MatrixView(site=Site.parse(address), module=nn.Linear(2, 3))


def test_order_is_by_layer_then_component_with_unknown_ones_last():
    expected = [
        "embed",
        "blocks.2.attn.q",
        "blocks.2.mlp.down",
        "blocks.2.mixer.x",
        "blocks.10.attn.q",
        "lm_head",
    ]
    assert [v.site.address for v in in_canonical_order(view(a) for a in reversed(expected))] == expected


def test_untied_embeddings_are_two_views():
    embed, head = nn.Embedding(5, 2), nn.Linear(2, 5, bias=False)
    views, absent = embedding_views(embed, "e", head, "h")
    assert [v.site.address for v in views] == ["embed", "lm_head"]
    assert absent == {}
    head.weight = embed.weight
    views, absent = embedding_views(embed, "e", head, "h")
    assert [(v.site.address, v.shape, v.kind) for v in views] == [("embed", (5, 2), "embedding")]
    assert list(absent) == [Site(layer=None, component="lm_head")]


def test_a_model_without_a_head_matrix_says_so():
    views, absent = embedding_views(nn.Embedding(5, 2), "e", None, "h")
    assert len(views) == 1
    assert list(absent.values()) == ["this architecture has no output embedding"]


def test_absent_components_carry_their_reason():
    absent = absent_components(
        [view("blocks.0.attn.q")], num_blocks=1, reasons={"mlp.gate": "no gate"}, otherwise="unknown"
    )
    assert len(absent) == 6
    assert absent[Site.parse("blocks.0.mlp.gate")] == "no gate"
    assert absent[Site.parse("blocks.0.attn.k")] == "unknown"


def test_uncovered_tensors_are_named_and_vectors_are_not():
    block = nn.ModuleDict({"conv": nn.Conv1d(2, 2, 3), "lin": nn.Linear(2, 2)})
    covered = MatrixView(site=Site.parse("blocks.0.lin"), module=block["lin"])
    assert unmeasured_notice([block], [covered]) == (
        "not linear maps, so without gradient and weight spectra: conv.weight (1 tensor)",
    )
