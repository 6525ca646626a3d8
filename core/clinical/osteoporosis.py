"""Osteoporosis: classes of a T-score, the OSTA index and a count of risk factors. None of them enters a model's score."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from core.i18n import mark

WhoClass = Literal["normal", "low_bone_mass", "osteoporosis"]
OstaCategory = Literal["low", "medium", "high"]
Sex = Literal["F", "M"]

OSTEOPOROSIS_T = -2.5
NORMAL_T = -1.0
OSTA_LOW, OSTA_HIGH = -1.0, -4.0
OSTA_WEIGHT = 0.2  # per kg and per year, Koh et al. 2001
VALID_FROM_AGE = 50  # stands for "after menopause", which no file header tells


NECK_BMD_MEAN, NECK_BMD_SD = 0.858, 0.120
"""g/cm2, femoral neck of white women of 20 to 29 years in NHANES III: the reference of the WHO definition (Kanis et al., Bone
2008;42:467)."""


def neck_t_score(bmd: float) -> float:
    """T-score of a bone mineral density of the femoral neck, to three decimals.

    Rounding takes away what binary fractions add: 0.558 g/cm2 is -2.5 and counts as osteoporosis.

    Args:
        bmd: g/cm2, as a densitometer calibrated to NHANES III gives it.
    """
    return round((bmd - NECK_BMD_MEAN) / NECK_BMD_SD, 3)


def who_class(t_score: float) -> WhoClass:
    """Class of a femoral-neck T-score after WHO: normal from -1.0 up, osteoporosis from -2.5 down, low bone mass between.

    Defined for women after menopause and men from 50 on (Kanis et al., Bone 2008;42:467).
    """
    if t_score <= OSTEOPOROSIS_T:
        return "osteoporosis"
    return "normal" if t_score >= NORMAL_T else "low_bone_mass"


WHO_NAMES: dict[WhoClass, str] = {
    "normal": mark("Normal (T-score of −1.0 or above)"),
    "low_bone_mass": mark("Low bone mass (T-score between −1.0 and −2.5)"),
    "osteoporosis": mark("Osteoporosis (T-score of −2.5 or below)"),
}


@dataclass(frozen=True)
class OstaResult:
    """The OSTA index of one person.

    Attributes:
        value: 0.2 x (weight in kg - age in years), not rounded: roundings in use differ at the borders.
        category: "low" above -1, "high" below -4, else "medium".
        is_validated: The person belongs to the group the index was made for.
    """

    value: float
    category: OstaCategory
    is_validated: bool


OSTA_NAMES: dict[OstaCategory, str] = {
    "low": mark("Low risk (above −1)"),
    "medium": mark("Medium risk (from −1 to −4)"),
    "high": mark("High risk (below −4)"),
}


def osta(age_years: float, weight_kg: float, sex: Sex = "F") -> OstaResult:
    """The Osteoporosis Self-assessment Tool for Asians (Koh et al., Osteoporos Int 2001;12:699).

    Args:
        age_years: Age.
        weight_kg: Body weight.
        sex: The index was made for women after menopause; for others it is computed and marked as not validated.
    """
    value = round(
        OSTA_WEIGHT * (weight_kg - age_years), 9
    )  # takes away binary rounding, so that borders fall as on paper
    category: OstaCategory = "low" if value > OSTA_LOW else "high" if value < OSTA_HIGH else "medium"
    return OstaResult(value, category, is_validated=sex == "F" and age_years >= VALID_FROM_AGE)


@dataclass(frozen=True)
class RiskFactor:
    """One question with yes or no.

    Attributes:
        id: Stable word.
        question: Message id.
        sex: Whom it is asked, None = everybody.
    """

    id: str
    question: str
    sex: Sex | None = None


RISK_FACTORS: tuple[RiskFactor, ...] = (
    RiskFactor("age", mark("Aged 60 or over"), "F"),
    RiskFactor("age", mark("Aged 70 or over"), "M"),
    RiskFactor("fracture", mark("A bone broken by a minor fall or knock as an adult")),
    RiskFactor("low_weight", mark("Underweight (body mass index below 19)")),
    RiskFactor("height_loss", mark("More than 4 cm shorter than at the age of 40")),
    RiskFactor("parent_hip", mark("Mother or father broke a hip")),
    RiskFactor("falls", mark("Frequent falls, or afraid of falling because of frailty")),
    RiskFactor("steroids", mark("Cortisone tablets for more than three months in a row")),
    RiskFactor("arthritis", mark("Rheumatoid arthritis")),
    RiskFactor("other_illness", mark("Overactive thyroid or parathyroid, type 1 diabetes, Crohn or coeliac disease")),
    RiskFactor("early_menopause", mark("Menopause before the age of 45, or periods absent for a year or more"), "F"),
    RiskFactor("ovaries", mark("Ovaries removed before the age of 50 without hormone replacement"), "F"),
    RiskFactor("testosterone", mark("Treated for, or signs of, low testosterone"), "M"),
    RiskFactor("smoking", mark("Smoking, now or in the past")),
    RiskFactor("alcohol", mark("More than two alcoholic drinks a day")),
    RiskFactor("inactive", mark("Less than half an hour of movement a day")),
    RiskFactor("calcium", mark("No dairy food and no calcium supplement")),
    RiskFactor("sunlight", mark("Less than ten minutes outdoors a day and no vitamin D supplement")),
)

HIGH_COUNT = 3  # own choice, for the advice only: no published rule turns this count into a probability
ENOUGH_ALONE = frozenset({"fracture", "steroids"})  # guidelines measure bone density after either


def risk_factors(sex: Sex) -> tuple[RiskFactor, ...]:
    """The questions for one sex, in order."""
    return tuple(factor for factor in RISK_FACTORS if factor.sex in (None, sex))


def advises_measurement(result: OstaResult | None, present: Collection[str]) -> bool:
    """Whether the form alone is a reason to have bone density measured, whatever a model says.

    Args:
        result: OSTA, or None while age or weight is missing.
        present: Ids of the risk factors answered with yes.
    """
    is_high = result is not None and result.category == "high"
    return is_high or len(set(present)) >= HIGH_COUNT or bool(ENOUGH_ALONE.intersection(present))
