"""A new training: task, network, data, recipe; and how long it would take here."""

import time
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import UsageError
from core.services.trainings import Plan, Training, Trainings
from core.task import Task
from pages.parts.errors import show_error
from pages.parts.settings import settings
from pages.parts.task_choice import choose_task
from pages.parts.words import t

_OPTIMIZERS = ("adam", "sgd", "adagrad", "rmsprop")
_ESTIMATE = "teaching.estimate"
_TEST_SHARE = 3  # phantoms to train on for one to test on
_LEAST_TEST = 60  # or a grade may have no case


def show_new(store: Trainings) -> Training | None:
    """The form; a training once it was filled in and agreed to."""
    with st.container(border=True):
        task = choose_task("teaching.task")
        left, right = st.columns(2, gap="medium")
        with left:
            plan = {"task": task.id} | _ask_network(task) | _ask_data()
        with right:
            plan |= _ask_recipe()
        st.caption(
            t(
                "Every fold keeps the images of a patient together. One fold is enough to try; five measure every training case "
                "by a network that never saw its patient."
            )
        )
        own = Plan(**plan, created=time.time())
        _show_estimate(own)
        if not st.button(t("Train"), icon=":material/play_arrow:", type="primary", key="teaching.create"):
            return None
    try:
        return store.create(own)
    except UsageError as error:
        show_error(error)
        return None


def _ask_network(task: Task) -> dict[str, Any]:
    architecture = st.selectbox(t("Network"), list(task.architectures), key=f"teaching.network.{task.id}")
    key = f"teaching.name.{task.id}.{architecture}"
    name = st.text_input(t("Name of the model"), f"{architecture}_own", max_chars=40, key=key)
    return {"architecture": str(architecture), "name": name}


def _ask_data() -> dict[str, Any]:
    """Phantoms, or a folder that this installation offers."""
    root = settings().training.root
    folders = (
        sorted(path.name for path in root.iterdir() if (path / "labels.csv").is_file())
        if root and root.is_dir()
        else []
    )
    if root and folders:
        name = st.selectbox(
            t("Folder on the server"), folders, index=None, key="teaching.folder", placeholder=t("Phantoms")
        )
        if name is not None:
            return {"phantoms": 0, "test_phantoms": 0, "server_folder": str(root / name)}
    n = int(st.number_input(t("Phantoms to train on"), 10, 20_000, 300, 10, key="teaching.phantoms"))
    return {"phantoms": n, "test_phantoms": max(_LEAST_TEST, n // _TEST_SHARE), "server_folder": ""}


def _ask_recipe() -> dict[str, Any]:
    columns = st.columns(2)
    epochs = columns[0].number_input(t("Epochs"), 1, 200, 5, 1, key="teaching.epochs")
    batch = columns[1].number_input(t("Batch"), 1, 128, 16, 1, key="teaching.batch")
    optimizer = columns[0].selectbox(t("Optimizer"), _OPTIMIZERS, key="teaching.optimizer")
    rate = columns[1].number_input(t("Learning rate"), 1e-6, 1.0, 1e-3, 1e-4, format="%.6f", key="teaching.lr")
    folds = st.segmented_control(t("Folds"), [1, 5], default=1, required=True, key="teaching.folds")
    return {
        "epochs": int(epochs),
        "batch": int(batch),
        "optimizer": str(optimizer),
        "lr": float(rate),
        "folds": int(folds or 1),
    }


def _show_estimate(plan: Plan) -> None:
    """Asked for, because it trains a little."""
    key = (plan.task, plan.architecture, plan.batch)
    if st.button(t("How long would it take?"), icon=":material/timer:", key="teaching.time"):
        with st.spinner(t("Trying a few steps"), show_time=True):
            from core.training.estimate import estimate  # loads torch
            from core.training.fit import Recipe

            found = estimate(plan.task, Recipe(architecture=plan.architecture, batch=plan.batch))
            st.session_state[_ESTIMATE] = (key, found)
    kept, found = st.session_state.get(_ESTIMATE, (None, None))
    if kept != key or found is None:
        return
    n = plan.phantoms or _n_rows(Path(plan.server_folder))
    minutes = found.total(n, plan.test_phantoms, plan.epochs, plan.folds) / 60
    st.info(
        t("About {minutes} min on this machine while nothing else runs.", minutes=f"{max(1, minutes):.0f}"),
        icon=":material/timer:",
    )


def _n_rows(folder: Path) -> int:
    with (folder / "labels.csv").open("rb") as file:
        return max(0, sum(1 for _ in file) - 1)
