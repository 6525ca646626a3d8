"""A guided tour of each page: a few steps in a dialog, which can be left at any of them."""

from collections.abc import Mapping

import streamlit as st

from core import registry
from core.i18n import mark
from pages.parts.words import t

_STEP = "tour.step"

_TASK_PAGE = (
    mark(
        "**Choose an image.** Samples are phantoms with known truth; *Upload* takes your own file. Keys P and N step on."
    ),
    mark("**Read the checks first.** They ask whether this image is of the kind that the model was made for."),
    mark("**Read the headline.** It says on which side of the operating point the score lies. It is not a diagnosis."),
    mark("**Look at the explanation.** Colours show where evidence lay. Below: zoom, ruler, and what the network saw."),
    mark("**Weigh it.** The tab *Performance* shows the held-out results, *Explanation check* tests the colours."),
    mark("**Save it.** Every file carries the same statement as the page."),
)
TOURS: Mapping[str, tuple[str, ...]] = {
    "home": (
        mark("**Five tasks.** Each card names its image, its question, and the data that its numbers come from."),
        mark(
            "**Orange means simulated.** Such a model never saw a patient's finding, and its numbers say nothing clinical."
        ),
        mark("**The menu has three parts.** Screen one image, measure a model, and read up on how it works."),
        mark("**Language and presentation** stand at the foot of the sidebar."),
    ),
    "batch": (
        mark("**Choose a task and its images:** one archive, several files, or a folder of the server."),
        mark("**Screen them.** It goes on when this page is closed, and can be stopped and resumed."),
        mark("**Filter the table** by checks, answer and score. A file that cannot be read costs one row."),
        mark("**Take the table along** as CSV or JSON, with hashes of files and weights."),
    ),
    "curate": (
        mark("**Choose a kind of image** and give the files: an archive, or a folder of the server."),
        mark("**Match images and labels.** The guess of the columns can be changed."),
        mark("**Run it.** It goes on when this page is closed; keep its address to come back."),
        mark("**Read what was left out, and why,** before you take the data set along."),
    ),
    "evaluate": (
        mark("**Give labelled images, or scores of any model.** An example shows the format."),
        mark("**Check first.** Missing files, doubles and cases of the training set are named before anything runs."),
        mark("**Read the figures with their intervals.** Few cases give wide intervals."),
        mark("**Move the threshold.** All figures follow; click a cell of the matrix to see its cases."),
        mark("**Take a bundle along.** It holds no image and no name, and opens here again."),
    ),
    "review": (
        mark("**Choose a folder of boxes,** or try it with phantoms."),
        mark("**Write your initials.** They stand beside each decision."),
        mark("**Decide film by film.** Accept with A, reject with X, or draw a new box with the mouse."),
        mark("**Every decision is kept at once.** Keep the address of the page to come back."),
    ),
    "reader_study": (
        mark("**Choose a task, how many cases, and write your initials.** Cases come in random order."),
        mark("**First answer blind.** You see the image alone; the time runs until you answer."),
        mark("**Then answer with the model.** You see its score and explanation, and may change your answer."),
        mark("**Read what changed.** Accuracy before and after, agreement, and time; save it as CSV or JSON."),
    ),
    "experiments": (
        mark("**Choose a body part,** then an experiment: a question and the arms that differ in one thing."),
        mark("**Published and ours stand side by side.** Where they differ, the data differ too."),
        mark("**Mind the protocol.** Test cases among the training cases make every figure too good."),
        mark("**Present it.** Figures can be saved as slides, sources as BibTeX."),
    ),
    "train": (
        mark("**Choose a task and its data:** phantoms, or a folder with images and labels."),
        mark("**Start it.** It goes on when this page is closed, and can be stopped and resumed."),
        mark("**Read the held-out results** before you use the weights."),
        mark("**Weights bring their own thresholds.** Those of other weights are dropped."),
    ),
    "history": (
        mark("**Every screening is kept as numbers:** no image, no name, no date of an examination."),
        mark("**Filter, then mark a row** to open it again; its picture comes back with the same file."),
        mark("**Mark several rows of one patient** to compare them over time."),
        mark("**Delete what you must.** The audit log tells that it was done."),
    ),
    "manual": (
        mark("**Start with the four steps,** then read how a result is built up."),
        mark("**The limits are part of the result.** Read them before you show it to anybody."),
        mark("**The glossary** explains every word that a page uses."),
        mark("**Each page has its own tour** at the foot of the sidebar."),
    ),
}


def steps_of(page: str) -> tuple[str, ...]:
    """The steps of a page, by its address; the tasks share theirs."""
    return _TASK_PAGE if page in registry.tasks() else TOURS.get(page, ())


def show_tour_start(page: str) -> None:
    """The button that opens the tour; nothing for a page without one."""
    steps = steps_of(page)
    if steps and st.button(t("Tour of this page"), icon=":material/tour:", key="tour.start", width="stretch"):
        st.session_state[_STEP] = 0
        st.dialog(t("Tour of this page"))(show_step)(steps)


def show_step(steps: tuple[str, ...]) -> None:
    """The dialog: a run of its own, the page behind it stands still."""
    at = min(st.session_state.get(_STEP, 0), len(steps) - 1)
    st.progress((at + 1) / len(steps), t("{place} of {n}", place=at + 1, n=len(steps)))
    with st.container(height=120, border=False):
        st.markdown(t(steps[at]))
    is_last = at == len(steps) - 1
    with st.container(horizontal=True):
        st.button(t("Back"), key="tour.back", disabled=at == 0, on_click=_go, args=(at - 1,))
        if not is_last:
            st.button(t("Next"), key="tour.next", type="primary", on_click=_go, args=(at + 1,))
        if st.button(t("Done") if is_last else t("Skip the tour"), key="tour.end"):
            st.rerun()


def _go(step: int) -> None:
    st.session_state[_STEP] = step
