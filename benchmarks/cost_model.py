"""What a scan costs: floating-point operations and bytes, from the sizes of model and probe alone.

A multiply-add counts as two operations; norms, activations and softmax are left out (they are O(d) a
token where the rest is O(d^2)). Shapes: L layers, D width, M MLP width, V vocabulary, T tokens a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.workloads import Workload
from spectra_cli.extract.selection import select_layers

# In the order of the forward pass; a map's input gradient is needed only above the lowest measured one.
_STAGES = (("attn.q", "attn.k", "attn.v"), ("attn.o",), ("mlp.gate", "mlp.up"), ("mlp.down",))
_TILE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSize:
    """Sizes of a decoder.

    Attributes:
        num_layers: L; width: D; mlp_width: M; vocab_size: V.
        kv_width: outputs of k and of v together with their heads (D without grouped heads).
        gated: whether the MLP has a gate.
        causal_share: part of the T x T attention scores that is worked out: 0.5 where the kernel
            skips what the mask hides, 1 as `torch.utils.flop_counter` counts.
    """

    num_layers: int
    width: int
    mlp_width: int
    vocab_size: int
    kv_width: int
    gated: bool = False
    causal_share: float = 0.5

    def shape(self, component: str) -> tuple[int, int]:
        """(fan_out, fan_in) of a block matrix."""
        d, m, kv = self.width, self.mlp_width, self.kv_width
        return {
            "attn.q": (d, d),
            "attn.k": (kv, d),
            "attn.v": (kv, d),
            "attn.o": (d, d),
            "mlp.gate": (m, d),
            "mlp.up": (m, d),
            "mlp.down": (d, m),
        }[component]

    @property
    def components(self) -> tuple[str, ...]:
        """The matrices of one block."""
        return tuple(c for stage in _STAGES for c in stage if c != "mlp.gate" or self.gated)

    @property
    def block_parameters(self) -> int:
        """Of the linear maps of one block."""
        return sum(_area(self.shape(c)) for c in self.components)

    @property
    def num_parameters(self) -> int:
        """Linear maps, embedding and an untied head."""
        return self.num_layers * self.block_parameters + 2 * self.vocab_size * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSize:
    """What is measured.

    Attributes:
        num_sequences: N of the covariance probe; num_gradient_sequences: n; sequence_length: T.
        layers: measured; matrices: measured components.
        num_blocks: of the jackknife; batch_size: sequences a batch.
        value_bytes: of one activation (4 for float32, 2 for bfloat16).
    """

    num_sequences: int
    num_gradient_sequences: int
    sequence_length: int
    layers: tuple[int, ...]
    matrices: tuple[str, ...]
    num_blocks: int = 16
    batch_size: int = 16
    value_bytes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCost:
    """Operations by part, and bytes that must cross the memory bus.

    Attributes:
        operations: `forward`, `backward`, `head`, `gradients` (delta^T a), `gram` (float64),
            `covariance` (float64), `profiles` (blocks on eigenvectors).
        eigen_operations: of the symmetric eigensolvers, about 9 n^3 each with vectors; they run at a
            fraction of the GEMM rate and are left out of `total`.
        bytes_moved: weights, activations, gradient stores and sums, each once a use.
    """

    operations: Mapping[str, float]
    eigen_operations: float
    bytes_moved: float

    @property
    def total(self) -> float:
        """Operations of all parts."""
        return sum(self.operations.values())


def scan_cost(size: DecoderSize, scan: ScanSize) -> ScanCost:
    """Operations and bytes of one checkpoint, all gradients in one pass."""
    tokens = max(scan.num_sequences, scan.num_gradient_sequences) * scan.sequence_length
    gradient_tokens = scan.num_gradient_sequences * scan.sequence_length
    length, n, d = scan.sequence_length, scan.num_gradient_sequences, size.width
    scores = 4 * size.causal_share * length * d
    sites, measured = len(scan.layers), len(scan.layers)
    shapes = [size.shape(c) for c in scan.matrices]
    lowest = min(scan.layers)
    above = size.num_layers - lowest - 1
    first_stage = min(i for i, stage in enumerate(_STAGES) if set(stage) & set(scan.matrices))
    partial: float = sum(
        2 * _area(size.shape(c))
        for stage in _STAGES[first_stage + 1 :]
        for c in stage
        if c in size.components
    )
    # Backward of attention: five products to the forward's two.
    partial += 2.5 * scores if first_stage == 0 else 0.0
    backward = above * (2 * size.block_parameters + 2.5 * scores) + partial
    operations = {
        "forward": tokens * size.num_layers * (2 * size.block_parameters + scores),
        "backward": gradient_tokens * backward,
        "head": 2 * size.vocab_size * d * (tokens + gradient_tokens),
        "gradients": gradient_tokens * measured * sum(2 * _area(s) for s in shapes),
        "gram": measured * sum(_gram_operations(n, _area(s)) for s in shapes),
        "covariance": sites * _gram_operations(d, scan.num_sequences * length),
        "profiles": sites * scan.num_blocks * 2.0 * d**3,
    }
    eigen = 9.0 * (sites * d**3 + 2 * measured * len(shapes) * n**3)
    return ScanCost(
        operations=operations, eigen_operations=eigen, bytes_moved=_bytes_moved(size, scan, shapes)
    )


def cost_of(work: Workload, *, batch_size: int, causal_share: float = 0.5) -> ScanCost:
    """The cost model on a workload."""
    return scan_cost(
        DecoderSize(
            num_layers=work.num_layers,
            width=work.width,
            mlp_width=4 * work.width,
            vocab_size=work.vocab_size,
            kv_width=work.width,
            causal_share=causal_share,
        ),
        ScanSize(
            num_sequences=work.num_sequences,
            num_gradient_sequences=work.num_gradient_sequences,
            sequence_length=work.sequence_length,
            layers=select_layers(work.layers, work.num_layers),
            matrices=work.matrices,
            batch_size=batch_size,
        ),
    )


def _bytes_moved(size: DecoderSize, scan: ScanSize, shapes: list[tuple[int, int]]) -> float:
    tokens = max(scan.num_sequences, scan.num_gradient_sequences) * scan.sequence_length
    gradient_tokens = scan.num_gradient_sequences * scan.sequence_length
    batches = -(-tokens // (scan.batch_size * scan.sequence_length))
    backward_batches = -(-gradient_tokens // (scan.batch_size * scan.sequence_length))
    weights = size.num_parameters * scan.value_bytes * (batches + backward_batches)
    features = size.num_layers * sum(sum(size.shape(c)) for c in size.components) + size.vocab_size
    activations = features * scan.value_bytes * (tokens + 2 * gradient_tokens)
    # Written once, read once, in float32.
    stores = 2 * 4.0 * len(scan.layers) * sum(scan.num_gradient_sequences * _area(s) for s in shapes)
    sums = 2 * 8.0 * len(scan.layers) * size.width**2 * (batches + scan.num_blocks)
    return weights + activations + stores + sums


def _gram_operations(rows: int, columns: int) -> float:
    """Upper tiles of `rows` x `columns` times its transpose."""
    starts = range(0, rows, _TILE)
    return sum(2.0 * min(_TILE, rows - start) * (rows - start) * columns for start in starts)


def _area(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]
