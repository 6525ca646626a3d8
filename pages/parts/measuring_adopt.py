"""Make the threshold on show an operating point of this installation."""

import streamlit as st

from core import registry
from core.errors import UsageError
from core.evaluation.adopt import adopt_point
from core.evaluation.questions import Question
from core.figures.style import threshold_words
from core.manifest import Manifest, file_sha256
from core.services.evaluations import TRUTH, Evaluation
from pages.parts.errors import show_error
from pages.parts.recording import note
from pages.parts.words import literal, t


def show_adopt(evaluation: Evaluation, manifest: Manifest, question: Question, threshold: float) -> None:
    """Who adopts what; and what was adopted before."""
    st.subheader(t("Adopt this operating point"))
    if registry.task(manifest.task).kind in ("detector", "segmenter"):
        st.caption(t("Findings with places have a slider each on their own page: nothing is adopted here."))
        return
    left, right = st.columns(2, gap="medium")
    with left, st.form("measuring.adopt", border=True):
        st.markdown(
            t("Threshold {threshold}, chosen on {n} cases", threshold=threshold_words(threshold), n=len(question.cases))
        )
        by = st.text_input(t("Adopted by"), max_chars=80, placeholder=t("Name or role"))
        st.caption(
            t(
                "It stands beside the shipped operating points as a new version of the manifest, on this machine and for these "
                "weights alone. The shipped file stays as it is. Whoever opens the task page can choose it."
            )
        )
        wants = st.form_submit_button(t("Adopt"), icon=":material/add_task:")
    if wants and not by.strip():
        st.warning(t("Somebody answers for an operating point: please say who adopts it."), icon=":material/badge:")
    elif wants:
        try:
            digest = file_sha256(evaluation.folder / TRUTH)
            folder = registry.WEIGHTS / manifest.task / manifest.model
            manifest = adopt_point(folder, question, threshold, by, digest)
        except UsageError as error:
            show_error(error)
        else:
            about = {"by": by, "threshold": threshold, "version": manifest.version, "cases_sha256": digest}
            note("adoption", f"{manifest.task}/{manifest.model} {question.label}", about)
            st.success(t("Adopted: version {version}", version=manifest.version), icon=":material/check_circle:")
    with right:
        own = [change for change in manifest.changelog if "+local." in change.version]
        if own:
            st.markdown(f"**{t('Adopted so far')}**")
            st.markdown("\n".join(f"- {change.version}, {change.date}: {literal(change.text)}" for change in own))
