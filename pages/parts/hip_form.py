"""Tab "Self-assessment": OSTA, risk factors and a DXA result, beside the score and never blended with it."""

from dataclasses import dataclass

import streamlit as st

from core.clinical.osteoporosis import (
    OSTA_NAMES,
    WHO_NAMES,
    OstaResult,
    Sex,
    advises_measurement,
    osta,
    risk_factors,
    who_class,
)
from core.figures.style import number
from core.records import ScreeningResult, Study
from pages.parts.words import t

_KEY = "hip_form"
_KEPT = f"{_KEY}.kept"
_COLOURS = {"low": "green", "medium": "orange", "high": "red"}


@dataclass(frozen=True)
class Form:
    """What was filled in: OSTA where age and weight are known, and the ids of the risk factors present."""

    result: OstaResult | None
    present: tuple[str, ...]


def read_form() -> Form | None:
    """The form as it was last shown in this session, None before that."""
    form: Form | None = st.session_state.get(_KEPT)
    return form


def show_self_assessment(study: Study | None, screened: ScreeningResult | None) -> None:
    """Three parts; a change that alters the advice beside the score runs the page above again."""
    st.caption(t("These answers stay in this session. They stand beside the score and do not change it."))
    left, right = st.columns(2, gap="medium")
    with left:
        sex, result = _show_osta(study)
        _show_dxa(screened)
    with right:
        present = _show_risk_factors(sex)
    before, form = read_form(), Form(result, present)
    st.session_state[_KEPT] = form
    if _advises(before) != _advises(form):
        st.rerun()


def _advises(form: Form | None) -> bool:
    return form is not None and advises_measurement(form.result, form.present)


def _show_osta(study: Study | None) -> tuple[Sex, OstaResult | None]:
    names: dict[Sex, str] = {"F": t("Woman"), "M": t("Man")}
    sha = study.file_sha256[:12] if study else "none"  # another image brings its own age, sex and weight
    age_known, weight_known = (study.age_years, study.weight_kg) if study else (None, None)
    with st.container(border=True):
        st.markdown(f"**{t('OSTA: age and weight')}**")
        sex = st.segmented_control(
            t("Sex"),
            list(names),
            format_func=names.__getitem__,
            default="M" if study and study.sex == "M" else "F",
            required=True,
            key=f"{_KEY}.sex.{sha}",
            persist_state="session",
        )
        age_column, weight_column = st.columns(2)
        age = age_column.number_input(
            t("Age, years"),
            18.0,
            120.0,
            _within(age_known, 18, 120),
            1.0,
            format="%.0f",
            key=f"{_KEY}.age.{sha}",
            persist_state="session",
        )
        weight = weight_column.number_input(
            t("Weight, kg"),
            25.0,
            250.0,
            _within(weight_known, 25, 250),
            0.5,
            format="%.1f",
            key=f"{_KEY}.weight.{sha}",
            persist_state="session",
        )
        if study and (age_known or weight_known):
            st.caption(t("Filled in from the file where it says so."))
        chosen: Sex = "M" if sex == "M" else "F"
        if age is None or weight is None:
            st.caption(t("Fill in age and weight to see the index."))
            return chosen, None
        result = osta(age, weight, chosen)
        _show_index(result, age, weight)
    return chosen, result


def _within(value: float | None, low: float, high: float) -> float | None:
    return float(value) if value is not None and low <= value <= high else None


def _show_index(result: OstaResult, age: float, weight: float) -> None:
    st.markdown(f"#### {number(result.value, 1)} · :{_COLOURS[result.category]}[{t(OSTA_NAMES[result.category])}]")
    st.caption(
        t(
            "0.2 × (weight − age) = 0.2 × ({weight} − {age}) = {value}. Compared without rounding.",
            weight=f"{weight:.1f}",
            age=f"{age:.0f}",
            value=number(result.value, 1),
        )
    )
    if not result.is_validated:
        st.warning(
            t("Made for Asian women after menopause: not validated for men or for people younger than 50."),
            icon=":material/info:",
        )
    st.caption(t("In the original study 61 %, 15 % and 3 % of women at high, medium and low risk had osteoporosis."))


def _show_risk_factors(sex: Sex) -> tuple[str, ...]:
    factors = risk_factors(sex)
    with st.container(border=True):
        st.markdown(f"**{t('Risk factors')}**")
        present = tuple(
            factor.id
            for factor in factors
            if st.checkbox(t(factor.question), key=f"{_KEY}.risk.{sex}.{factor.id}", persist_state="session")
        )
        st.markdown(
            t("**{count} of {n}** present. This is a count, not a probability.", count=len(present), n=len(factors))
        )
    return present


def _show_dxa(screened: ScreeningResult | None) -> None:
    """A reference value, where one was measured: in words beside the model's answer."""
    with st.container(border=True):
        st.markdown(f"**{t('DXA result, where there is one')}**")
        t_score = st.number_input(
            t("T-score of the femoral neck"),
            -8.0,
            6.0,
            None,
            0.1,
            format="%.1f",
            key=f"{_KEY}.dxa",
            persist_state="session",
        )
        if t_score is None:
            st.caption(t("DXA is the reference: a score from a radiograph never replaces it."))
            return
        # One digit is what a DXA report prints; the sum of steps of 0.1 is not exact.
        reference = who_class(round(t_score, 2))
        st.markdown(f"#### {t(WHO_NAMES[reference])}")
        st.caption(t("Classes of the WHO, for women after menopause and men from 50 on."))
        findings = (
            screened.prediction.findings if screened and screened.gate.shows_score and screened.prediction else ()
        )
        for finding in findings:
            if finding.positive is None:
                continue
            agrees = finding.positive == (reference == "osteoporosis")
            side = {"L": t("Left hip"), "R": t("Right hip")}.get(finding.laterality or "", t("Image"))
            if agrees:
                st.markdown(
                    ":green[:material/check_circle:] " + t("{side}: the model's answer agrees with DXA.", side=side)
                )
            elif finding.positive:
                words = t("{side}: the model is above the operating point, DXA shows no osteoporosis.", side=side)
                st.markdown(f":orange[:material/help:] {words}")
            else:
                words = t("{side}: the model is below the operating point, DXA shows osteoporosis.", side=side)
                st.markdown(f":orange[:material/help:] {words}")
