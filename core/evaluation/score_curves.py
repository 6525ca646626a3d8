"""ROC and precision-recall curves of a table of scores, thin enough to be drawn: a million cases have a million points."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from core.io.score_table import ScoreTable
from core.metrics.cases import ThresholdCounts, binary_cases, count_above_thresholds
from core.metrics.delong import auroc_interval
from core.metrics.precision_recall import PrecisionRecallCurve, precision_recall_curve
from core.metrics.proportions import wilson_interval
from core.metrics.roc import RocCurve

MOST_POINTS = 2000  # of a drawn curve: more than a screen has pixels
_BAND_POINTS = 500  # of the curve that is resampled
_BAND_RESAMPLES = 2000
_FEWEST_RESAMPLES = 200
_BAND_CELLS = 100_000_000  # patients x resamples: some seconds
_BLOCK_CELLS = 4_000_000  # patients x resamples held at once: 32 MB
_BAND_FPR = np.linspace(0.0, 1.0, 101)

Rates = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_of_table(table: ScoreTable, seed: int = 0) -> RocCurve:
    """ROC curve, AUROC and band as `core.metrics.roc.roc_curve`, for many cases and for patients with several.

    At most `MOST_POINTS` points of the curve are kept, evenly along it. The band resamples the cases of each class, or whole
    patients where some have several; it is never narrower than Wilson's interval, which counts patients where all or none of
    the positive cases are found.

    Args:
        table: Rows of one model.
        seed: Same seed, same band.

    Raises:
        UsageError: See `auroc_interval`.
    """
    cases = binary_cases(table.is_positive, table.score)
    auroc = auroc_interval(table.is_positive, table.score, table.patient)
    counts = count_above_thresholds(cases)
    fpr = np.append(0.0, counts.n_false_positive / cases.n_negative)
    tpr = np.append(0.0, counts.n_true_positive / cases.n_positive)
    kept = _evenly_along(fpr + tpr, MOST_POINTS)
    band = _band_curve(table, counts, _evenly_along(fpr + tpr, _BAND_POINTS), np.random.default_rng(seed))
    low, high = np.quantile(band, (0.025, 0.975), axis=0)
    n_ill = cases.n_positive if table.patient is None else len(np.unique(table.patient[table.is_positive]))
    wilson = []
    for value in np.interp(_BAND_FPR, fpr, tpr):
        trials = cases.n_positive if 0 < value < 1 else n_ill
        wilson.append(wilson_interval(value * trials, trials))
    low = np.minimum(low, [interval.low for interval in wilson])
    low[-1] = 1.0  # everybody is called positive there, whatever the cases
    return RocCurve(
        fpr=fpr[kept],
        tpr=tpr[kept],
        thresholds=np.append(np.inf, counts.threshold)[kept],
        auroc=auroc,
        band_fpr=_BAND_FPR.copy(),
        band_low=low,
        band_high=np.maximum(high, [interval.high for interval in wilson]),
        n_positive=cases.n_positive,
        n_negative=cases.n_negative,
    )


def precision_recall_of_table(table: ScoreTable) -> PrecisionRecallCurve:
    """As `precision_recall_curve`, with at most `MOST_POINTS` points: half of them evenly along recall, half among the few cases
    with the highest scores, where precision still leaps.

    Raises:
        UsageError: See `binary_cases`.
    """
    curve = precision_recall_curve(table.is_positive, table.score)
    last = curve.recall.size - 1
    if last < MOST_POINTS:
        return curve
    half = MOST_POINTS // 2
    first = np.unique(np.geomspace(1, last, half - 1).astype(np.int64))
    kept = np.union1d(np.append(0, first), _evenly_along(curve.recall, half))
    return replace(curve, precision=curve.precision[kept], recall=curve.recall[kept], thresholds=curve.thresholds[kept])


def _evenly_along(way: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Places of at most `most` points, the first and the last among them, evenly along a way that never falls."""
    if way.size <= most:
        return np.arange(way.size)
    wanted = np.linspace(way[0], way[-1], most - 1)
    return np.union1d(np.searchsorted(way, wanted), way.size - 1).astype(np.int64)


def _band_curve(
    table: ScoreTable, counts: ThresholdCounts, kept: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sensitivity at `_BAND_FPR` of every resample: float64 (r, 101); resamples without a class are left out."""
    ends = kept[1:] - 1  # places among the distinct scores; the first kept point is "nobody"
    has_several = table.patient is not None and len(np.unique(table.patient)) < table.patient.size
    if has_several:
        tpr, fpr = _rates_of_patients(table, counts.threshold[ends], rng)
    else:
        tpr = _rates_of_cases(counts.n_true_positive[ends], rng)
        fpr = _rates_of_cases(counts.n_false_positive[ends], rng)
    # np.interp takes the upper end of a vertical step, as the empirical curve does.
    return np.stack([np.interp(_BAND_FPR, own_fpr, own_tpr) for own_tpr, own_fpr in zip(tpr, fpr, strict=True)])


def _rates_of_cases(n_above: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of a resampled class at or above each threshold, with a leading 0: float64 (r, t + 1).

    Cases between the same two thresholds are alike to the curve, so that their number is drawn at once.
    """
    inside = np.diff(n_above, prepend=0)
    n = int(n_above[-1])
    drawn = rng.multinomial(n, inside / n, size=_BAND_RESAMPLES)
    return np.insert(np.cumsum(drawn, axis=1) / n, 0, 0.0, axis=1)


def _rates_of_patients(table: ScoreTable, thresholds: NDArray[np.float64], rng: np.random.Generator) -> Rates:
    """The same of both classes, with whole patients drawn."""
    assert table.patient is not None
    n_steps = thresholds.size
    step = n_steps - np.searchsorted(thresholds[::-1], table.score, side="right")  # 0 = highest scores
    _, patient = np.unique(table.patient, return_inverse=True)
    n_patients = int(patient.max()) + 1
    cells = (patient, step + np.where(table.is_positive, 0, n_steps))
    held = csr_matrix((np.ones(patient.size), cells), shape=(n_patients, 2 * n_steps)).T.tocsr()
    n_resamples = int(np.clip(_BAND_CELLS // n_patients, _FEWEST_RESAMPLES, _BAND_RESAMPLES))
    block = max(1, _BLOCK_CELLS // n_patients)
    drawn = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        copies = [np.bincount(rng.integers(0, n_patients, n_patients), minlength=n_patients) for _ in range(size)]
        drawn.append((held @ np.stack(copies, axis=1).astype(np.float64)).T)
    counts = np.concatenate(drawn)
    classes = [np.insert(np.cumsum(own, axis=1), 0, 0.0, axis=1) for own in (counts[:, :n_steps], counts[:, n_steps:])]
    has_both = np.all([own[:, -1] > 0 for own in classes], axis=0)
    tpr, fpr = (own[has_both] / own[has_both, -1:] for own in classes)
    return tpr, fpr
