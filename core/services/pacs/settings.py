"""Which PACS, and as whom: `[pacs]` in `.streamlit/fivefold.toml`; the password comes from the environment or the secrets."""

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import PacsError

_FOLDER = Path(__file__).resolve().parents[3] / ".streamlit"
_FILE, _SECRETS = _FOLDER / "fivefold.toml", _FOLDER / "secrets.toml"
URL, USER, PASSWORD = "FIVEFOLD_PACS_URL", "FIVEFOLD_PACS_USER", "FIVEFOLD_PACS_PASSWORD"
OFF = "off"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class PacsSettings:
    """The one PACS of an installation.

    Attributes:
        url: Base of its DICOMweb services, for example https://pacs.example.org/dicom-web.
        user: Of HTTP basic authentication; "" = none is sent.
        password: Of this user.
        authority: PEM file of the authority that signed the certificate; None = those of the system.
        can_store: Whether pages offer to store results.

    Raises:
        PacsError: The URL is none of http or https, holds credentials or a query, or would send a password in the clear to
            another machine.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    authority: Path | None = None
    can_store: bool = False

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise PacsError("its address in the settings is no URL") from error
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise PacsError("its address in the settings is no URL of a DICOMweb server")
        if "@" in parts.netloc:
            raise PacsError("its address in the settings holds credentials: they belong into the secrets")
        if self.user and parts.scheme == "http" and host not in _LOOPBACK:
            raise PacsError("its address in the settings would send the password unencrypted: https is needed")


def pacs_settings(file: Path = _FILE, secrets: Path = _SECRETS) -> PacsSettings | None:
    """The settings; None where no PACS is named. Environment variables come before the files.

    Raises:
        PacsError: See `PacsSettings`.
    """
    own, hidden = _section(file), _section(secrets)
    url = os.environ.get(URL) or str(own.get("url", ""))
    if not url or url == OFF:
        return None
    authority = str(own.get("authority", ""))
    return PacsSettings(
        url=url.rstrip("/"),
        user=os.environ.get(USER) or str(own.get("user", "")),
        password=os.environ.get(PASSWORD) or str(hidden.get("password", "")),
        authority=Path(authority) if authority else None,
        can_store=own.get("store") is True,
    )


def _section(file: Path) -> dict[str, object]:
    section = tomllib.loads(file.read_text(encoding="utf-8")).get("pacs", {}) if file.is_file() else {}
    return section if isinstance(section, dict) else {}
