"""How sure a measured success rate is."""

import math

Z = 1.96
"""Quantile of a 95 % interval."""


def wilson(successes: int, number: int) -> tuple[float, float]:
    """95 % interval of a success rate: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    p, zz = successes / number, Z * Z / number
    half = Z * math.sqrt(p * (1 - p) / number + zz / (4 * number))
    low, high = (p + zz / 2 - half) / (1 + zz), (p + zz / 2 + half) / (1 + zz)
    return max(0.0, low), min(1.0, high)  # where rounding left them outside
