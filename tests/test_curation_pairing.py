"""Pairing of films and scans, against a reference that walks the calendar day by day."""

from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.curation.pairing import Scan, is_near, months_later, nearest

DAYS = st.dates(date(2015, 1, 1), date(2025, 12, 31))


def scan(row: int, day: date) -> Scan:
    return Scan(row, day, -2.0, "t_score")


def is_anniversary(start: date, day: date) -> bool:
    """Whether six months are full on this day: the same day of the sixth month, or its last day where it has no such day."""
    months = (day.year - start.year) * 12 + day.month - start.month
    is_last = (day + timedelta(days=1)).month != day.month
    return months == 6 and (day.day == start.day or (is_last and day.day < start.day))


def slowly_near(one: date, other: date) -> bool:
    day, last = sorted((one, other))
    start = day
    while day <= last:
        if is_anniversary(start, day):
            return False
        day += timedelta(days=1)
    return True


def slowly_nearest(film: date, scans: list[Scan]) -> Scan | None:
    for distance in range(400):
        for day in (film - timedelta(days=distance), film + timedelta(days=distance)):
            for one in sorted(scans, key=lambda own: own.row):
                if one.day == day and slowly_near(film, day):
                    return one
    return None


@pytest.mark.parametrize(
    ("film", "other", "near"),
    [
        ("2020-01-15", "2020-07-14", True),
        ("2020-01-15", "2020-07-15", False),
        ("2020-07-15", "2020-01-15", False),
        ("2020-07-15", "2020-01-16", True),
        ("2021-08-31", "2022-02-27", True),
        ("2021-08-31", "2022-02-28", False),
        ("2022-02-28", "2021-08-31", False),
        ("2022-02-28", "2022-08-27", True),
        ("2022-02-28", "2022-08-28", False),
        ("2023-08-31", "2024-02-28", True),
        ("2023-08-31", "2024-02-29", False),
        ("2023-08-30", "2024-02-28", True),
        ("2023-08-30", "2024-02-29", False),
        ("2024-02-29", "2024-08-28", True),
        ("2024-02-29", "2024-08-29", False),
        ("2023-12-31", "2024-06-29", True),
        ("2023-12-31", "2024-06-30", False),
        ("2020-03-01", "2020-03-01", True),
    ],
)
def test_six_months_end_on_the_same_day_of_the_month(film: str, other: str, near: bool) -> None:
    assert is_near(date.fromisoformat(film), date.fromisoformat(other)) is near


@given(DAYS, st.integers(-200, 200))
def test_near_as_the_calendar_says(film: date, days: int) -> None:
    other = film + timedelta(days=days)
    assert is_near(film, other) == slowly_near(film, other) == is_near(other, film)


@given(DAYS, st.integers(0, 30))
def test_months_are_those_of_pandas(day: date, months: int) -> None:
    assert months_later(day, months) == (pd.Timestamp(day) + pd.DateOffset(months=months)).date()


@given(DAYS, st.lists(st.integers(-200, 200), max_size=6))
def test_the_nearest_scan_is_found(film: date, distances: list[int]) -> None:
    scans = [scan(row, film + timedelta(days=days)) for row, days in enumerate(distances, 1)]
    assert nearest(film, scans) == slowly_nearest(film, scans)


def test_the_window_comes_before_the_distance() -> None:
    film = date(2020, 8, 31)
    later, earlier = scan(1, date(2021, 2, 28)), scan(2, date(2020, 3, 1))
    assert (later.day - film).days < (film - earlier.day).days
    assert nearest(film, [later, earlier]) is earlier


def test_ties() -> None:
    film = date(2020, 5, 10)
    before, after, same_day = scan(3, date(2020, 5, 1)), scan(1, date(2020, 5, 19)), scan(2, date(2020, 5, 1))
    assert nearest(film, [after, before]) is before
    assert nearest(film, [before, same_day, after]) is same_day


def test_a_scan_does_not_show_its_day() -> None:
    assert "2020" not in repr(scan(1, date(2020, 5, 1)))
