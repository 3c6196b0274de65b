"""Every format and family that the documentation says is read: a checkpoint by its writer, a scan, the truth.

The truth is the writer's own model in float64, sequence by sequence; see tests/extract/writers.
"""

import tomllib
from pathlib import Path

import pytest
import torch

from spectra_cli.core.scan_request import Resources, ScanRequest, SeriesOptions
from spectra_cli.core.settings import ScanSettings
from spectra_cli.extract.models.registry import find_family
from spectra_cli.extract.series.opened import open_series
from spectra_cli.extract.series.probe import read_probe
from spectra_cli.extract.session import Session
from tests.extract.writers.cells import CELLS
from tests.extract.writers.reference import Truth

COVERAGE = Path(__file__).parents[3] / "docs" / "coverage.toml"
NUM_SEQUENCES, NUM_GRADIENTS = 8, 6
CASES = [
    pytest.param(cell, variant, id="-".join((*cell, variant)).removesuffix("-"))
    for cell, variants in CELLS.items()
    for variant in variants
]


def test_every_yes_of_the_documentation_is_a_case_here():
    said = tomllib.loads(COVERAGE.read_text())["formats"]
    assert {(form, family) for form, families in said.items() for family in families} == set(CELLS)


@pytest.mark.parametrize(("cell", "variant"), CASES)
def test_a_scan_is_the_slow_reference(cell, variant, tmp_path, hub_cache):
    written = CELLS[cell][variant](tmp_path, hub_cache.add)
    series = open_series(written.path, SeriesOptions(base=written.base))
    ref = series.refs[-1]
    assert (ref.format, series.skeleton.family) == cell
    outside = {view.site.component for view in series.skeleton.matrices if view.site.layer is None}
    settings = ScanSettings(
        measurements=("activation_covariance", "gradient", "weight")
        + (("weight_update",) if written.model.before else ()),
        matrices=("all", *sorted(outside)),
        num_sequences=NUM_SEQUENCES,
        num_gradient_sequences=NUM_GRADIENTS,
        sequence_length=written.length,
        num_blocks=2,
        dtype="float64",
    )
    probe = read_probe(series, ScanRequest(checkpoints="run", settings=settings, probe="synthetic")).probe
    truth = Truth(written.model, probe.tokens, probe.targets, num_gradients=NUM_GRADIENTS)

    assert logit_error(series.source, ref, probe.tokens, truth.logits) <= written.logit_error

    with Session(series, probe, settings, Resources(device="cpu", batch_size=4)) as session:
        found = session.measure(ref, lambda *_: None)
    by_measurement = {name: found.select(name) for name in {s.measurement for s in found.spectra}}
    expected = {
        "activation_covariance": lambda site: truth.covariance_eigenvalues(site.layer),
        "gradient_matrix": truth.gradient_singular_values,
        "gradient_covariance": truth.gradient_eigenvalues,
        "weight": truth.weight_singular_values,
        "weight_update": truth.update_singular_values,
    }
    assert by_measurement.keys() == expected.keys() - (set() if written.model.before else {"weight_update"})
    for name, spectra in by_measurement.items():
        for spectrum in spectra:
            error = spectrum_error(spectrum, expected[name](spectrum.site))
            assert error <= written.spectrum_error, (name, spectrum.site.address)
    check_sites(written, found, by_measurement, num_blocks=len(truth.streams))


@torch.no_grad()
def logit_error(source, ref, tokens, expected):
    """Largest difference of the loaded model's float32 logits, of the largest of the writer's."""
    header = source.header(ref)
    model = find_family(header).build(header, source.open(ref), device=torch.device("cpu"))
    found = model.head(model.trunk(tokens))
    assert found.dtype == torch.float32
    return float((found - expected).abs().max() / expected.abs().max())


def spectrum_error(spectrum, expected):
    """Largest difference, of the largest value; values that were left out count as zero."""
    values = torch.zeros_like(expected)
    values[: len(spectrum.values)] = torch.from_numpy(spectrum.values.copy())
    return float((values - expected).abs().max() / expected.max())


def check_sites(written, found, by_measurement, *, num_blocks):
    """Every block and every matrix was measured, except what the writer hides from taps."""
    addresses = {
        name: {spectrum.site.address for spectrum in spectra} for name, spectra in by_measurement.items()
    }
    assert addresses["activation_covariance"] == {f"blocks.{i}.resid_post" for i in range(num_blocks)}
    hidden = {a for a in addresses["weight"] if a.split(".", 2)[-1] in written.untappable}
    assert addresses["gradient_matrix"] == addresses["weight"] - hidden
    assert addresses["gradient_covariance"] == addresses["gradient_matrix"]
    assert bool(hidden) == bool(written.untappable)
    seen = {spectrum.site.name.partition("[")[0] for spectrum in by_measurement["weight"]}
    notices = " ".join(found.info.notices)
    for name, parameter in written.model.parameters.items():
        if parameter.ndim > 1 and name not in seen | POSITIONS | PROJECTIONS and "bias" not in name:
            assert name.split(".", 3)[-1] in notices, f"{name} was not measured"


# no linear maps of the residual stream
POSITIONS = {"transformer.wpe.weight", "model.decoder.embed_positions.weight"}
PROJECTIONS = {"model.decoder.project_in.weight", "model.decoder.project_out.weight"}
