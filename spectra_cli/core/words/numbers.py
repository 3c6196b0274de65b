"""Numbers as a reader wants them: a value with its standard error, counts and sizes with a unit."""

from __future__ import annotations

import math
import re

from spectra_cli.core.errors import UsageError

# Powers of ten and of two that a unit stands for.
_UNITS = {"": (0, 0), "K": (3, 10), "M": (6, 20), "G": (9, 30), "T": (12, 40)}
# A number without a unit below this forgot its unit: no model fits into it.
_FEWEST_BYTES = 10**6
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


def with_error(value: float, stderr: float, *, digits: int = 4) -> str:
    """A value with its standard error: two digits of an error that starts with 1 or 2, else one.

    >>> with_error(1.23456, 0.0123)
    '1.235±0.012'
    >>> with_error(151.97, 3.4)
    '152±3'
    >>> with_error(0.5, float("nan"))
    '0.5'
    """
    if not math.isfinite(value):
        return "-"
    if not math.isfinite(stderr):
        return f"{value:.{digits}g}"
    if stderr <= abs(value) * 1e-9:
        return f"{value:.{digits}g}±0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}±{stderr:.1g}"
    exponent = math.floor(math.log10(stderr))
    leads_low = stderr / 10.0**exponent < 3
    decimals = min(max(0, leads_low - exponent), 5)
    return f"{value:.{decimals}f}±{stderr:.{decimals}f}"


def count(number: int | None) -> str:
    """A count with a thousands' unit; a dash for one that nobody wrote down.

    >>> count(1_310_720)
    '1.31M'
    >>> count(None)
    '-'
    """
    if number is None:
        return "-"
    for power, unit in ((12, "T"), (9, "B"), (6, "M"), (3, "k")):
        # 999,500 and more would round to 1000 of the smaller unit
        if abs(number) >= 0.9995 * 10**power and abs(number) >= 1000:
            scaled = number / 10**power
            return f"{scaled:.3g}{unit}" if abs(scaled) < 999.5 else f"{scaled:.0f}{unit}"
    return str(number)


def size(num_bytes: int | None) -> str:
    """Memory in binary units.

    >>> size(3 * 2**30)
    '3.00 GiB'
    """
    if num_bytes is None:
        return "-"
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if num_bytes >= 2**power:
            return f"{num_bytes / 2**power:.2f} {unit}"
    return f"{num_bytes} B"


def memory_bytes(words: str) -> int:
    """Bytes of a size such as `8GiB`, `500MB` or plain `8000000000`.

    >>> memory_bytes("1.5GiB")
    1610612736
    >>> memory_bytes("8000000000")
    8000000000
    >>> memory_bytes("2GB")
    2000000000
    """
    match = _MEMORY.fullmatch(words.strip())
    if match is None:
        raise UsageError(f"--memory {words}: expected a size such as 8GiB, 500MB or 8000000000")
    number, unit, binary = match.groups()
    if not unit and float(number) < _FEWEST_BYTES:
        raise UsageError(f"--memory {words}: {number} bytes hold no model; expected a unit too, as in 8GiB")
    ten, two = _UNITS[unit.upper()]
    return int(float(number) * (2**two if binary else 10**ten))


def loss(value: float | None) -> str:
    """A loss in nats, or a dash."""
    return "-" if value is None else f"{value:.4f}"


def rate(value: float | None) -> str:
    """A learning rate, or a dash.

    >>> rate(0.0006), rate(None)
    ('0.0006', '-')
    """
    return "-" if value is None else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A stretch of time in its largest useful unit.

    >>> duration(0.034), duration(75), duration(8_000), duration(432_000)
    ('0.034 s', '75 s', '2.2 h', '5 days')
    """
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    number, unit = (hours, "h") if hours < 48 else (hours / 24, "days")
    return f"{number:.2g} {unit}" if number < 10 else f"{number:.0f} {unit}"


def target_words(target: float, axis: str = "loss") -> str:
    """A target as a reader writes it: counts of steps and tokens whole, losses with four decimals.

    >>> target_words(34406.4, "tokens"), target_words(3.2812), target_words(3.0)
    ('34406', '3.2812', '3')
    """
    return f"{target:.0f}" if axis != "loss" or target == round(target) else f"{target:.4f}"


def finite(number: float | None) -> float | None:
    """The number, or None where there is none: JSON and CSV know no NaN."""
    return None if number is None or not math.isfinite(number) else number
