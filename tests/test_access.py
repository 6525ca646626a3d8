"""Sign-in and roles: who may use which page, and that half a set-up opens nothing."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import streamlit as st
from app_pages import ROOT, SLOW_S, says, words
from streamlit.testing.v1 import AppTest

from core import registry
from core.errors import UsageError
from core.services.access import ROLES, may_use, needed_for, read_roles, role_of
from pages.parts import access
from pages.parts.menu import sections
from pages.parts.settings import settings

TABLE = {
    "viewer": ["group:Radiology"],
    "evaluator": ["Eve@Hospital.example"],
    "admin": ["ada@hospital.example"],
    "group_claim": "groups",
}
TASK = "hip_osteoporosis"


# --- who has which role ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "role"),
    [
        ({"email": "ada@hospital.example"}, "admin"),
        ({"email": " ADA@hospital.example", "groups": ["Radiology"]}, "admin"),  # the highest
        ({"email": "eve@hospital.example", "email_verified": True}, "evaluator"),
        ({"email": "eve@hospital.example", "email_verified": False}, None),
        ({"email": "eve@hospital.example", "email_verified": "false"}, None),
        ({"email": "x@hospital.example", "groups": ["radiology", "other"]}, "viewer"),
        ({"groups": "Radiology"}, "viewer"),
        ({"roles": ["Radiology"]}, None),  # another claim
        ({"email": "group:radiology"}, None),  # an address is no group
        ({"email": None, "groups": None}, None),
        ({}, None),
    ],
)
def test_the_role_of_an_identity(identity: Mapping[str, object], role: str | None) -> None:
    assert role_of(identity, read_roles(TABLE)) == role


def test_everybody_may_look_where_a_star_says_so() -> None:
    roles = read_roles({"viewer": ["*"], "admin": ["ada@hospital.example"]})
    assert role_of({"email": "new@elsewhere.example"}, roles) == "viewer"
    assert role_of({}, roles) == "viewer"


@pytest.mark.parametrize(
    "table", [{"viewers": ["*"]}, {"viewer": "*"}, {"viewer": [1]}, {"group_claim": 3}, {"owner": []}]
)
def test_a_misspelt_table_is_refused(table: Mapping[str, object]) -> None:
    with pytest.raises(UsageError):
        read_roles(table)


def test_each_role_may_do_what_those_before_it_may() -> None:
    pages = [entry.file for entries in sections().values() for entry in entries]
    allowed = [{page for page in pages if may_use(role, page)} for role in ROLES]
    assert allowed[0] < allowed[1] < allowed[2] == set(pages)
    assert {"home", "manual", *registry.tasks()} == allowed[0]
    assert "train" not in allowed[1]
    assert needed_for("a_page_of_tomorrow") == "evaluator"


# --- the app ---------------------------------------------------------------------------------------------------------


def open_as(
    monkeypatch: pytest.MonkeyPatch, user: dict[str, Any], roles: Mapping[str, object] = TABLE, page: str = "home"
) -> AppTest:
    own = replace(settings(), roles=roles)
    monkeypatch.setattr(st, "user", user)
    monkeypatch.setattr(access, "settings", lambda: own)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW_S)
    app.session_state["language"] = "en"
    app.run()
    if page != "home":
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def has_accept_button(app: AppTest) -> bool:
    return any(button.key == "intended_use.accept" for button in app.button)


def test_without_a_set_up_everything_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_as(monkeypatch, {}, {}, "train")
    assert has_accept_button(app)  # the intended use, and then the page
    assert not any(button.key.startswith("access.") for button in app.button)


def test_the_shipped_settings_open_everything() -> None:
    assert read_roles(settings().roles).is_empty


@pytest.mark.parametrize("page", ["home", TASK, "train"])
def test_nobody_sees_a_page_before_signing_in(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_as(monkeypatch, {"is_logged_in": False}, page=page)
    assert says(app, "Please sign in")
    assert app.button(key="access.sign_in").label == "Sign in"
    assert not has_accept_button(app)


def test_an_account_without_a_role_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_as(monkeypatch, {"is_logged_in": True, "email": "mallory@elsewhere.example"})
    assert says(app, "Your account has no role here")
    assert not has_accept_button(app)
    assert "mallory" not in words(app)
    assert app.button(key="access.sign_out")


@pytest.mark.parametrize(
    ("email", "page", "is_open"),
    [
        ("eve@hospital.example", TASK, True),
        ("eve@hospital.example", "evaluate", True),
        ("eve@hospital.example", "train", False),
        ("ada@hospital.example", "train", True),
        ("viewer", TASK, True),
        ("viewer", "evaluate", False),
        ("viewer", "reader_study", False),
    ],
)
def test_a_page_opens_for_its_role_alone(email: str, page: str, is_open: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    user = {"is_logged_in": True, "email": email, "groups": ["radiology"] if email == "viewer" else []}
    app = open_as(monkeypatch, user, page=page)
    assert has_accept_button(app) is is_open
    assert says(app, "This page needs another role") is not is_open


def test_roles_without_a_sign_in_open_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of secrets that cannot be read must not open the house."""
    app = open_as(monkeypatch, {})
    assert says(app, "Sign-in is not set up")
    assert not has_accept_button(app)


def test_a_misspelt_role_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_as(monkeypatch, {"is_logged_in": True, "email": "ada@hospital.example"}, {"admins": ["*"]})
    assert not has_accept_button(app)
    assert re.search("not admins", "\n".join(text.value for text in app.text))


def test_a_sign_in_without_roles_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_as(monkeypatch, {"is_logged_in": True, "email": "ada@hospital.example"}, {})
    assert says(app, "Your account has no role here")
