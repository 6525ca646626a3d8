"""What the file says about the image, below the picture; the truth too, where the image is a phantom of the sample list."""

import streamlit as st

from core.records import Study
from pages.parts.words import t

_SEX = {"F": "F", "M": "M", "O": "O"}


def show_facts(study: Study, truth: str | None) -> None:
    """Two columns of short facts; never a name, id or date."""
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{t('About this image')}**", width="content")
            if study.is_phantom:
                st.badge("PHANTOM", icon=":material/science:", color="orange")
        facts = _facts(study)
        half = (len(facts) + 1) // 2
        for column, part in zip(st.columns(2), (facts[:half], facts[half:]), strict=True):
            column.text("\n".join(f"{name}: {value}" for name, value in part))
        if truth:
            st.markdown(":material/flag: " + truth)


def _facts(study: Study) -> list[tuple[str, str]]:
    """Tags come from a file, so they are shown as plain text."""
    unknown = t("not in the file")
    rows, columns = study.frame.pixels.shape[:2]
    spacing = study.frame.spacing_mm
    return [
        (t("Kind"), study.tags.get("Modality") or unknown),
        (t("Body part"), study.tags.get("BodyPartExamined") or unknown),
        (t("View"), study.tags.get("ViewPosition") or unknown),
        (t("Size"), f"{columns} × {rows}" + (f", {spacing[0]:.2g} mm" if spacing else "")),
        (t("Age, years"), unknown if study.age_years is None else f"{study.age_years:.0f}"),
        (t("Sex"), _SEX.get(study.sex or "", unknown)),
    ]
