"""Page "Training": what is trained, how long it will take, its curves while it runs, and the model that comes out."""

from pathlib import Path

import streamlit as st

from core import registry
from core.errors import MESSAGES, BusyError, ScreeningError
from core.services.trainings import Training, Trainings
from pages.parts.errors import show_error
from pages.parts.menu import show_link
from pages.parts.own_weights import show_own_weights
from pages.parts.settings import settings
from pages.parts.teaching_new import show_new
from pages.parts.training import show_history
from pages.parts.words import literal, t

ADDRESS = "training"  # key of the address that holds the token
_EVERY_S = 2.0


@st.cache_resource(show_spinner=False)
def trainings() -> Trainings:
    """Of this installation."""
    return Trainings(settings().training.store)


def show_teaching() -> None:
    """The training in the address; without one the form for a new one."""
    st.title(t("Training"))
    st.markdown(t("Train a network on phantoms or on your own labelled images, on this machine."))
    store = trainings()
    training = store.find(st.query_params.get(ADDRESS, ""))
    if training is None:
        training = show_new(store)
        if training is not None:
            st.query_params[ADDRESS] = training.token
            _start(store, training)
        if settings().takes_weights:
            show_own_weights()
        return
    _show_plan(training)
    stage = store.stage(training)
    if stage == "running":
        _show_running(store, training)
    else:
        _show_rest(store, training, stage)
    _show_end(store, training)


def _show_plan(training: Training) -> None:
    plan = training.plan
    data = Path(plan.server_folder).name if plan.server_folder else t("{n} phantoms", n=f"{plan.phantoms:,}")
    facts = [
        t(registry.task(plan.task).title),
        plan.architecture,
        literal(data),
        t("folds: {n}", n=plan.folds),
        t("epochs: {n}", n=plan.epochs),
    ]
    facts += [t("batch {n}", n=plan.batch), f"{plan.optimizer} {plan.lr:g}"]
    st.subheader(literal(plan.name))
    st.caption(" · ".join(facts))


@st.fragment(run_every=_EVERY_S)
def _show_running(store: Trainings, training: Training) -> None:
    """Progress and curves; the whole page is drawn anew when it ends."""
    if store.stage(training) != "running":
        st.rerun()
    histories, plan = training.histories(), training.plan
    done, total = sum(len(history.epochs) for history in histories.values()), plan.epochs * plan.folds
    told = store.progress(training)
    words = {
        "preparing": t("Preparing the cases"),
        "fitting": t("Training"),
        "publishing": t("Measuring and publishing"),
    }
    line = words.get(told.phase if told else "", t("Starting"))
    if told is not None and told.phase == "preparing" and told.total:
        line += f" · {told.done:,} / {told.total:,}"
    if done:
        left = (total - done) * histories[max(histories)].epochs[-1]["seconds"]
        line += " · " + t("epoch {done} of {total}", done=done, total=total)
        line += " · " + t("about {time} left", time=t("{n} min", n=round(left / 60)))
    st.progress(done / total, line)
    if st.button(t("Stop"), icon=":material/stop_circle:", key="teaching.stop"):
        store.stop(training)
        st.rerun()
    st.caption(
        t("It goes on when this page is closed; keep its address to come back. Whole epochs are kept when it stops.")
    )
    _show_curves(training)


def _show_rest(store: Trainings, training: Training, stage: str) -> None:
    if stage == "failed":
        told = store.progress(training)
        if told is not None and told.code in MESSAGES:
            show_error(ScreeningError(told.code, told.got))
        else:
            st.error(t("The training ended unexpectedly."))
    if stage == "done":
        st.success(t("The model is installed: its task page can choose it."), icon=":material/check_circle:")
        show_link(training.plan.task, t("Open the task"), "arrow_forward")
    elif st.button(t("Go on"), icon=":material/play_arrow:", type="primary", key="teaching.start"):
        _start(store, training)
    _show_curves(training)


def _show_curves(training: Training) -> None:
    """Of every fold that has begun."""
    for fold, history in training.histories().items():
        if history.epochs:
            st.markdown(f"**{t('Fold {n}', n=fold + 1)}**")
            show_history(history, f"teaching.{training.token[:6]}.{fold}")


def _start(store: Trainings, training: Training) -> None:
    try:
        store.start(training)
    except BusyError as error:
        show_error(error)
        return
    st.rerun()


def _show_end(store: Trainings, training: Training) -> None:
    st.divider()
    with st.container(horizontal=True):
        if st.button(t("New training"), icon=":material/add:", key="teaching.new"):
            del st.query_params[ADDRESS]
            st.rerun()
        if st.button(t("Delete its checkpoints"), icon=":material/delete:", key="teaching.delete"):
            store.delete(training)
            del st.query_params[ADDRESS]
            st.rerun()
    st.caption(t("A model that came out stays installed: it lies in the folder of weights."))
