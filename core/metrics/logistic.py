"""Logistic regression without a penalty, for lines on the logits of probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

_CLIP = 1e-6  # logits of 0 and 1 are infinite; a float32 sigmoid saturates near here


@dataclass(frozen=True)
class LogisticFit:
    """The most likely coefficients.

    Attributes:
        coefficients: float64 (k,).
        covariance: float64 (k, k), inverse of the information.
    """

    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]


def logits_of(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits of probabilities clipped to [1e-6, 1 - 1e-6]; the result has their shape."""
    return np.asarray(logit(np.clip(probability, _CLIP, 1 - _CLIP)))


def fit_logistic(
    design: NDArray[np.float64], target: NDArray[np.float64], offset: NDArray[np.float64] | None = None
) -> LogisticFit:
    """Maximise the likelihood; the search is quick where coefficients are near 1.

    Args:
        design: float64 (n, k). The caller sees to it that a maximum exists.
        target: float64 (n,), outcomes 0 and 1, or shares between them.
        offset: float64 (n,), added to every logit; None = 0.
    """
    added = np.zeros(len(design)) if offset is None else offset

    def loss(coefficients: NDArray[np.float64]) -> float:
        logits = design @ coefficients + added
        return float(np.mean(np.logaddexp(0, logits) - target * logits))

    def gradient(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(design.T @ (expit(design @ coefficients + added) - target) / len(design))

    def information(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        stated = expit(design @ coefficients + added)
        return np.asarray((design * (stated * (1 - stated))[:, np.newaxis]).T @ design / len(design))

    start = np.zeros(design.shape[1])
    fit = minimize(loss, start, jac=gradient, hess=information, method="trust-exact", options={"gtol": 1e-9})
    return LogisticFit(np.asarray(fit.x), np.linalg.inv(information(fit.x)) / len(design))
