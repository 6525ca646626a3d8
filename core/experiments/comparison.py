"""Can the best arms be told apart? The best one against each other arm, on the same unseen patients."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.experiments.summary import UNSEEN
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.paired import flip_test
from core.metrics.proportions import Interval

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """The best arm against another one.

    Attributes:
        best, other: Arms.
        difference: Of the mean mark on the unseen cases, best less other; the interval resamples patients.
        p_value: Of no difference, see `metrics.paired.flip_test`.
        p_holm: The same, adjusted by Holm's method (Scand J Stat 1979;6:65) for all arms that are compared.
        n_cases, n_patients: Cases that both answered.
    """

    best: str
    other: str
    difference: Interval
    p_value: float
    p_holm: float
    n_cases: int
    n_patients: int

    @property
    def are_apart(self) -> bool:
        """Whether the two can be told apart."""
        return self.p_holm < LEVEL


def compared(folder: Path, arms: Sequence[str], protocol: str) -> list[Comparison]:
    """The arm of the highest mean mark against each other arm; empty where there is no such file, or only one arm.

    Marks are means over seeds and folds. The best arm was found on these very cases, which flatters it.

    Args:
        folder: Of results.
        arms: In order.
        protocol: Whose networks answer.

    Raises:
        UsageError: The file is of another form.
    """
    if not (folder / UNSEEN).is_file():
        return []
    try:
        patients, marks = _read(folder / UNSEEN, arms, protocol)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{UNSEEN} of {folder.name} is of another form: run the experiment again") from error
    means = {arm: float(np.nanmean(own)) for arm, own in marks.items()}
    if len(means) < 2:
        return []
    best = max(means, key=means.__getitem__)
    found = [_pair(best, other, marks[best] - marks[other], patients) for other in means if other != best]
    return _adjusted(found)


def _read(path: Path, arms: Sequence[str], protocol: str) -> tuple[NDArray[np.str_], dict[str, NDArray[np.float64]]]:
    """Patient of every case, and by arm the mean mark of every case; NaN = none."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    marks = {}
    for arm in arms:
        names = [name for name in rows[0] if name.startswith(f"{arm} | {protocol} | ")]
        cells = np.array([[float(row[name] or "nan") for name in names] for row in rows])
        finished = cells[:, ~np.isnan(cells).all(axis=0)]  # a run that diverged answered nothing
        if finished.size:
            marks[arm] = finished.mean(axis=1)
    return np.array([row["patient"] for row in rows]), marks


def _pair(best: str, other: str, difference: NDArray[np.float64], patients: NDArray[np.str_]) -> Comparison:
    known = ~np.isnan(difference)
    values, own = difference[known], patients[known]

    def statistic(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(copies @ values / copies.sum(axis=1))

    interval = bootstrap_by_copies(statistic, own).interval
    p_value = flip_test(values, own)
    return Comparison(best, other, interval, p_value, p_value, len(values), len(set(own)))


def _adjusted(found: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's p-values, in the order given."""
    order = sorted(range(len(found)), key=lambda place: found[place].p_value)
    largest, holm = 0.0, {}
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(found) - rank) * found[place].p_value))
        holm[place] = largest
    return [replace(one, p_holm=holm[place]) for place, one in enumerate(found)]
