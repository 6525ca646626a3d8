"""What an installation may set: `.streamlit/fivefold.toml`."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).resolve().parents[2] / ".streamlit" / "fivefold.toml"


@dataclass(frozen=True)
class Settings:
    """Settings of one installation.

    Attributes:
        referral_name: Where people are sent for an examination, as shown.
        referral_url: Its appointment page; an empty one shows no link.
    """

    referral_name: str = ""
    referral_url: str = ""


@lru_cache(maxsize=1)
def settings(file: Path = _FILE) -> Settings:
    """The settings; defaults where the file or a line is missing."""
    if not file.is_file():
        return Settings()
    referral = tomllib.loads(file.read_text(encoding="utf-8")).get("referral", {})
    return Settings(str(referral.get("name", "")), str(referral.get("url", "")))
