"""What an installation may set: `.streamlit/fivefold.toml`, or the file that FIVEFOLD_SETTINGS in the environment names."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

_ROOT = Path(__file__).resolve().parents[2]
_FILE = Path(os.environ.get("FIVEFOLD_SETTINGS") or _ROOT / ".streamlit" / "fivefold.toml")
MAX_UPLOAD_MB = 64  # a file, but for archives of labelled images: those may be as large as the server takes


@dataclass(frozen=True)
class Place:
    """Where the jobs of one page lie.

    Attributes:
        store: Folder of the jobs with their uploads; by default `<plural>/` in the folder of the program. The environment
            variable FIVEFOLD_<PLURAL> comes before the file.
        root: Folder whose subfolders are offered in place of an upload; None offers none.
    """

    store: Path
    root: Path | None = None


def _read_place(plural: str, lines: Mapping[str, object] = MappingProxyType({})) -> Place:
    store = os.environ.get(f"FIVEFOLD_{plural.upper()}") or lines.get("store")
    return Place(_folder(store) or _ROOT / plural, _folder(lines.get("root")))


def _folder(path: object) -> Path | None:
    return Path(str(path)) if path else None


@dataclass(frozen=True)
class Settings:
    """Settings of one installation.

    Attributes:
        referral_name: Where people are sent for an examination, as shown.
        referral_url: Its appointment page; an empty one shows no link.
        series_root: Folder whose subfolders hold one series each, for pages that take a series; None offers no folders.
        evaluation: Labelled images; kept for a day.
        training: Images and labels.csv; kept with their checkpoints.
        curation: Files to curate; kept for a day.
        review: Curated data sets whose boxes are reviewed; kept for a week.
        batch: Images to screen; kept for a day.
        reader_study: Answers of readers, kept for a month; it offers no folders.
        takes_weights: Whether the training page takes weights that were trained elsewhere.
        roles: Members by role, see core.services.access; empty = everything is open to everybody.
        knee_information: One line a grade of the knee page, by its id; a missing one leaves ours.
    """

    referral_name: str = ""
    referral_url: str = ""
    series_root: Path | None = None
    evaluation: Place = field(default_factory=partial(_read_place, "evaluations"))
    training: Place = field(default_factory=partial(_read_place, "trainings"))
    curation: Place = field(default_factory=partial(_read_place, "curations"))
    review: Place = field(default_factory=partial(_read_place, "reviews"))
    batch: Place = field(default_factory=partial(_read_place, "batches"))
    reader_study: Place = field(default_factory=partial(_read_place, "reader_studies"))
    takes_weights: bool = True
    roles: Mapping[str, object] = field(default_factory=dict)
    knee_information: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=1)
def settings(file: Path = _FILE) -> Settings:
    """The settings; defaults where the file or a line is missing."""
    read = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    referral, knee = read.get("referral", {}), read.get("knee_information", {})
    return Settings(
        referral_name=str(referral.get("name", "")),
        referral_url=str(referral.get("url", "")),
        series_root=_folder(read.get("series", {}).get("root")),
        evaluation=_read_place("evaluations", read.get("evaluation", {})),
        training=_read_place("trainings", read.get("training", {})),
        curation=_read_place("curations", read.get("curation", {})),
        review=_read_place("reviews", read.get("review", {})),
        batch=_read_place("batches", read.get("batch", {})),
        reader_study=_read_place("reader_studies", read.get("reader_study", {})),
        takes_weights=read.get("training", {}).get("own_weights", True) is True,
        roles=read.get("roles", {}),
        knee_information={str(grade): str(line) for grade, line in knee.items()},
    )
