"""Sign-in and roles, where the installation is set up for them; everything is open where it is not."""

import streamlit as st

from core.errors import UsageError
from core.services.access import Role, may_use, needed_for, read_roles, role_of
from pages.parts.errors import show_error
from pages.parts.settings import settings
from pages.parts.words import t


def is_page_open(page: str) -> bool:
    """Whether this session may use a page, by its address."""
    role = _role()
    return role is not None and may_use(role, page)


def show_refusal(page: str) -> None:
    """Stands in place of a page that this session may not use: what is missing, and what to do."""
    try:
        roles = read_roles(settings().roles)
    except UsageError as error:
        show_error(error)
        return
    with st.container(border=True, width=720):
        if not _signs_in():
            st.markdown("#### :material/lock: " + t("Sign-in is not set up"))
            st.markdown(
                t("Roles are set, but no sign-in: the administrator adds [auth] to the secrets of this server.")
            )
        elif not st.user.get("is_logged_in"):
            st.markdown("#### :material/login: " + t("Please sign in"))
            st.markdown(t("This installation is open to people with an account of their institution."))
            st.button(t("Sign in"), type="primary", icon=":material/login:", key="access.sign_in", on_click=st.login)
        elif role_of(st.user, roles) is None:
            st.markdown("#### :material/lock: " + t("Your account has no role here"))
            st.markdown(t("Ask the administrator of this installation for one, then sign in again."))
        else:
            st.markdown("#### :material/lock: " + t("This page needs another role"))
            own, names = role_of(st.user, roles), role_names()
            st.markdown(
                t(
                    "Your role: {own}. Needed: {needed}. Choose another page in the menu, or ask the administrator.",
                    own=names[own] if own else "–",
                    needed=names[needed_for(page)],
                )
            )


def show_account() -> None:
    """The role, and the way out; nothing where nobody signs in."""
    if not (_signs_in() and st.user.get("is_logged_in")):
        return
    role = _role()
    st.caption(t("Signed in · role: {role}", role=role_names()[role] if role else t("none")))
    st.button(t("Sign out"), icon=":material/logout:", key="access.sign_out", on_click=st.logout, width="stretch")


def role_names() -> dict[Role, str]:
    """In the reader's language."""
    return {"viewer": t("Viewer"), "evaluator": t("Evaluator"), "admin": t("Administrator")}


def _signs_in() -> bool:
    """Streamlit tells whether somebody is signed in only where [auth] is among its secrets."""
    return "is_logged_in" in st.user


def _role() -> Role | None:
    """Of this session; everything is open where neither sign-in nor roles are set up, and nothing where one half is missing."""
    try:
        roles = read_roles(settings().roles)
    except UsageError:
        return None
    if not _signs_in():
        return "admin" if roles.is_empty else None
    return role_of(st.user, roles) if st.user.get("is_logged_in") else None
