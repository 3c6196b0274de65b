import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.extract.models.decoder import masks as decoder_masks
from spectra_cli.extract.models.decoder.attention import attend
from spectra_cli.extract.models.decoder.masks import Mask, MaskRule, mask_bytes

RULES = [
    MaskRule(),
    MaskRule(window_tokens=30),
    MaskRule(window_tokens=30, eot=3),
    MaskRule(window_blocks=3, block=16, eot=3),
    MaskRule(window_tokens=30, window_blocks=2, block=16, eot=3),
]


def sees(rule, ids, t, j):
    """One pair, condition by condition."""
    return (
        j <= t
        and (rule.window_tokens is None or t - j < rule.window_tokens)
        and (rule.window_blocks is None or t // rule.block - j // rule.block < rule.window_blocks)
        and (rule.eot is None or rule.eot not in ids[j + 1 : t + 1])
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_queries", [20, 512])
def test_pieces_together_are_the_rule(rule, num_queries, monkeypatch):
    monkeypatch.setattr(decoder_masks, "_NUM_QUERIES", num_queries)
    tokens = torch.randint(40, (2, 96), generator=torch.Generator().manual_seed(0))
    dense = torch.zeros(2, 96, 96, dtype=torch.bool)
    for queries, keys, hidden in Mask(rule, tokens).pieces(torch.float32):
        dense[:, queries, keys] = (hidden == 0)[:, 0]
    for row, ids in enumerate(tokens.tolist()):
        expected = [[sees(rule, ids, t, j) for j in range(96)] for t in range(96)]
        assert torch.equal(dense[row], torch.tensor(expected))


@pytest.mark.parametrize("rule", RULES)
def test_attention_in_pieces_equals_one_dense_softmax(rule, monkeypatch):
    monkeypatch.setattr(decoder_masks, "_NUM_QUERIES", 32)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(40, (2, 96), generator=generator)
    size = (2, 3, 96, 8)
    q, k, v = (torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3))
    found = attend(q, k, v, Mask(rule, tokens), scale=0.2)
    for row, ids in enumerate(tokens.tolist()):
        seen = torch.tensor([[sees(rule, ids, t, j) for j in range(96)] for t in range(96)])
        scores = (0.2 * q[row] @ k[row].mT).masked_fill(~seen, float("-inf"))
        dense = scores.softmax(-1) @ v[row]
        # float64 in another order
        torch.testing.assert_close(found[row], dense, rtol=1e-12, atol=1e-12)
        weights = torch.randn(dense.shape, generator=generator, dtype=torch.float64)
        wanted = torch.autograd.grad((dense * weights).sum(), (q, k, v))
        own = torch.autograd.grad((found[row] * weights).sum(), (q, k, v), retain_graph=True)
        torch.testing.assert_close(own, wanted, rtol=1e-10, atol=1e-10)


def test_no_mask_is_plain_causal_attention():
    q, k, v = torch.randn(3, 1, 2, 9, 8, generator=torch.Generator().manual_seed(2)).unbind()
    dense = attend(q, k, v, Mask(MaskRule(), torch.zeros(1, 9, dtype=torch.int64)), scale=None)
    torch.testing.assert_close(attend(q, k, v, None, scale=None), dense)


@given(
    st.integers(1, 300),
    st.one_of(st.none(), st.integers(1, 99)),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(1, 40),
)
def test_the_first_key_is_the_first_that_is_visible(query, tokens, blocks, block):
    rule = MaskRule(window_tokens=tokens, window_blocks=blocks, block=block)
    seen = rule.visible(torch.tensor([query]), torch.arange(query + 1))[0]
    assert rule.first_key(query) == int(seen.nonzero()[0])
    assert seen[query]


def test_a_stream_of_65536_tokens_needs_no_square_mask():
    """Queries times (window + queries), one byte a pair, against 4.3e9 pairs."""
    rule = MaskRule(window_blocks=14, eot=50256)
    tokens = torch.zeros(1, 65536, dtype=torch.int64, device="meta")
    pieces = Mask(rule, tokens).pieces(torch.bfloat16)
    assert sum(hidden.numel() for _, _, hidden in pieces) <= 65536 * (14 * 128 + 512)
    assert [q.start for q, _, _ in pieces] == list(range(0, 65536, 512))
    assert all((k.stop - k.start) % 16 == 0 for _, k, _ in pieces)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("length", [96, 700])
def test_the_memory_of_masks_is_that_of_their_pieces(rule, length):
    tokens = torch.zeros(3, length, dtype=torch.int64, device="meta")
    held = sum(hidden.nbytes for _, _, hidden in Mask(rule, tokens).pieces(torch.float64))
    whole, each = mask_bytes(rule, length, 8)
    assert whole + 3 * each == held
    assert (each > 0) == (rule.eot is not None)


def test_pieces_are_made_once_for_a_dtype():
    mask = Mask(MaskRule(window_tokens=4), torch.zeros(1, 9, dtype=torch.int64))
    assert mask.pieces(torch.float32) is mask.pieces(torch.float32)
    assert mask.pieces(torch.bfloat16)[0][2].dtype == torch.bfloat16


def test_streams_of_one_batch_keep_their_documents():
    tokens = torch.tensor([[1, 3, 1, 1], [1, 1, 1, 3]])
    ((_, _, hidden),) = Mask(MaskRule(eot=3), tokens).pieces(torch.float32)
    rows = (hidden == 0)[:, 0].long().tolist()
    assert rows[0] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]]
    assert rows[1] == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
