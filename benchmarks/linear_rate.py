"""Float32 linear maps by MKL (torch's own choice) and by oneDNN: `python -m benchmarks.linear_rate`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import interleave
from spectra_cli.extract.passes.onednn_linear import float32_product

TOKENS = 2048
SHAPES = ((256, 256), (256, 1024), (1024, 256), (768, 3072), (3072, 768), (768, 50304))
REPEATS = 5


def main() -> None:
    """One line a shape: GFLOP/s of both, and their ratio in turns."""
    print(f"{TOKENS} tokens, {torch.get_num_threads()} threads, float32; median (range) over 11 rounds")
    for fan_in, fan_out in SHAPES:
        inputs, weight = torch.randn(TOKENS, fan_in), torch.randn(fan_out, fan_in)
        timings = interleave(
            {
                "torch": lambda i=inputs, w=weight: _repeated(functional.linear, i, w),
                "onednn": lambda i=inputs, w=weight: _repeated(float32_product, i, w),
            },
            rounds=11,
        )
        giga = 2e-9 * REPEATS * TOKENS * fan_in * fan_out
        rates = {name: giga / timings.spread(name).median for name in timings.seconds}
        ratio = timings.ratio("torch", "onednn")
        print(
            f"{fan_in} -> {fan_out}: torch {rates['torch']:.0f}, oneDNN {rates['onednn']:.0f} GFLOP/s; "
            f"{ratio.median:.2f} ({ratio.smallest:.2f} - {ratio.largest:.2f}) times as fast"
        )


def _repeated(product: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weight: Tensor) -> None:
    for _ in range(REPEATS):
        product(inputs, weight)


if __name__ == "__main__":
    main()
