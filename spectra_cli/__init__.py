"""Layerwise activation, gradient and weight spectra of a series of language-model checkpoints.

    import spectra_cli as spectra

    spectra.scan("runs/a", probe="validation.bin")
    run = spectra.open("runs/a")
    run.table(statistics="rankme_cov").to_pandas()

docs/reference/python.md has every name. A function has the words and defaults of the command of its name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "MeasuredRun",
    "MeasuredSpectrum",
    "MeasurementOptions",
    "ScanOptions",
    "ScanProgress",
    "SpectraError",
    "TidyTable",
    "__version__",
    "callback",
    "compare",
    "document",
    "drift",
    "export",
    "forecast",
    "inspect",
    "open",
    "phases",
    "plot",
    "report",
    "scan",
    "show",
    "table",
    "validate",
]

if TYPE_CHECKING:
    from spectra_cli.api.asked.options import MeasurementOptions, ScanOptions
    from spectra_cli.api.callback import callback
    from spectra_cli.api.compare import compare
    from spectra_cli.api.drift import drift
    from spectra_cli.api.export import export
    from spectra_cli.api.forecast import forecast
    from spectra_cli.api.inspect import inspect
    from spectra_cli.api.phases import phases
    from spectra_cli.api.plot import plot
    from spectra_cli.api.report import report
    from spectra_cli.api.scan import scan
    from spectra_cli.api.show import show
    from spectra_cli.api.shown import document, table
    from spectra_cli.api.validate import validate
    from spectra_cli.api.values.run import MeasuredRun, open  # noqa: A004 - as gzip has an `open`
    from spectra_cli.api.values.spectrum import MeasuredSpectrum
    from spectra_cli.api.values.tidy_table import TidyTable
    from spectra_cli.core.errors import SpectraError
    from spectra_cli.workflows.scan import ScanProgress
else:
    # Found when first asked for: `spectra --help` must not wait for numpy, nor `show` for torch.
    _HOMES = {
        "MeasuredRun": "api.values.run",
        "MeasuredSpectrum": "api.values.spectrum",
        "MeasurementOptions": "api.asked.options",
        "ScanOptions": "api.asked.options",
        "ScanProgress": "workflows.scan",
        "SpectraError": "core.errors",
        "TidyTable": "api.values.tidy_table",
        "callback": "api.callback",
        "compare": "api.compare",
        "document": "api.shown",
        "drift": "api.drift",
        "export": "api.export",
        "forecast": "api.forecast",
        "inspect": "api.inspect",
        "open": "api.values.run",
        "phases": "api.phases",
        "plot": "api.plot",
        "report": "api.report",
        "scan": "api.scan",
        "show": "api.show",
        "table": "api.shown",
        "validate": "api.validate",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import_module(f"{__name__}.api.shown")  # results show themselves from here on
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
