"""What float32 and float64 products do to small eigenvalues, and what the shift is for.

    python benchmarks/precision.py

Rows with a known power-law spectrum and a large mean go through `ShiftedSums`, the class that a scan
uses, and through the cheaper ways it could have taken. The reference is a two-pass covariance of the
same rows, all in float64. Gradients with singular values i^-2 go through the Gram matrix in both precisions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spectra_cli.extract.arena import Arena
from spectra_cli.extract.measurements.algebra.gram import ShiftedSums
from spectra_cli.extract.measurements.gradient_store import DenseGradients
from spectra_cli.statistics.rank_decay import rank_decay_exponent

WIDTH, ROWS, BATCH = 256, 65_536, 4096
SAMPLES, PARAMETERS = 512, 4096


def power_law_rows(exponent: float, mean: float) -> Tensor:
    """(ROWS, WIDTH) float32 rows: eigenvalues j^-exponent in a random basis, and one coordinate's mean."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))
    scale = torch.arange(1, WIDTH + 1, dtype=torch.float64) ** (-exponent / 2)
    rows: Tensor = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64) * scale @ basis.T
    rows[:, 0] += mean
    return rows.to(torch.float32)


def two_pass(rows: Tensor) -> Tensor:
    """Covariance of all rows at once, in float64."""
    centred = rows.double() - rows.double().mean(0)
    return torch.mm(centred.T, centred) / (rows.shape[0] - 1)


def float32_products(rows: Tensor, *, shifted: bool) -> Tensor:
    """Covariance from float32 products of each batch, summed over batches in float64."""
    shift = rows[:BATCH].mean(0) if shifted else torch.zeros(WIDTH)
    products, total = torch.zeros(WIDTH, WIDTH, dtype=torch.float64), torch.zeros(WIDTH, dtype=torch.float64)
    for batch in rows.split(BATCH):
        centred = batch - shift
        products += (centred.T @ centred).double()
        total += centred.double().sum(0)
    return (products - torch.outer(total, total) / ROWS) / (ROWS - 1)


def shifted_sums(rows: Tensor) -> Tensor:
    """Covariance as a scan computes it."""
    sums = ShiftedSums(rows[:BATCH].double().mean(0))
    for batch in rows.split(BATCH):
        sums.add(batch.double(), torch.ones(batch.shape[0], dtype=torch.bool))
    return sums.moment() / (ROWS - 1)


def eigenvalues(covariance: Tensor) -> np.ndarray:
    """Descending."""
    return np.asarray(torch.linalg.eigvalsh(covariance).flip(0).numpy())


def covariance_table() -> None:
    """Largest error of any eigenvalue; the smallest one, over the first, before an error above 1e-5."""
    print(f"covariance: {ROWS} float32 rows of width {WIDTH}, eigenvalues j^-2.5 (last: 1e-6 of the first)")
    print(f"{'':26}{'mean 0':>24}{'mean 20':>24}{'mean 300':>24}")
    ways = {
        "float32 products, no shift": lambda rows: float32_products(rows, shifted=False),
        "float32 products, shift": lambda rows: float32_products(rows, shifted=True),
        "float64 products, shift": shifted_sums,
    }
    cases = [power_law_rows(2.5, mean) for mean in (0.0, 20.0, 300.0)]
    truths = [eigenvalues(two_pass(rows)) for rows in cases]
    for name, covariance in ways.items():
        cells = []
        for rows, truth in zip(cases, truths, strict=True):
            found = eigenvalues(covariance(rows))
            error = np.abs(found - truth) / truth
            exact = np.flatnonzero(np.append(error, np.inf) > 1e-5)[0]
            reach = f"{truth[exact - 1] / truth[0]:.0e}" if exact else "none"
            tail = rank_decay_exponent(np.maximum(found, 0), 30, 150)
            cells.append(f"{error.max():.0e} ({reach}; {tail:.3f})")
        print(f"{name:26}" + "".join(f"{cell:>24}" for cell in cells))
    exponents = ", ".join(f"{rank_decay_exponent(truth, 30, 150):.3f}" for truth in truths)
    print("largest relative error (eigenvalues down to here, over the first, within 1e-5; exponent 30-150)")
    print(f"exponents of the reference: {exponents}")


def gram_table() -> None:
    """Exponent of singular values i^-2 from a Gram matrix in float32 and in float64."""
    generator = torch.Generator().manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(SAMPLES, SAMPLES, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(PARAMETERS, SAMPLES, generator=generator, dtype=torch.float64))
    truth = torch.arange(1, SAMPLES + 1, dtype=torch.float64) ** -2
    gradients = ((left * truth) @ right.T).float()
    store = DenseGradients(SAMPLES, (1, PARAMETERS), dtype=torch.float32, arena=Arena(torch.device("cpu")))
    store.add(0, gradients[:, None], torch.ones(SAMPLES, 1, 1))
    kernels = {"float32": (gradients @ gradients.T).double(), "float64": store.gram()}
    print(f"\ngradient Gram: {SAMPLES} x {PARAMETERS} float32, singular values i^-2, window 30-150")
    for name, kernel in kernels.items():
        squares = np.sort(np.abs(torch.linalg.eigvalsh(kernel).numpy()))[::-1]
        error = np.abs(np.sqrt(squares) - truth.numpy()) / truth.numpy()
        good = int(np.argmax(error > 0.05)) if (error > 0.05).any() else SAMPLES
        exponent = float(rank_decay_exponent(squares, 30, 150)) / 2
        print(
            f"{name}: singular-value exponent {exponent:.3f} (true 2.000); within 5 % up to rank {good}, "
            f"sigma/sigma_1 = {truth[good - 1]:.0e}"
        )


if __name__ == "__main__":
    torch.set_float32_matmul_precision("highest")
    covariance_table()
    gram_table()
