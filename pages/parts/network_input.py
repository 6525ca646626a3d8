"""The prepared input of the network as pictures: what the score was made from."""

import streamlit as st

from core import registry
from core.imaging.corners import hide_corners
from core.imaging.network_input import input_pictures
from core.manifest import Manifest
from core.records import ScreeningResult
from core.task import Task
from pages.parts.corners import corners_hidden
from pages.parts.words import t

_FEWEST_COLUMNS = 2


def show_network_input(task: Task, manifest: Manifest, result: ScreeningResult) -> None:
    """One or two pictures a region."""
    batch = registry.part(task.id, "prepare").prepare(result.study, result.regions, manifest)
    shown = [(place, view) for place in range(len(batch)) for view in input_pictures(batch[place])]
    columns = st.columns(max(_FEWEST_COLUMNS, len(shown)))
    for column, (place, view) in zip(columns, shown, strict=False):
        rows, width = view.picture.shape[:2]
        region = result.regions[place]
        side = {"L": t("Left"), "R": t("Right")}.get(region.laterality or "", "")
        flipped = t("mirrored") if region.mirrored else ""
        facts = [side, flipped, f"{width} × {rows} px", f"{view.low:.2f} … {view.high:.2f}"]
        column.image(
            hide_corners(view.picture) if corners_hidden() else view.picture,
            caption=" · ".join(filter(None, facts)),
            width="stretch",
            alt=t("The prepared input of the network, {width} by {height} pixels.", width=width, height=rows),
        )
    st.caption(
        t(
            "The prepared input, made from the file: window and inversion do not change it. Its lowest number is black, its "
            "highest white. Where corners are hidden, they are so here too; the network got them."
        )
    )
