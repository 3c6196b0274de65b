"""What a series of 7B checkpoints would cost on one H100: computed, never run.

    python -m benchmarks.cost_on_h100

The operations and bytes are those of the cost model, on a skeleton of Llama-2 7B that holds no weight. The
rates are the makers' (H100 SXM data sheet, without sparsity), of which half is taken: about what the
benchmark measures of this machine's own.
"""

from __future__ import annotations

import torch

from benchmarks.workloads import make_header
from spectra_cli.core.settings import ScanSettings, resolve_settings
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.planning.cost import scan_cost
from spectra_cli.extract.planning.plan import plan_scan
from spectra_cli.extract.protocols import Model

SHARE = 0.5
BFLOAT16, FLOAT32, FLOAT64 = 989e12, 67e12, 67e12
MEMORY_BYTES = 3.35e12
DISK_BYTES = 2e9
# A core of a server: symmetric eigensolvers run at some 10 GFLOP/s, several side by side.
EIGEN = 40e9
PROFILES = 400e9
CHECKPOINTS = 150
BUDGET = 72 * 2**30


def seven_billion() -> tuple[Model, int]:
    """The skeleton, and the bytes of its bfloat16 checkpoint."""
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        intermediate_size=11_008,
        vocab_size=32_000,
        max_position_embeddings=4096,
    )
    with torch.device("meta"):
        module = transformers.LlamaForCausalLM(config)
    header = make_header(module.state_dict(), config.to_dict(), form="huggingface")
    model = find_family(header).build(header, None, device=torch.device("meta"))
    return model, sum(2 * p.numel() for p in module.parameters())


def main() -> None:
    """Print one row for each way of scanning."""
    model, stored = seven_billion()
    print(
        f"7B, {CHECKPOINTS} checkpoints, one H100 at {SHARE:.0%} of its rated speed; computed, not measured"
    )
    print(
        f"{'settings':34}{'passes':>7}{'PFLOP':>8}{'GPU s':>8}{'CPU s':>8}{'read s':>8}{'hours in all':>14}"
    )
    for name, settings in (
        ("quick, float32", resolve_settings("quick", {})),
        ("quick, bfloat16", resolve_settings("quick", {"dtype": "bfloat16"})),
        (
            "default, 256 gradients, bfloat16",
            resolve_settings("default", {"num_gradient_sequences": 256, "dtype": "bfloat16"}),
        ),
    ):
        row(name, model, stored, settings)
    print("seconds are a checkpoint's; reading overlaps the GPU, eigenvalues do not")


def row(name: str, model: Model, stored: int, settings: ScanSettings) -> None:
    """One line of the table."""
    plan = plan_scan(model, settings, device=torch.device("cuda"), budget_bytes=BUDGET)
    cost = scan_cost(model, settings, plan)
    half = settings.dtype == "bfloat16"
    products = cost.seconds(
        pass_rate=SHARE * (BFLOAT16 if half else FLOAT32),
        sum_rate=SHARE * FLOAT64,
        profile_rate=float("inf"),
    )
    gpu = max(products, cost.bytes_moved / MEMORY_BYTES)
    cpu = cost.profiles / PROFILES + cost.eigen / EIGEN
    read = stored / DISK_BYTES
    hours = CHECKPOINTS * (max(gpu, read) + cpu) / 3600
    cells = (f"{cost.total / 1e15:>8.2f}", *(f"{s:>8.0f}" for s in (gpu, cpu, read)), f"{hours:>14.1f}")
    print(f"{name:34}{len(plan.passes):>7}" + "".join(cells))


if __name__ == "__main__":
    main()
