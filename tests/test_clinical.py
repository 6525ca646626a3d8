"""Clinical rules at their borders (docs: METHODS, section D)."""

import pytest

from core.clinical.osteoporosis import (
    OSTA_NAMES,
    RISK_FACTORS,
    WHO_NAMES,
    Sex,
    advises_measurement,
    osta,
    risk_factors,
    who_class,
)


@pytest.mark.parametrize(
    ("t_score", "expected"),
    [
        (0.4, "normal"),
        (-1.0, "normal"),
        (-1.01, "low_bone_mass"),
        (-2.49, "low_bone_mass"),
        (-2.5, "osteoporosis"),
        (-3.1, "osteoporosis"),
    ],
)
def test_who_class(t_score: float, expected: str) -> None:
    assert who_class(t_score) == expected


@pytest.mark.parametrize(
    ("age", "weight", "value", "category"),
    [
        (60, 65, 1.0, "low"),
        (70, 58, -2.4, "medium"),
        (75, 45, -6.0, "high"),
        (65, 60, -1.0, "medium"),
        (70, 50, -4.0, "medium"),
        (71.5, 50, -4.3, "high"),  # "medium" where the value is cut to a whole number first
    ],
)
def test_osta(age: float, weight: float, value: float, category: str) -> None:
    result = osta(age, weight)
    assert result.value == pytest.approx(value)
    assert result.category == category


def test_osta_borders_do_not_depend_on_binary_rounding() -> None:
    for tenths in range(350, 1000):
        weight = tenths / 10
        assert osta(weight + 5, weight).category == "medium"
        assert osta(weight + 20, weight).category == "medium"


@pytest.mark.parametrize(("sex", "age", "is_validated"), [("F", 50, True), ("F", 49, False), ("M", 70, False)])
def test_osta_says_whom_it_was_made_for(sex: Sex, age: float, is_validated: bool) -> None:
    assert osta(age, 60, sex).is_validated is is_validated


def test_every_class_has_a_name() -> None:
    assert set(WHO_NAMES) == {who_class(t) for t in (0, -2, -3)}
    assert set(OSTA_NAMES) == {osta(age, 60).category for age in (50, 70, 90)}


def test_risk_factors_are_asked_once() -> None:
    for sex in ("F", "M"):
        ids = [factor.id for factor in risk_factors(sex)]
        assert len(ids) == len(set(ids)) >= 14
    assert {factor.id for factor in RISK_FACTORS} >= {"fracture", "steroids", "early_menopause", "testosterone"}


def test_advice_follows_the_form() -> None:
    low, high = osta(60, 65), osta(75, 45)
    assert not advises_measurement(None, [])
    assert not advises_measurement(low, ["smoking", "alcohol"])
    assert advises_measurement(low, ["smoking", "alcohol", "calcium"])
    assert advises_measurement(low, ["fracture"])
    assert advises_measurement(high, [])
