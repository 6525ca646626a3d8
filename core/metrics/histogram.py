"""Where the scores of both classes lie, on one grid of bins."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import UsageError
from core.metrics.cases import binary_cases


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts a bin and class.

    Attributes:
        edges: float64 (b + 1,), equally spaced.
        negatives, positives: int64 (b,), cases whose score lies in each bin (the last bin holds its right edge).
        n_negative, n_positive: Totals.
    """

    edges: NDArray[np.float64]
    negatives: NDArray[np.int64]
    positives: NDArray[np.int64]
    n_negative: int
    n_positive: int


def score_histogram(y_true: ArrayLike, y_score: ArrayLike, n_bins: int = 25) -> ScoreHistogram:
    """Histogram of both classes; the grid spans [0, 1], or the scores where they reach beyond.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        n_bins: At least 1.

    Raises:
        UsageError: See `binary_cases`; or fewer than one bin.
    """
    cases = binary_cases(y_true, y_score)
    if n_bins < 1:
        raise UsageError(f"{n_bins} bins")
    edges = np.linspace(min(0.0, cases.score.min()), max(1.0, cases.score.max()), n_bins + 1)
    return ScoreHistogram(
        edges=edges,
        negatives=np.histogram(cases.score[~cases.is_positive], edges)[0].astype(np.int64),
        positives=np.histogram(cases.score[cases.is_positive], edges)[0].astype(np.int64),
        n_negative=cases.n_negative,
        n_positive=cases.n_positive,
    )
