"""Maps that make a model's probabilities true to a hospital's own cases: temperature, Platt, isotonic.

Fit on one part of the cases, apply to another: on the part it was fitted on, a map looks better than it is. Every map rises or
stays level, so it never turns two cases round; a threshold chosen before must be mapped, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from core.errors import UsageError
from core.metrics.cases import BinaryCases, binary_cases
from core.metrics.logistic import fit_logistic, logits_of

_LEAST_INVERSE = 1e-9  # a temperature beyond its inverse makes every probability 0.5


@dataclass(frozen=True)
class TemperatureMap:
    """Logits divided by one number; leaves 0.5 where it is.

    Attributes:
        temperature: Above 0; above 1 makes probabilities less extreme.
    """

    temperature: float

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(expit(logits_of(_checked(probability)) / self.temperature))


@dataclass(frozen=True)
class PlattMap:
    """A straight line on the logits.

    Attributes:
        slope: Above 0; below 1 makes probabilities less extreme.
        intercept: Below 0 makes them smaller.
    """

    slope: float
    intercept: float

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(expit(self.slope * logits_of(_checked(probability)) + self.intercept))


@dataclass(frozen=True)
class IsotonicMap:
    """Straight pieces between knots, level beyond the first and the last. Ties many scores, and may state 0 and 1.

    Attributes:
        knots: Probabilities of the model, rising.
        values: What they become, rising or level; one a knot.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(np.interp(_checked(probability), self.knots, self.values), dtype=np.float64)


Recalibration = TemperatureMap | PlattMap | IsotonicMap


def fit_temperature(y_true: ArrayLike, probability: ArrayLike) -> TemperatureMap:
    """Most likely temperature (Guo, Pleiss, Sun & Weinberger, ICML 2017;70:1321).

    Args:
        y_true: (n,), 0 or 1.
        probability: (n,), in [0, 1]; clipped to [1e-6, 1 - 1e-6] for the logit, here and by the map.

    Raises:
        UsageError: See `binary_cases`; a probability outside [0, 1]; or no temperature is the most likely one: every case lies on
            its right side of 0.5, or the probabilities do not rise with the outcome.
    """
    cases = _fitting_cases(y_true, probability)
    logits = logits_of(cases.score)

    def slope_of_loss(inverse: float) -> float:
        """Derivative of the mean log loss by the inverse temperature; it rises, so its root is the minimum."""
        return float(np.mean(logits * (expit(inverse * logits) - cases.is_positive)))

    if slope_of_loss(_LEAST_INVERSE) >= 0:
        raise UsageError("probabilities that do not rise with the outcome")
    if not (np.where(cases.is_positive, -logits, logits) > 0).any():
        raise UsageError("every case on its right side of 0.5: the colder, the likelier")
    high = 1.0
    while slope_of_loss(high) <= 0:
        high *= 2
    return TemperatureMap(1 / float(brentq(slope_of_loss, _LEAST_INVERSE, high, xtol=1e-12)))


def fit_platt(y_true: ArrayLike, probability: ArrayLike) -> PlattMap:
    """Logistic regression on the logit with Platt's targets (Platt, Advances in Large Margin Classifiers 1999:61).

    The targets lie a little inside 0 and 1, by one case more of each outcome, so that a finite line exists where the classes are
    fully separated. With many cases it is the line of the slope and intercept of logistic recalibration.

    Args:
        y_true: (n,), 0 or 1.
        probability: (n,), in [0, 1]; clipped to [1e-6, 1 - 1e-6] for the logit, here and by the map.

    Raises:
        UsageError: See `binary_cases`; a probability outside [0, 1], or probabilities that do not rise with the outcome.
    """
    cases = _fitting_cases(y_true, probability)
    logits = logits_of(cases.score)
    target = np.where(cases.is_positive, (cases.n_positive + 1) / (cases.n_positive + 2), 1 / (cases.n_negative + 2))
    # The slope of the likelihood at a level line has the sign of this, and the likelihood has one summit.
    if np.ptp(logits) == 0 or np.mean((logits - logits.mean()) * (target - target.mean())) <= 0:
        raise UsageError("probabilities that do not rise with the outcome")
    centre, scale = float(logits.mean()), float(logits.std())  # the search is quick only where slopes are near 1
    design = np.column_stack([(logits - centre) / scale, np.ones_like(logits)])
    slope, intercept = fit_logistic(design, target).coefficients
    if slope <= 0:  # so little that the search stopped before it
        raise UsageError("probabilities that do not rise with the outcome")
    return PlattMap(float(slope / scale), float(intercept - slope * centre / scale))


def fit_isotonic(y_true: ArrayLike, probability: ArrayLike) -> IsotonicMap:
    """Rising steps of least squares (Zadrozny & Elkan, KDD 2002:694), joined by straight lines as scikit-learn does.

    It follows chance where cases are few: Niculescu-Mizil & Caruana (ICML 2005:625) found it better than Platt's line from about
    1000 cases on.

    Args:
        y_true: (n,), 0 or 1.
        probability: (n,), in [0, 1].

    Raises:
        UsageError: See `binary_cases`; a probability outside [0, 1], or probabilities that do not rise with the outcome.
    """
    cases = _fitting_cases(y_true, probability)
    fit = IsotonicRegression(y_min=0.0, y_max=1.0).fit(cases.score, cases.is_positive.astype(np.float64))
    if np.ptp(fit.y_thresholds_) == 0:
        raise UsageError("probabilities that do not rise with the outcome")
    return IsotonicMap(tuple(fit.X_thresholds_.tolist()), tuple(fit.y_thresholds_.tolist()))


def _fitting_cases(y_true: ArrayLike, probability: ArrayLike) -> BinaryCases:
    cases = binary_cases(y_true, probability)
    _checked(cases.score)
    return cases


def _checked(probability: ArrayLike) -> NDArray[np.float64]:
    checked = np.asarray(probability, dtype=np.float64)
    n_outside = np.count_nonzero(~((checked >= 0) & (checked <= 1)))  # not-a-number is outside, too
    if n_outside:
        raise UsageError(f"{n_outside} of {checked.size} probabilities outside 0 to 1")
    return checked
