from hypothesis import given
from hypothesis import strategies as st

from spectra_cli.core.types import Scalar, Site, Skipped, Status
from spectra_cli.extract.measurements.measurement import Blocks, Measured


@given(num_sequences=st.integers(1, 500), num_blocks=st.integers(2, 64))
def test_blocks_are_nearly_equal_and_hold_every_sequence_once(num_sequences, num_blocks):
    blocks = Blocks(num_sequences=num_sequences, num_blocks=num_blocks)
    assert blocks.edges[0] == 0
    assert blocks.edges[-1] == num_sequences
    assert sum(blocks.sizes) == num_sequences
    assert len(blocks.sizes) == min(num_blocks, num_sequences)
    assert max(blocks.sizes) - min(blocks.sizes) <= 1
    assert min(blocks.sizes) >= 1


def test_edges_by_hand():
    assert Blocks(num_sequences=10, num_blocks=4).edges == (0, 2, 5, 7, 10)
    assert Blocks(num_sequences=3, num_blocks=16).sizes == (1, 1, 1)


def test_measured_adds_up():
    scalar = Scalar(name="a", site=None, measurement="m", value=1.0, unit="1")
    skipped = Skipped(
        measurement="m", site=Site(layer=None, component="embed"), status=Status.NOT_APPLICABLE, reason="none"
    )
    total = Measured(scalars=(scalar,)) + Measured(skipped=(skipped,)) + Measured(scalars=(scalar,))
    assert total == Measured(scalars=(scalar, scalar), skipped=(skipped,))
