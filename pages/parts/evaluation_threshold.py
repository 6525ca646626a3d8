"""The one threshold of the page: set by a rule, moved by hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from core.evaluation.score_report import ModelReport, ThresholdScale, threshold_scale
from core.figures.style import threshold_words
from pages.parts.words import t

YOUDEN, SENSITIVITY, SPECIFICITY = "youden", "sensitivity", "specificity"
CARD, CASES, HAND = "card", "cases", "hand"
_TARGETS = {SENSITIVITY: 95.0, SPECIFICITY: 90.0}  # per cent, to begin with


@dataclass(frozen=True)
class SetThreshold:
    """A threshold and where it comes from.

    Attributes:
        value: None = Youden's, whose digits are more than those of the slider.
        origin: "youden", "card", "cases" (a wanted sensitivity or specificity) or "hand".
    """

    value: float | None
    origin: str


def choose_threshold(model: ModelReport, key: str, card: Mapping[str, float], rule: str) -> SetThreshold:
    """The slider; a rule holds to the digit until the slider is moved away from it.

    Args:
        model: On show.
        key: Of its widgets.
        card: Named thresholds of a model card; the first is where the slider starts.
        rule: See `choose_rule`.
    """
    scale = threshold_scale(model.table)
    first = next(iter(card.values()), model.youden)
    at = st.slider(
        t("Threshold (Youden's on these very cases: {threshold})", threshold=threshold_words(model.youden)),
        scale.low,
        scale.high,
        _on_slider(first, scale),
        scale.step,
        format=f"%.{scale.digits}f",
        key=_slider_key(key),
        persist_state="session",
    )
    exact = _threshold_of(model, rule, key, card)
    if exact is None:
        st.info(t("No threshold reaches this specificity on these cases."), icon=":material/info:")
    if exact is None or at != _on_slider(exact, scale):
        return SetThreshold(round(float(at), scale.digits), HAND)
    if rule == YOUDEN:
        return SetThreshold(None, YOUDEN)
    return SetThreshold(exact, CASES if rule in _TARGETS else CARD)


def start_at(model: ModelReport, key: str, threshold: float) -> None:
    """Where the slider stands before anybody moved it."""
    st.session_state.setdefault(_slider_key(key), _on_slider(threshold, threshold_scale(model.table)))


def choose_rule(model: ModelReport, key: str, card: Mapping[str, float]) -> str:
    """Where the threshold comes from until it is moved by hand.

    Args:
        model, key, card: See `choose_threshold`.
    """
    names = {_card_rule(name): t("Card: {name}", name=name) for name in card} | {
        YOUDEN: "Youden",
        SENSITIVITY: t("Sensitivity at least"),
        SPECIFICITY: t("Specificity at least"),
    }
    moved = (model, key, card)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rule = st.segmented_control(
            t("Operating point"),
            list(names),
            format_func=names.__getitem__,
            key=_rule_key(key),
            persist_state="session",
            default=next(iter(names)),
            required=True,
            width="content",
            on_change=_move,
            args=moved,
        )
        if rule in _TARGETS:
            st.number_input(
                t("At least, %"),
                1.0,
                100.0,
                _TARGETS[rule],
                1.0,
                format="%.1f",
                key=_target_key(key, rule),
                persist_state="session",
                width=140,
                on_change=_move,
                args=moved,
            )
    return str(rule)


def _threshold_of(model: ModelReport, rule: str, key: str, card: Mapping[str, float]) -> float | None:
    """What a rule gives; None for a specificity that is out of reach."""
    if rule == YOUDEN:
        return model.youden
    if rule in _TARGETS:
        return model.for_target(rule, st.session_state.get(_target_key(key, rule), _TARGETS[rule]) / 100)
    return next(threshold for name, threshold in card.items() if _card_rule(name) == rule)


def _move(model: ModelReport, key: str, card: Mapping[str, float]) -> None:
    """The slider follows the rule."""
    threshold = _threshold_of(model, st.session_state[_rule_key(key)], key, card)
    if threshold is not None:
        st.session_state[_slider_key(key)] = _on_slider(threshold, threshold_scale(model.table))


def _on_slider(threshold: float, scale: ThresholdScale) -> float:
    return min(max(round(threshold, scale.digits), scale.low), scale.high)


def _card_rule(name: str) -> str:
    return f"card.{name}"


def _rule_key(key: str) -> str:
    return f"{key}.rule"


def _target_key(key: str, rule: str) -> str:
    return f"{key}.target.{rule}"


def _slider_key(key: str) -> str:
    return f"{key}.threshold"
