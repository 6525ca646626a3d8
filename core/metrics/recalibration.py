"""Maps that make a model's probabilities true to a hospital's own cases: temperature, Platt, isotonic.

Fit on one part of the cases, apply to another: on the part it was fitted on, a map looks better than it is. Every map rises or
stays level, so it never turns two cases round; a threshold chosen before must be mapped, too.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from core.errors import UsageError
from core.metrics.cases import BinaryCases, binary_cases

_CLIP = 1e-6  # as in the calibration report: logits of 0 and 1 are infinite; a float32 sigmoid saturates near here
_LEAST_INVERSE = 1e-9  # a temperature beyond its inverse makes every probability 0.5


@dataclass(frozen=True)
class TemperatureMap:
    """Logits divided by one number; leaves 0.5 where it is.

    Attributes:
        temperature: Above 0; above 1 makes probabilities less extreme.
    """

    method: ClassVar[str] = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"a temperature of {self.temperature}")

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(expit(_logits(_checked(probability)) / self.temperature))

    def parameters(self) -> dict[str, Any]:
        """What `recalibration_from` reads: JSON values."""
        return {"method": self.method, "temperature": self.temperature}


@dataclass(frozen=True)
class PlattMap:
    """A straight line on the logits.

    Attributes:
        slope: Above 0; below 1 makes probabilities less extreme.
        intercept: Below 0 makes them smaller.
    """

    method: ClassVar[str] = "platt"
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (isfinite(self.slope) and self.slope > 0 and isfinite(self.intercept)):
            raise UsageError(f"a line of slope {self.slope} and intercept {self.intercept}")

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(expit(self.slope * _logits(_checked(probability)) + self.intercept))

    def parameters(self) -> dict[str, Any]:
        """What `recalibration_from` reads: JSON values."""
        return {"method": self.method, "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True)
class IsotonicMap:
    """Straight pieces between knots, level beyond the first and the last. Ties many scores, and may state 0 and 1.

    Attributes:
        knots: Probabilities of the model, rising.
        values: What they become, rising or level; one a knot.
    """

    method: ClassVar[str] = "isotonic"
    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.knots) != len(self.values) or not self.knots:
            raise UsageError(f"{len(self.knots)} knots with {len(self.values)} values")
        if not all(0 <= number <= 1 for number in (*self.knots, *self.values)):
            raise UsageError("a knot or value outside 0 to 1")
        if any(b <= a for a, b in pairwise(self.knots)) or any(b < a for a, b in pairwise(self.values)):
            raise UsageError("knots that do not rise or values that fall")

    def apply(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Map probabilities; the result has their shape. Raises `UsageError` for one outside [0, 1]."""
        return np.asarray(np.interp(_checked(probability), self.knots, self.values), dtype=np.float64)

    def parameters(self) -> dict[str, Any]:
        """What `recalibration_from` reads: JSON values."""
        return {"method": self.method, "knots": list(self.knots), "values": list(self.values)}


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
    logits = _logits(cases.score)

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
    logits = _logits(cases.score)
    target = np.where(cases.is_positive, (cases.n_positive + 1) / (cases.n_positive + 2), 1 / (cases.n_negative + 2))
    # The slope of the likelihood at a level line has the sign of this, and the likelihood has one summit.
    if np.ptp(logits) == 0 or np.mean((logits - logits.mean()) * (target - target.mean())) <= 0:
        raise UsageError("probabilities that do not rise with the outcome")
    centre, scale = float(logits.mean()), float(logits.std())  # the search is quick only where slopes are near 1
    design = np.column_stack([(logits - centre) / scale, np.ones_like(logits)])

    def loss(line: NDArray[np.float64]) -> float:
        return float(np.mean(np.logaddexp(0, design @ line) - target * (design @ line)))

    def gradient(line: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(design.T @ (expit(design @ line) - target) / target.size)

    def curvature(line: NDArray[np.float64]) -> NDArray[np.float64]:
        stated = expit(design @ line)
        return np.asarray((design * (stated * (1 - stated))[:, np.newaxis]).T @ design / target.size)

    fit = minimize(loss, np.zeros(2), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-9})
    return PlattMap(float(fit.x[0]) / scale, float(fit.x[1]) - float(fit.x[0]) * centre / scale)


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


def recalibration_from(parameters: dict[str, Any]) -> Recalibration:
    """Read what `parameters()` of a map gave, perhaps through a JSON file.

    Raises:
        UsageError: An unknown method, a missing or further entry, or a value that its map refuses.
    """
    match parameters:
        case {"method": "temperature", "temperature": temperature, **further} if not further:
            return TemperatureMap(_number(temperature))
        case {"method": "platt", "slope": slope, "intercept": intercept, **further} if not further:
            return PlattMap(_number(slope), _number(intercept))
        case {"method": "isotonic", "knots": list(knots), "values": list(values), **further} if not further:
            return IsotonicMap(tuple(map(_number, knots)), tuple(map(_number, values)))
    raise UsageError("a recalibration of no known method, or with other entries than its method has")


def _number(entry: object) -> float:
    # The bound keeps whole numbers out that no float can hold.
    if isinstance(entry, bool) or not isinstance(entry, int | float) or not abs(entry) < 1e300:
        raise UsageError("a recalibration with an entry that is no finite number")
    return float(entry)


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


def _logits(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(probability, _CLIP, 1 - _CLIP)))
