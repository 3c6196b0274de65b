"""Numbers at the ticks of an axis, in plain text: none of them is read as a formula."""

from __future__ import annotations

import math

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(number: float) -> str:
    """A tick of a logarithmic axis: small powers in full, others raised; none between the powers.

    >>> power_of_ten(100.0), power_of_ten(1e-7), power_of_ten(20.0)
    ('100', '10⁻⁷', '')
    """
    power = round(math.log10(number)) if number > 0 else 0
    if number <= 0 or not math.isclose(number, 10.0**power):
        return ""
    return f"{10.0**power:g}" if -2 <= power <= 4 else f"10{str(power).translate(_RAISED)}"


def plain(number: float) -> str:
    """A tick of any other axis: thousands with their unit.

    >>> plain(0.25), plain(1_500_000.0), plain(-20.0), plain(0.0)
    ('0.25', '1.5M', '−20', '0')
    """
    size = abs(number)
    for power, unit in ((12, "T"), (9, "B"), (6, "M"), (3, "k")):
        if size >= 10 * 10**power or (power > 3 and size >= 10**power):
            return f"{number / 10**power:.4g}{unit}".replace("-", "−")
    if 0 < size < 1e-3:
        digits, _, exponent = f"{number:.2e}".partition("e")
        return f"{float(digits):g}·10{str(int(exponent)).translate(_RAISED)}".replace("-", "−")
    return f"{number:.4g}".replace("-", "−")
