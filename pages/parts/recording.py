"""What pages write into the history and the audit log of this installation."""

import secrets
from collections.abc import Mapping

import streamlit as st

from core import registry
from core.errors import HistoryError, WeightsError
from core.records import ScreeningResult
from core.services import audit
from core.services.history import History, open_history, result_id
from core.services.history_settings import history_settings
from pages.parts.errors import show_error

_TOKEN, _KEPT = "history.token", "history.kept"
PAGE = "page"


def actor() -> str:
    """Who is signed in, for the audit log; without a sign-in the page itself."""
    return str(st.user.get("email") or st.user.get("sub") or PAGE)


def history() -> History | None:
    """The history of this installation; None where it is switched off.

    Raises:
        HistoryError: It cannot be opened.
    """
    settings = history_settings()
    return open_history(settings) if settings.enabled else None


def keep_once(result: ScreeningResult) -> None:
    """Keep a result that is shown: once for each session, however often the page is drawn. A history at fault is told, and the
    result stays on the page.
    """
    state = st.session_state
    token = state.setdefault(_TOKEN, secrets.token_hex(16))
    kept: set[str] = state.setdefault(_KEPT, set())
    identity = result_id(result, token)
    if identity in kept:
        return
    try:
        own = history()
        if own is not None:
            audit.note_models(own.store, "program", _installed())
            own.add(result, actor(), PAGE, token)
    except HistoryError as error:
        show_error(error)
    else:
        kept.add(identity)


def note(action: audit.Action, about: str, details: Mapping[str, object] | None = None) -> None:
    """A row of the audit log about something that happened on a page; nothing where the history is switched off."""
    try:
        own = history()
        if own is not None:
            audit.note(own.store, actor(), action, about, details)
    except HistoryError as error:
        show_error(error)


def _installed() -> dict[str, str]:
    """Hash of the weights of every installed model; one that is refused answers nothing, and is told as that."""
    found = {}
    for task_id in registry.tasks():
        for folder in registry.model_folders(task_id):
            try:
                manifest = registry.manifest_of(task_id, folder.name)
            except WeightsError:
                manifest = None
            found[f"{task_id}/{folder.name}"] = manifest.weights.sha256 if manifest else "refused"
    return found
