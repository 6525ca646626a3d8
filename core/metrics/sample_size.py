"""How many cases an evaluation needs for a 95 % interval of a wanted width.

All answers are expectations: they take the stated sensitivity, specificity or AUROC for the true one, the stated prevalence for
the share of positives that will come, and every case for another patient. Plan some more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from core.errors import UsageError
from core.metrics.proportions import Z95, wilson_interval

Method = Literal["wilson", "buderer"]
_ROUNDING = 1e-9  # so that 30 cases of 0.1 are 300, and a width is met by itself
_MOST_CASES = 10**12  # beyond this no set of images exists, and a search need not go on


@dataclass(frozen=True)
class SampleSize:
    """Cases needed, of each class and in all where they come at the stated prevalence."""

    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def cases_for_sensitivity(
    sensitivity: float, half_width: float, prevalence: float, method: Method = "wilson"
) -> SampleSize:
    """Cases for an interval of sensitivity.

    "wilson" takes half the width of Wilson's interval, the one that reports print; it also has an answer for 1. "buderer" takes
    the normal interval (Buderer, Acad Emerg Med 1996;3:895), which many protocols cite; near 1 it asks for too few cases. The
    positives are divided by the prevalence as Buderer does, and both numbers are rounded up.

    Args:
        sensitivity: The one expected, from 0 to 1; for "buderer" strictly between.
        half_width: Wanted distance from the middle of the interval to its ends, strictly between 0 and 0.5.
        prevalence: Share of positives among the cases to come, strictly between 0 and 1.
        method: "wilson" or "buderer".

    Raises:
        UsageError: A number out of its range, an unknown method, or more cases than can be counted.
    """
    n_positive = _cases_of_class("sensitivity", sensitivity, half_width, prevalence, method)
    return SampleSize(n_positive, _round_up(n_positive / prevalence) - n_positive)


def cases_for_specificity(
    specificity: float, half_width: float, prevalence: float, method: Method = "wilson"
) -> SampleSize:
    """Cases for an interval of specificity; as `cases_for_sensitivity`, with the negatives.

    Args:
        specificity: The one expected, from 0 to 1; for "buderer" strictly between.
        half_width: See `cases_for_sensitivity`.
        prevalence: See `cases_for_sensitivity`.
        method: See `cases_for_sensitivity`.

    Raises:
        UsageError: See `cases_for_sensitivity`.
    """
    n_negative = _cases_of_class("specificity", specificity, half_width, prevalence, method)
    return SampleSize(_round_up(n_negative / (1 - prevalence)) - n_negative, n_negative)


def cases_for_auroc(auroc: float, half_width: float, prevalence: float) -> SampleSize:
    """Fewest cases for a normal interval of an AUROC with the standard error of Hanley & McNeil (`auroc_standard_error`).

    Args:
        auroc: The one expected, from 0.5 to below 1.
        half_width: See `cases_for_sensitivity`.
        prevalence: See `cases_for_sensitivity`; positives are rounded down, and there are at least two of each class.

    Raises:
        UsageError: A number out of its range, or more cases than can be counted.
    """
    _check_plan("an AUROC", auroc, half_width, prevalence)
    if not 0.5 <= auroc < 1:
        raise UsageError(f"an AUROC of {auroc}")

    def classes(n: int) -> tuple[int, int]:
        n_positive = int(n * prevalence + _ROUNDING)
        return n_positive, n - n_positive

    def is_enough(n: int) -> bool:
        counts = classes(n)
        return min(counts) >= 2 and Z95 * auroc_standard_error(auroc, *counts) <= half_width * (1 + _ROUNDING)

    return SampleSize(*classes(_fewest(is_enough)))


def auroc_standard_error(auroc: float, n_positive: int, n_negative: int) -> float:
    """Standard error of an AUROC from its value alone (Hanley & McNeil, Radiology 1982;143:29), for exponential scores.

    Args:
        auroc: From 0 to 1.
        n_positive, n_negative: At least 1.

    Raises:
        UsageError: A number out of its range.
    """
    if not 0 <= auroc <= 1 or min(n_positive, n_negative) < 1:
        raise UsageError(f"an AUROC of {auroc} of {n_positive} positive and {n_negative} negative cases")
    two_positives = auroc / (2 - auroc)  # chance that both of two positives score above one negative
    two_negatives = 2 * auroc**2 / (1 + auroc)  # chance that one positive scores above both of two negatives
    variance = auroc * (1 - auroc)
    variance += (n_positive - 1) * (two_positives - auroc**2) + (n_negative - 1) * (two_negatives - auroc**2)
    return sqrt(max(0.0, variance) / (n_positive * n_negative))


def _cases_of_class(name: str, share: float, half_width: float, prevalence: float, method: Method) -> int:
    _check_plan(f"a {name}", share, half_width, prevalence)
    if method == "buderer":
        if share in (0, 1):
            raise UsageError(f"a {name} of {share}: its normal interval has no width, however few the cases")
        return _round_up(Z95**2 * share * (1 - share) / half_width**2)
    if method != "wilson":
        raise UsageError(f"the method {method!r}")

    def is_enough(n: int) -> bool:
        interval = wilson_interval(share * n, n)
        return (interval.high - interval.low) / 2 <= half_width * (1 + _ROUNDING)

    return _fewest(is_enough)


def _check_plan(what: str, value: float, half_width: float, prevalence: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{what} of {value}")
    if not 0 < half_width < 0.5:
        raise UsageError(f"a half-width of {half_width}")
    if not 0 < prevalence < 1:
        raise UsageError(f"a prevalence of {prevalence}")


def _round_up(n: float) -> int:
    if not n < _MOST_CASES:
        raise UsageError(f"{n:.3g} cases")
    return ceil(n * (1 - _ROUNDING))


def _fewest(is_enough: Callable[[int], bool]) -> int:
    """Least number that is enough, where every greater one is, too."""
    high = 1
    while not is_enough(high):
        high *= 2
        if high > _MOST_CASES:
            raise UsageError(f"more than {_MOST_CASES:.0e} cases")
    low = high // 2  # is not enough, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
