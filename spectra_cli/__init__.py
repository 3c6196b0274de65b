"""Layerwise activation, gradient and weight spectra of a series of language-model checkpoints."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "CheckpointRef",
    "ScanRequest",
    "ScanSettings",
    "Site",
    "Spectrum",
    "__version__",
    "inspect",
    "open_archive",
    "resolve_settings",
    "scan",
    "show",
    "summarise",
    "validate",
]

if TYPE_CHECKING:
    from spectra_cli.archive.reader import open_archive
    from spectra_cli.core.scan_request import ScanRequest
    from spectra_cli.core.settings import ScanSettings, resolve_settings
    from spectra_cli.core.types import CheckpointRef, Site, Spectrum
    from spectra_cli.statistics.summarise import summarise
    from spectra_cli.workflows.inspect import inspect
    from spectra_cli.workflows.scan import scan
    from spectra_cli.workflows.show import show
    from spectra_cli.workflows.validate import validate
else:
    # Found when first asked for: `spectra --help` must not wait for numpy, nor `show` for torch.
    _HOMES = {
        "CheckpointRef": "core.types",
        "ScanRequest": "core.scan_request",
        "ScanSettings": "core.settings",
        "Site": "core.types",
        "Spectrum": "core.types",
        "inspect": "workflows.inspect",
        "open_archive": "archive.reader",
        "resolve_settings": "core.settings",
        "scan": "workflows.scan",
        "show": "workflows.show",
        "summarise": "statistics.summarise",
        "validate": "workflows.validate",
    }

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
