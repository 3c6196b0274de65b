import math

import pytest
import torch

from spectra_cli.extract.models.decoder.rope import rope_tables, rotate

LIKE = torch.zeros(1, dtype=torch.float64)


def tables(kind, *, width=16, positions=9, like=LIKE, rounded_to=None):
    return rope_tables(kind, num_positions=positions, head_width=width, like=like, rounded_to=rounded_to)


@pytest.mark.parametrize("kind", ["full", "truncated"])
def test_angles_are_position_times_frequency(kind):
    found = tables(kind)
    for j in range(8):
        w = 10000.0 ** (-2 * j / 16) if kind == "full" else (1024.0 ** (-j / 3) if j < 4 else 0.0)
        for t in range(9):
            # powers by way of exp and log, in float64
            assert found.cos[t, j].item() == pytest.approx(math.cos(t * w), abs=1e-12)
            assert found.sin[t, j].item() == pytest.approx(math.sin(t * w), abs=1e-12)


def test_half_of_the_pairs_rest_under_truncation():
    x = torch.randn(2, 1, 9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, tables("truncated"), direction="-")
    still = [*range(4, 8), *range(12, 16)]
    assert torch.equal(turned[..., still], x[..., still])
    assert not torch.isclose(turned[:, :, 1:, :4], x[:, :, 1:, :4]).all()


@pytest.mark.parametrize("kind", ["full", "truncated"])
def test_directions_undo_each_other_and_keep_norms(kind):
    x = torch.randn(2, 1, 9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, tables(kind), direction="+")
    # orthogonal in float64
    torch.testing.assert_close(rotate(turned, tables(kind), direction="-"), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "truncated"])
def test_scores_depend_on_distance_alone(kind):
    q, k = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores = rotate(q.expand(1, 1, 9, 16), tables(kind), direction="+") @ rotate(
        k.expand(1, 1, 9, 16), tables(kind), direction="+"
    ).transpose(-1, -2)
    for offset in range(9):
        diagonal = scores[0, 0].diagonal(offset)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-10, atol=1e-10)


def test_dtypes_of_tables_and_of_the_rotation():
    half = torch.zeros(1, dtype=torch.bfloat16)
    assert tables("full", like=half).cos.dtype == torch.float32
    assert tables("full", rounded_to=torch.bfloat16).cos.dtype == torch.bfloat16
    x = torch.randn(1, 1, 9, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = rotate(x, tables("truncated", like=half), direction="+")
    assert found.dtype == torch.bfloat16
    wide = rotate(x.float(), tables("truncated", like=half), direction="+")
    # turned in float32, rounded once at the end
    assert torch.equal(found, wide.bfloat16())


def test_the_narrowest_truncated_head_has_one_turning_pair():
    found = tables("truncated", width=4)
    torch.testing.assert_close(found.sin[:, 0], torch.arange(9, dtype=torch.float64).sin())
    assert not found.sin[:, 1].any()
