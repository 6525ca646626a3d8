"""Whether, where and how long screenings are kept: `[history]` in `.streamlit/fivefold.toml`."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FILE = _ROOT / ".streamlit" / "fivefold.toml"
_URL = f"sqlite:///{(_ROOT / 'history.sqlite').as_posix()}"
VARIABLE = "FIVEFOLD_HISTORY"
OFF = "off"


@dataclass(frozen=True)
class HistorySettings:
    """Of one installation.

    Attributes:
        url: SQLAlchemy URL of the database; the environment variable FIVEFOLD_HISTORY comes before the file.
        enabled: Whether anything is kept; FIVEFOLD_HISTORY=off says no.
        keep_days: After which a screening is deleted; None = never.
        has_demographics: Whether age and sex are kept with it.
    """

    url: str = _URL
    enabled: bool = True
    keep_days: float | None = None
    has_demographics: bool = False


def history_settings(file: Path = _FILE) -> HistorySettings:
    """The settings; defaults where the file or a line is missing."""
    read = tomllib.loads(file.read_text(encoding="utf-8")).get("history", {}) if file.is_file() else {}
    asked = os.environ.get(VARIABLE, "")
    days = float(read.get("keep_days", 0))
    return HistorySettings(
        url=(asked if asked != OFF else "") or str(read.get("url", "")) or _URL,
        enabled=asked != OFF and bool(read.get("enabled", True)),
        keep_days=days if days > 0 else None,
        has_demographics=bool(read.get("age_and_sex", False)),
    )
