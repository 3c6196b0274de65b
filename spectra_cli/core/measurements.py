"""What an archive may hold spectra of: one table of names, words, and what counts the samples."""

from __future__ import annotations

from dataclasses import dataclass

ACTIVATIONS = "activation_covariance"
GRADIENTS = "gradient_covariance"
GRADIENT_MATRIX = "gradient_matrix"
WEIGHTS = "weight"
WEIGHT_UPDATES = "weight_update"
WEIGHT_DRIFT = "weight_drift"
# what a scan makes both spectra of gradients with
GRADIENT = "gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementKind:
    """One kind of spectra.

    Attributes:
        name: in archives, tables and CSV.
        asked: the user's word, of `--measure`; empty where another word brings it.
        made_by: the measurement of a scan that makes it.
        words: in a sentence; title: of its table.
        samples: the setting that counts its samples; empty where it is made of parameters alone, and so
            exact: no probe, and no noise of one.
        compared: between two runs, where nobody asks for anything else.
    """

    name: str
    asked: str
    made_by: str
    words: str
    title: str
    samples: str = ""
    compared: bool = True


_KINDS = (
    MeasurementKind(
        name=ACTIVATIONS,
        asked="activations",
        made_by=ACTIVATIONS,
        words="activations",
        title="Activations (covariance eigenvalues, centred)",
        samples="num_sequences",
    ),
    MeasurementKind(
        name=GRADIENTS,
        asked="gradients",
        made_by=GRADIENT,
        words="gradients",
        title="Gradients per sequence (covariance eigenvalues, centred)",
        samples="num_gradient_sequences",
    ),
    MeasurementKind(
        name=GRADIENT_MATRIX,
        asked="uncentred-gradients",
        made_by=GRADIENT,
        words="uncentred gradients",
        title="Gradients per sequence (singular values, uncentred: the public protocol)",
        samples="num_gradient_sequences",
        compared=False,
    ),
    MeasurementKind(
        name=WEIGHTS, asked="weights", made_by=WEIGHTS, words="weights", title="Weights (singular values)"
    ),
    MeasurementKind(
        name=WEIGHT_UPDATES,
        asked="updates",
        made_by=WEIGHT_UPDATES,
        words="updates",
        title="Updates of adapters (singular values)",
    ),
    MeasurementKind(
        name=WEIGHT_DRIFT,
        asked="",
        made_by=WEIGHT_DRIFT,
        words="changes of weights",
        title="Changes of weights from the reference (singular values)",
        compared=False,
    ),
)
MEASUREMENTS = {kind.name: kind for kind in _KINDS}

# the user's word -> name in the archive
ASKED = {kind.asked: kind.name for kind in _KINDS if kind.asked}
# the user's word -> measurement of a scan
SCANNED = {kind.asked: kind.made_by for kind in _KINDS if kind.compared}
EXACT = tuple(kind.name for kind in _KINDS if not kind.samples)
PROBED = tuple(kind.name for kind in _KINDS if kind.samples)


def spectra_words(made_by: str) -> str:
    """The spectra that a measurement of a scan makes; the name itself where there are no words for it.

    >>> spectra_words("gradient"), spectra_words("curvature")
    ('spectra of gradients', 'spectra of curvature')
    """
    return f"spectra of {next((kind.words for kind in _KINDS if kind.made_by == made_by), made_by)}"


def measurement_words(name: str) -> str:
    """What was measured; the name itself where there are no words for it.

    >>> measurement_words("gradient_covariance"), measurement_words("curvature")
    ('gradients', 'curvature')
    """
    return MEASUREMENTS[name].words if name in MEASUREMENTS else name
