"""Layerwise activation, gradient and weight spectra of a series of language-model checkpoints."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
