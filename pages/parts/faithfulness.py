"""How well each explanation method finds a known truth: a line beside every overlay, and a table in the tab of the check."""

import pandas as pd
import streamlit as st

from core import registry
from core.errors import UsageError
from core.figures.style import number
from core.io.explanations import CONTROLS, FILE, Explanations, MethodRow, read_explanations
from core.manifest import Estimate, Manifest
from core.task import Task
from pages.parts.words import percent, t

_FINE = 0.02  # shares below it are shown with a decimal


def measured_note(manifest: Manifest, method: str) -> str:
    """One line about one method, or why there is none."""
    found = _measured(manifest)
    if isinstance(found, str):
        return found
    row, centre = found.row(method), found.row("centre")
    if row is None or centre is None:
        return t("This method found nothing to mark on simulated images with known truth.")
    return t(
        "On simulated images with known truth (n = {n}) this method put {energy} of its brightness on the {area} of the area "
        "that holds the truth; a spot in the middle would put {centre} there.",
        n=row.n,
        energy=_share(row.energy.value),
        area=_share(row.area),
        centre=_share(centre.energy.value),
    )


def show_measured(task: Task, manifest: Manifest) -> None:
    """The table of all methods and controls, what its columns mean, and how it was made."""
    st.markdown(f"#### {t('On simulated images with known truth')}")
    found = _measured(manifest)
    if isinstance(found, str):
        st.info(found, icon=":material/info:")
        place = f"weights/{manifest.task}/{manifest.model}/{FILE}"
        st.code(f"python -m core explanations {manifest.task} --model {manifest.model} --json {place}", language=None)
        return
    st.badge(t(found.statement), icon=":material/warning:", color="orange")
    st.markdown(
        t(
            "Only simulated images tell where a map should point. On {n} of them that this model called rightly, every method "
            "was compared with controls that know nothing of the model. A method that is no better than the controls has shown "
            "nothing.",
            n=found.n_phantoms,
        )
        + " "
        + t(task.truth)
    )
    st.dataframe(
        pd.DataFrame([_cells(row) for row in found.rows]),
        hide_index=True,
        width="stretch",
        height="content",
        key=f"{task.id}.measured",
    )
    st.caption(
        t(
            "Energy: share of the map's brightness on the truth (Wang et al. 2020). Area: what the truth covers of the region. "
            "Ratio of the two: 1 = no better than an even map. Pointing: share of maps whose brightest "
            "place lies on the truth or within 3 % of the side of it (Zhang et al. 2016). Deletion and insertion: how much "
            "faster than random order the score falls or rises (Petsiuk et al. 2018). Random weights: rank correlation with "
            "the map of a random last layer, near 0 is good (Adebayo et al. 2018). In brackets 95 % intervals. Maps without "
            "positive evidence are left out; their number stands behind a plus. The last four columns: a part of the maps."
        )
    )
    st.caption(t("Made on {date} with these weights by this command:", date=found.date) + f" `{found.command}`")


def _measured(manifest: Manifest) -> Explanations | str:
    """The table that belongs to these weights, or a sentence that says why there is none."""
    try:
        found = read_explanations(registry.WEIGHTS / manifest.task / manifest.model)
    except UsageError:
        return t(
            "The file with the measured explanations cannot be read. Make it anew with the command in Explanation check."
        )
    if found is None:
        return t("How well explanations find a known truth was not measured for these weights.")
    if found.weights_sha256 != manifest.weights.sha256:
        return t("How well explanations find a known truth was measured for other weights, not for these.")
    return found


def _cells(row: MethodRow) -> dict[str, str]:
    from core.engine.explain import METHODS  # torch is loaded by now

    name = METHODS[row.method].name if row.method in METHODS else t(CONTROLS[row.method])
    return {
        t("Method"): name,
        t("Energy on the truth"): _interval(row.energy),
        t("Area"): _share(row.area),
        t("Ratio"): number(row.enrichment, 1),
        t("Pointing"): _interval(row.pointing),
        t("Maps"): str(row.n) + (f" (+ {row.n_empty})" if row.n_empty else ""),
        t("Deletion"): _gain(row.deletion),
        t("Insertion"): _gain(row.insertion),
        t("Random weights"): "–" if row.random_weights is None else number(row.random_weights),
        t("Tested"): str(row.n_blanked),
    }


def _interval(share: Estimate) -> str:
    digits = 0 if share.value >= _FINE or share.value == 0 else 1
    return f"{_share(share.value)} ({100 * share.low:.{digits}f}–{100 * share.high:.{digits}f})"


def _gain(gain: Estimate | None) -> str:
    return "–" if gain is None else f"{number(gain.value)} ({number(gain.low)} … {number(gain.high)})"


def _share(share: float) -> str:
    return percent(share) if share >= _FINE or share == 0 else f"{100 * share:.1f}\u202f%"
