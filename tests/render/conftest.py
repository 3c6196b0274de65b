"""A small archive summary made by hand: every status, a skipped matrix, a synthetic probe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spectra_cli.core.types import (
    CheckpointInfo,
    CheckpointRef,
    Provenance,
    Site,
    Skipped,
    StatisticValue,
    Status,
)
from spectra_cli.render.forms.terminal import PIPE_WIDTH, printed_lines
from spectra_cli.workflows.show import ArchiveSummary, CheckpointSummary
from tests.builders import provenance as builders

GOLDEN = Path(__file__).parent / "golden"
NAN = float("nan")


def make_value(
    name: str, address: str | None, value: float, stderr: float = NAN, **changes: Any
) -> StatisticValue:
    fields: dict[str, Any] = {
        "name": name,
        "measurement": "activation_covariance",
        "site": None if address is None else Site.parse(address),
        "step": 100,
        "value": value,
        "stderr": stderr,
        "status": Status.OK,
    }
    return StatisticValue(**(fields | changes))


def make_provenance(*, synthetic: bool = False) -> Provenance:
    measured = {"measurements": ["activation_covariance", "gradient", "weight"], "num_gradient_sequences": 16}
    source = {"source": "synthetic", "format": "synthetic", "synthetic": True} if synthetic else {}
    return builders.provenance(settings=measured, digest="0123456789abcdef" * 4, vocab_size=128, **source)


def make_checkpoint(step: int, loss: float) -> CheckpointSummary:
    ref = CheckpointRef(run="a", step=step, uri=f"/runs/a/checkpoint-{step}", format="huggingface")
    info = CheckpointInfo(
        num_parameters=81_920,
        family="llama",
        architecture="LlamaForCausalLM",
        tokens_seen=step * 2048,
        train_loss=loss,
        eval_loss=loss + 0.125,
        digest="d" * 64,
        notices=("read with a prefix stripped",),
    )
    gradient = {"measurement": "gradient_covariance"}
    weight = {"measurement": "weight"}
    statistics = (
        make_value("probe_loss", None, loss + 0.0625, 0.011, measurement="probe", unit="nats/token"),
        make_value("gradient_noise_scale", None, 345.2, 164.9, unit="sequences", **gradient),
        make_value("head_exponent_1_10", "blocks.0.resid_post", 0.8734, 0.0031, unit=""),
        make_value(
            "rankme_cov",
            "blocks.0.resid_post",
            NAN,
            status=Status.UNRESOLVED,
            reason="9 rows resolve 9 of 64 directions",
        ),
        make_value("head_exponent_1_10", "blocks.1.resid_post", 1.4581, 0.0062, details={"window_lo": 1.0}),
        make_value(
            "rankme_cov",
            "blocks.1.resid_post",
            15.51,
            0.10,
            status=Status.PARTIAL,
            reason="the window was cut to 24 values",
        ),
        make_value("rankme_cov", "blocks.0.attn.q", 155.0, 20.4, **gradient),
        make_value(
            "rankme_cov",
            "blocks.0.attn.o",
            NAN,
            status=Status.ZERO,
            reason="the gradient is zero in all 16 sequences",
            **gradient,
        ),
        make_value("stable_rank", "blocks.0.attn.q", 15.947, **weight),
        make_value("condition", "blocks.0.attn.q", 51_890.0, **weight),
        make_value(
            "condition",
            "blocks.0.attn.o",
            NAN,
            status=Status.NOT_APPLICABLE,
            reason="singular",
            **weight,
        ),
    )
    skipped = tuple(
        Skipped(
            measurement="gradient",
            site=Site(layer=layer, component="attn.v"),
            status=Status.NOT_APPLICABLE,
            reason="this block has no attention",
        )
        for layer in range(6)
    )
    return CheckpointSummary(
        ref=ref, info=info, provenance=make_provenance(), statistics=statistics, skipped=skipped
    )


@pytest.fixture
def provenance() -> Callable[..., Provenance]:
    return make_provenance


@pytest.fixture
def value() -> Callable[..., StatisticValue]:
    return make_value


@pytest.fixture
def checkpoints() -> list[CheckpointSummary]:
    return [make_checkpoint(50, 3.75), make_checkpoint(100, 3.5)]


@pytest.fixture
def summary(checkpoints) -> ArchiveSummary:
    return ArchiveSummary(
        path=Path("a.spectra.h5"), provenance=make_provenance(), series=tuple(checkpoints), asked_for=None
    )


@pytest.fixture
def printed() -> Callable[..., str]:
    """What a results console would write, piped or of a given width."""

    def print_all(*parts: Any, room: int = PIPE_WIDTH) -> str:
        return "".join(f"{text.plain}\n" for part in parts for text in printed_lines(part, room))

    return print_all


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare text with a golden file, trailing blanks aside; SPECTRA_WRITE_GOLDEN=1 writes it anew."""

    def compare(name: str, text: str) -> None:
        text = "".join(line.rstrip() + "\n" for line in text.splitlines())
        path = GOLDEN / name
        if os.environ.get("SPECTRA_WRITE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), (
            f"{path} differs; if the new text is right, run again with SPECTRA_WRITE_GOLDEN=1"
        )

    return compare
