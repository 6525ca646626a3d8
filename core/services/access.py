"""Who may use which page: roles by e-mail or group, once people sign in.

The identity comes from the sign-in (OpenID Connect); what it may do is decided here, from the settings of the installation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core import registry
from core.errors import UsageError

Role = Literal["viewer", "evaluator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "evaluator", "admin")  # each may do what those before it may
EVERYBODY, GROUP = "*", "group:"
_OPEN_PAGES, _ADMIN_PAGES = ("home", "manual"), ("train",)


@dataclass(frozen=True)
class Roles:
    """Who has which role.

    Attributes:
        members: E-mail addresses, "group:<name>" or "*" by role.
        group_claim: Claim of the identity that lists groups.
    """

    members: Mapping[Role, frozenset[str]]
    group_claim: str = "groups"

    @property
    def is_empty(self) -> bool:
        """Whether nobody has a role."""
        return not any(self.members.values())


def read_roles(table: Mapping[str, object]) -> Roles:
    """Roles from the settings; names are compared without regard to case.

    Args:
        table: Lists of members by role, and perhaps "group_claim".

    Raises:
        UsageError: An unknown key, or a value of the wrong kind: a role that is misspelt must not pass unseen.
    """
    members: dict[Role, frozenset[str]] = {}
    for role in ROLES:
        names = table.get(role, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"[roles] {role} is no list of texts")
        members[role] = frozenset(name.strip().casefold() for name in names)
    claim = table.get("group_claim", "groups")
    if unknown := sorted(set(table) - {*ROLES, "group_claim"}):
        raise UsageError(f"[roles] knows {', '.join(ROLES)} and group_claim, not {unknown[0]}")
    if not isinstance(claim, str):
        raise UsageError("[roles] group_claim is no text")
    return Roles(members, claim)


def role_of(identity: Mapping[str, object], roles: Roles) -> Role | None:
    """The highest role of a person who signed in, None without any.

    Args:
        identity: Claims; an e-mail address that its provider calls unverified does not count.
        roles: Of the installation.
    """
    names = {EVERYBODY}
    email = identity.get("email")
    is_verified = identity.get("email_verified", True) is True
    if isinstance(email, str) and is_verified and "@" in email and not email.casefold().startswith(GROUP):
        names.add(email.strip().casefold())
    groups = identity.get(roles.group_claim)
    for group in [groups] if isinstance(groups, str) else groups if isinstance(groups, (list, tuple)) else []:
        names.add(f"{GROUP}{group}".casefold())
    return next((role for role in reversed(ROLES) if names & roles.members[role]), None)


def needed_for(page: str) -> Role:
    """The role that a page asks for, by its address: a page that nobody thought of asks for more than looking."""
    if page in _ADMIN_PAGES:
        return "admin"
    return "viewer" if page in _OPEN_PAGES or page in registry.tasks() else "evaluator"


def may_use(role: Role, page: str) -> bool:
    """Whether a role may use a page."""
    return ROLES.index(role) >= ROLES.index(needed_for(page))
