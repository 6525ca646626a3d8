"""The ROC curve with its AUROC and a 95 % band."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from core.metrics.cases import (
    BinaryCases,
    ThresholdCounts,
    binary_cases,
    count_above_thresholds,
    evenly_along,
    patient_index,
)
from core.metrics.delong import auroc_interval
from core.metrics.proportions import Interval, wilson_interval

BAND_RESAMPLES = 2000  # as pROC's default: the 2.5 % quantile then rests on 50 resamples
_BAND_POINTS = 500  # of the curve that is resampled
_FEWEST_RESAMPLES = 200
_BAND_CELLS = 100_000_000  # patients x resamples: some seconds
_BLOCK_CELLS = 4_000_000  # patients x resamples held at once: 32 MB
_BAND_FPR = np.linspace(0.0, 1.0, 101)

Rates = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class RocCurve:
    """An ROC curve; a point says: this many are called positive at `thresholds[i]` or more.

    Attributes:
        fpr, tpr: float64 (t + 1,), rising from (0, 0) to (1, 1).
        thresholds: float64 (t + 1,), falling; the first is infinity (nobody is positive).
        auroc: Area with its 95 % interval, see `auroc_interval`.
        band_fpr: float64 (101,), the grid of the band.
        band_low, band_high: float64 (101,), pointwise 95 % limits of the sensitivity at each `band_fpr`.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    auroc: Interval
    band_fpr: NDArray[np.float64]
    band_low: NDArray[np.float64]
    band_high: NDArray[np.float64]
    n_positive: int
    n_negative: int

    @property
    def n_cases(self) -> int:
        """All cases."""
        return self.n_positive + self.n_negative


def roc_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    patients: ArrayLike | None = None,
    most_points: int | None = None,
    n_resamples: int = BAND_RESAMPLES,
    seed: int = 0,
) -> RocCurve:
    """ROC curve, AUROC and band.

    The band is pointwise: percentiles of the sensitivity at fixed specificities over bootstrap resamples stratified by class,
    as `ci.se` of R's pROC (Robin et al., BMC Bioinformatics 2011;12:77), or over resamples of whole patients where some have
    several cases. Of a long curve `_BAND_POINTS` points are resampled. The band is never narrower than Wilson's interval of the
    sensitivity there, because the percentiles collapse where the observed sensitivity is 0 or 1; there Wilson counts patients.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        patients: (n,), anything that is equal for cases of one patient; None = every case is another patient.
        most_points: Of the curve, at least two and evenly along it; None = all. AUROC and band are those of all cases.
        n_resamples: Bootstrap resamples of the band; fewer are drawn of very many patients.
        seed: Same seed, same band.

    Raises:
        UsageError: See `auroc_interval`.
    """
    cases = binary_cases(y_true, y_score)
    auroc = auroc_interval(y_true, y_score, patients)
    patient = np.arange(cases.score.size) if patients is None else patient_index(patients, cases.score.size)
    counts = count_above_thresholds(cases)
    fpr = np.append(0.0, counts.n_false_positive / cases.n_negative)
    tpr = np.append(0.0, counts.n_true_positive / cases.n_positive)
    kept = np.arange(fpr.size) if most_points is None else evenly_along(fpr + tpr, most_points)
    rng = np.random.default_rng(seed)
    band = _band_curves(cases, patient, counts, evenly_along(fpr + tpr, _BAND_POINTS), n_resamples, rng)
    low, high = np.quantile(band, (0.025, 0.975), axis=0)
    n_ill = len(np.unique(patient[cases.is_positive]))
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


def _band_curves(
    cases: BinaryCases,
    patient: NDArray[np.int64],
    counts: ThresholdCounts,
    kept: NDArray[np.int64],
    n_resamples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Sensitivity at `_BAND_FPR` of every resample: float64 (r, 101); resamples without a class are left out."""
    ends = kept[1:] - 1  # places among the distinct scores; the first kept point is "nobody"
    if len(np.unique(patient)) < patient.size:
        tpr, fpr = _rates_of_patients(cases, patient, counts.threshold[ends], n_resamples, rng)
    else:
        tpr = _rates_of_cases(counts.n_true_positive[ends], n_resamples, rng)
        fpr = _rates_of_cases(counts.n_false_positive[ends], n_resamples, rng)
    # np.interp takes the upper end of a vertical step, as the empirical curve does.
    return np.stack([np.interp(_BAND_FPR, own_fpr, own_tpr) for own_tpr, own_fpr in zip(tpr, fpr, strict=True)])


def _rates_of_cases(n_above: NDArray[np.int64], n_resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of a resampled class at or above each threshold, with a leading 0: float64 (r, t + 1).

    Cases between the same two thresholds are alike to the curve, so that their number is drawn at once.
    """
    inside = np.diff(n_above, prepend=0)
    n = int(n_above[-1])
    drawn = rng.multinomial(n, inside / n, size=n_resamples)
    return np.insert(np.cumsum(drawn, axis=1) / n, 0, 0.0, axis=1)


def _rates_of_patients(
    cases: BinaryCases,
    patient: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    n_resamples: int,
    rng: np.random.Generator,
) -> Rates:
    """The same of both classes, with whole patients drawn."""
    n_steps, n_patients = thresholds.size, int(patient.max()) + 1
    step = n_steps - np.searchsorted(thresholds[::-1], cases.score, side="right")  # 0 = highest scores
    cells = (patient, step + np.where(cases.is_positive, 0, n_steps))
    held = csr_matrix((np.ones(patient.size), cells), shape=(n_patients, 2 * n_steps)).T.tocsr()
    n_drawn = min(n_resamples, max(_FEWEST_RESAMPLES, _BAND_CELLS // n_patients))
    block = max(1, _BLOCK_CELLS // n_patients)
    drawn = []
    for start in range(0, n_drawn, block):
        size = min(block, n_drawn - start)
        copies = [np.bincount(rng.integers(0, n_patients, n_patients), minlength=n_patients) for _ in range(size)]
        drawn.append((held @ np.stack(copies, axis=1).astype(np.float64)).T)
    found = np.concatenate(drawn)
    classes = [np.insert(np.cumsum(own, axis=1), 0, 0.0, axis=1) for own in (found[:, :n_steps], found[:, n_steps:])]
    has_both = np.all([own[:, -1] > 0 for own in classes], axis=0)
    tpr, fpr = (own[has_both] / own[has_both, -1:] for own in classes)
    return tpr, fpr
