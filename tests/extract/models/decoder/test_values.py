import pytest
import torch

from spectra_cli.extract.models.decoder.values import (
    SparseValueEmbeddings,
    blend,
    default_reach,
    num_value_slices,
    value_partner,
    weigh,
)


@pytest.mark.parametrize(("mix", "slices"), [("vte_full", 12), ("vte_mirror", 6), ("sparse", 0), ("none", 0)])
def test_width_of_the_token_table(mix, slices):
    assert num_value_slices(mix, 12) == slices


@pytest.mark.parametrize(
    ("layers", "reach"), [(2, 1), (4, 2), (12, 3), (14, 4), (18, 4), (24, 6), (36, 9), (48, 12)]
)
def test_default_reach_rounds_half_to_even_and_ends_at_the_middle(layers, reach):
    assert default_reach(layers) == reach


@pytest.mark.parametrize("layers", [4, 6, 12, 24])
def test_mirrored_slices_meet_in_the_middle_and_sparse_tables_take_turns(layers):
    slices = [value_partner("vte_mirror", i, num_layers=layers, reach=0) for i in range(layers)]
    assert slices == slices[::-1] == [*range(layers // 2), *reversed(range(layers // 2))]
    reach = layers // 2
    tables = [value_partner("sparse", i, num_layers=layers, reach=reach) for i in range(layers)]
    assert tables == 2 * [j % 3 for j in range(reach)]


def test_blend_and_weigh():
    v, partner = torch.tensor([2.0, 4.0]), torch.tensor([10.0, 20.0])
    assert torch.equal(blend(v, partner, torch.tensor(0.25)), torch.tensor([4.0, 8.0]))
    assert torch.equal(weigh(v, partner, torch.tensor([2.0, 0.5])), torch.tensor([9.0, 18.0]))
    assert torch.equal(weigh(v, None, torch.tensor([2.0, 0.5])), torch.tensor([4.0, 8.0]))


def test_values_keep_their_dtype():
    v, partner = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    half = v.bfloat16()
    # a share weighs bfloat16 values in bfloat16; the float32 slice is added in float32, rounded at the end
    expected = ((0.75 * half).float() + 0.25 * partner).bfloat16()
    assert torch.equal(blend(half, partner, torch.tensor(0.25)), expected)
    assert weigh(half, partner, torch.tensor([0.5, 0.5])).dtype == torch.bfloat16


def test_sparse_tables_look_tokens_up():
    tables = SparseValueEmbeddings(5, 3)
    assert set(tables.state_dict()) == {f"emb.{j}.weight" for j in range(3)}
    tokens = torch.tensor([[4, 0]])
    for j, found in enumerate(tables(tokens)):
        assert torch.equal(found[0], tables.emb[j].weight[[4, 0]])
