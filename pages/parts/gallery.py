"""A gallery of chest findings: how often each is there, and films with their reference boxes."""

import math
from pathlib import Path

import streamlit as st

from core import registry
from core.curation.chest_lesions import COCO
from core.curation.gallery import (
    NORMAL,
    Example,
    Gallery,
    film_of,
    labelled_folders,
    phantom_gallery,
    read_gallery,
    reference_picture,
)
from core.errors import ScreeningError
from core.figures.style import BOX_COLOURS
from core.imaging.boxes import DrawnBox
from core.io.reader import shared_reader
from core.manifest import DEMO_STATEMENT
from pages.parts.corners import corners_hidden
from pages.parts.method import show_rows
from pages.parts.words import literal, t

TASK_ID = "chest_lesions"
PHANTOMS, FOLDER = "phantoms", "folder"
_ACROSS, _DOWN, _SIDE_PX = 3, 3, 400
_TABLE_PX = 640
_MARGIN = 1.5  # of a crop, times the sides of the boxes


def show_gallery(root: Path | None) -> None:
    """Choose films, then a finding, then look.

    Raises:
        ScreeningError: The COCO file cannot be used.
    """
    st.markdown(t("Films with their reference boxes, finding by finding: look at labels before you train on them."))
    chosen = _choose(root)
    if chosen is None:
        return
    gallery, films = chosen
    if not gallery.examples:
        st.info(t("There is no labelled film in this file."), icon=":material/info:")
        return
    with st.container(width=_TABLE_PX):
        _show_counts(gallery)
    label = _choose_label(gallery)
    examples = gallery.of(label)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        is_cropped = st.toggle(
            t("Cut out around the finding"), key="gallery.crop", persist_state="session", disabled=label == NORMAL
        )
        each = _ACROSS * _DOWN
        page = st.pagination(max(1, math.ceil(len(examples) / each)), key=f"gallery.page.{label}.{len(examples)}")
    shown = examples[(page - 1) * each : page * each]
    for start in range(0, len(shown), _ACROSS):
        for column, example in zip(st.columns(_ACROSS), shown[start : start + _ACROSS], strict=False):
            with column:
                _show_example(example, label, films, is_cropped=is_cropped and label != NORMAL)


def _choose(root: Path | None) -> tuple[Gallery, Path | None] | None:
    """The films and their folder, None for phantoms; nothing while no folder is chosen."""
    names = {PHANTOMS: t("Phantoms")} | ({FOLDER: t("Server folder")} if root else {})
    kind: str | None = PHANTOMS
    if len(names) > 1:
        kind = st.segmented_control(
            t("Films to show"),
            list(names),
            format_func=names.__getitem__,
            key="gallery.source",
            persist_state="session",
            default=PHANTOMS,
            required=True,
        )
    if kind == FOLDER and root is not None:
        return _choose_folder(root)
    st.badge(t(DEMO_STATEMENT), icon=":material/warning:", color="orange")
    if root is None:
        st.caption(
            t(
                "Phantoms with their truth. With `[review] root` in the settings, curated films of the server stand here."
            )
        )
    with st.spinner(t("Making phantoms"), show_time=True):
        return _phantoms(), None


@st.cache_resource(show_spinner=False)
def _phantoms() -> Gallery:
    # Shared by all sessions: a phantom is nobody's image.
    return phantom_gallery()


def _choose_folder(root: Path) -> tuple[Gallery, Path] | None:
    """The folder of labels and, since curation leaves films where they are, the folder of films."""
    labelled = labelled_folders(root)
    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    left, right = st.columns(2, gap="medium")
    labels = left.selectbox(
        t("Labels: a folder with {file}", file=COCO),
        labelled,
        index=None,
        key="gallery.labels",
        placeholder=t("Choose"),
    )
    films = right.selectbox(t("Films: a folder"), folders, index=None, key="gallery.films", placeholder=t("Choose"))
    if not labelled:
        st.caption(t("No folder there holds labels: `curate chest_lesions` makes them."))
    if labels not in labelled or films not in folders:
        return None
    path = root / str(labels) / COCO
    gallery = _read(str(path), path.stat().st_mtime_ns)
    if n_left_out := sum(gallery.left_out.values()):
        st.warning(
            t("Left out of the labels: {n} entries that cannot be used.", n=n_left_out), icon=":material/warning:"
        )
    return gallery, root / str(films)


@st.cache_resource(max_entries=4, show_spinner=False)
def _read(path: str, changed_ns: int) -> Gallery:
    # Boxes and names of files alone, no image; read anew when the file changes.
    return read_gallery(Path(path))


def _names() -> dict[str, str]:
    """Findings with their numbers, as the boxes are tagged."""
    labels = registry.task(TASK_ID).labels
    return {label.id: f"{place} {t(label.name)}" for place, label in enumerate(labels, 1)} | {NORMAL: t("Normal")}


def _show_counts(gallery: Gallery) -> None:
    names = _names()
    rows = [(names[count.label], f"{count.n_films:,}", f"{count.n_boxes:,}") for count in gallery.counts()]
    show_rows((t("Finding"), t("Films"), t("Boxes")), rows)
    st.caption(
        t("{n} films in all; a film with several findings counts for each of them.", n=f"{len(gallery.examples):,}")
    )


def _choose_label(gallery: Gallery) -> str:
    names = _names()
    there = [count.label for count in gallery.counts() if count.n_films]
    chosen = st.pills(
        t("Finding"),
        there,
        format_func=names.__getitem__,
        key="gallery.label",
        persist_state="session",
        default=there[0],
        required=True,
        wrap=True,
    )
    return str(chosen) if chosen in there else NORMAL


def _show_example(example: Example, label: str, films: Path | None, *, is_cropped: bool) -> None:
    numbers = {name: str(place) for place, name in enumerate(BOX_COLOURS, 1)}
    boxes = [DrawnBox(box, BOX_COLOURS[name], numbers[name], is_strong=name == label) for name, box in example.boxes]
    names = _names()
    findings = ", ".join(dict.fromkeys(names[name] for name, _ in example.boxes)) or t("Normal")
    around = [box for name, box in example.boxes if name == label] if is_cropped else []
    try:
        frame = film_of(shared_reader(), films or Path(), example)
        picture = reference_picture(frame, boxes, around, _MARGIN, _SIDE_PX, hides_corners=corners_hidden())
    except ScreeningError as error:
        words = t("The film cannot be read, or is not in the folder of films.")
        st.warning(f"{words} ({error.code})", icon=":material/warning:")
    else:
        st.image(picture, width="stretch", alt=t("Film with the reference boxes of: {findings}.", findings=findings))
    prefix = "PHANTOM · " if films is None else ""
    st.caption(f"{prefix}{literal(example.name)} · {findings}")
