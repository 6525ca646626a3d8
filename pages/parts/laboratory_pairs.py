"""Page "Experiments": can the best arms be told apart?"""

import streamlit as st

from core.experiments.comparison import Comparison, compared
from core.experiments.results import Results
from core.figures.style import number
from pages.parts.method import show_rows
from pages.parts.words import literal, t


def show_pairs(results: Results) -> None:
    """The best arm against each other one on the same unseen patients, with p and n."""
    arms = list(dict.fromkeys(line.arm for line in results.lines))
    found = compared(results.folder, arms, results.careful)
    if not found:
        return
    st.markdown(f"**{t('Can the best ones be told apart?')}**")
    alike = [literal(own.other) for own in found if not own.are_apart]
    best = literal(found[0].best)
    if alike:
        st.markdown(t("{best} cannot be told apart from: {arms}.", best=best, arms=", ".join(alike)))
    else:
        st.markdown(t("{best} can be told apart from every other arm.", best=best))
    heads = (t("Against"), t("Difference (95 % CI)"), "p", "p (Holm)", t("Cases"), t("Patients"))
    show_rows(heads, [_row(own) for own in found])
    st.caption(
        t(
            "What each case is worth (right or wrong, Dice, or AP50), as a mean over seeds and folds: {best}, less the other. "
            "p: signs of whole patients flipped at random, which is McNemar's test where a patient has one case and one answer. "
            "Holm: adjusted for all rows. It speaks of these networks on these patients, and the best arm was found on them.",
            best=best,
        )
    )


def _row(own: Comparison) -> tuple[str, ...]:
    value, low, high = (number(one, 3) for one in (own.difference.value, own.difference.low, own.difference.high))
    p_values = ("< 0.001" if p < 0.001 else number(p, 3) for p in (own.p_value, own.p_holm))
    return (literal(own.other), f"{value} ({low} \u2013 {high})", *p_values, str(own.n_cases), str(own.n_patients))
