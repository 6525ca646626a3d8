"""An estimate with its 95 % interval, and Wilson's interval of a proportion."""

from dataclasses import dataclass
from math import sqrt

from core.errors import UsageError

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; `low <= value <= high` unless its maker says otherwise."""

    value: float
    low: float
    high: float


def wilson_interval(n_successes: float, n: int) -> Interval:
    """Wilson's score interval of a proportion, without continuity correction.

    Unlike the normal interval it stays inside [0, 1] and keeps a width when all or none succeed. Wilson, J Am Stat Assoc
    1927;22:209; recommended by Brown, Cai & DasGupta, Stat Sci 2001;16:101.

    Args:
        n_successes: 0 to `n`; may be fractional where a proportion was interpolated.
        n: Number of trials, at least 1.

    Raises:
        UsageError: `n` is below 1 or `n_successes` lies outside 0 to `n`.
    """
    if n < 1 or not 0 <= n_successes <= n:
        raise UsageError(f"a proportion of {n_successes} in {n}")
    proportion = n_successes / n
    spread = Z95 * sqrt(proportion * (1 - proportion) / n + Z95**2 / (4 * n**2))
    centre = proportion + Z95**2 / (2 * n)
    scale = 1 + Z95**2 / n
    # The outer bounds only take away rounding: at 0 and n the formula gives 0 and 1 up to the last bit.
    low = max(0.0, min(proportion, (centre - spread) / scale))
    high = min(1.0, max(proportion, (centre + spread) / scale))
    return Interval(proportion, low, high)
