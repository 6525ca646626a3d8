"""Which DXA scan belongs to a film: the nearest in time, strictly less than six calendar months away."""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

MONTHS = 6


@dataclass(frozen=True)
class Scan:
    """One row of a DXA table that can give a label.

    Attributes:
        row: Its number, from 1 below the head.
        day: Of the scan; like the patient it is not shown by repr.
        t_score: Of the femoral neck.
        source: The column it comes from.
    """

    row: int
    day: date = field(repr=False)
    t_score: float
    source: Literal["t_score", "neck_bmd"]


def months_later(day: date, months: int) -> date:
    """The same day of a later month, or its last day where it is shorter: six months after 31 August is 28 or 29 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def is_near(one: date, other: date) -> bool:
    """Whether the later day comes before the earlier one has its six months: exactly six months is too far."""
    earlier, later = sorted((one, other))
    return later < months_later(earlier, MONTHS)


def nearest(film: date, scans: Iterable[Scan]) -> Scan | None:
    """The scan that is fewest days away from the film, among those near enough.

    Of two at the same distance the earlier one is taken, of two on one day the one that stands first in the table. Six months
    have 181 to 184 days, so the nearest of all scans may be too far where a more distant one is not: the window comes first.

    Args:
        film: Day of the film.
        scans: Of the same patient.
    """
    near = [scan for scan in scans if is_near(film, scan.day)]
    return min(near, key=lambda scan: (abs((scan.day - film).days), scan.day, scan.row), default=None)
