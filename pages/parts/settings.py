"""What an installation may set: `.streamlit/fivefold.toml`."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FILE = _ROOT / ".streamlit" / "fivefold.toml"
_STORE, _TRAININGS = _ROOT / "evaluations", _ROOT / "trainings"
_REVIEWS, _CURATIONS, _BATCHES = _ROOT / "reviews", _ROOT / "curations", _ROOT / "batches"
_READER_STUDIES = _ROOT / "reader_studies"
MAX_UPLOAD_MB = 64  # a file, but for archives of labelled images: those may be as large as the server takes


@dataclass(frozen=True)
class Settings:
    """Settings of one installation.

    Attributes:
        referral_name: Where people are sent for an examination, as shown.
        referral_url: Its appointment page; an empty one shows no link.
        series_root: Folder whose subfolders hold one series each, for pages that take a series; None offers no folders.
        evaluation_root: Folder whose subfolders hold labelled images, for the evaluation page; None offers no folders.
        evaluation_store: Where evaluations are kept while they run and for a day after; the environment variable
            FIVEFOLD_EVALUATIONS comes before the file.
        review_root: Folder whose subfolders hold curated data sets, for the page that reviews boxes; None offers no folders.
        review_store: Where uploaded boxes are kept while they are reviewed and for a week after; the environment variable
            FIVEFOLD_REVIEWS comes before the file.
        training_root: Folder whose subfolders hold images and labels.csv, for the training page; None offers no folders.
        training_store: Where trainings keep their checkpoints.
        curation_root: Folder whose subfolders hold files to curate, for the curation page; None offers no folders.
        curation_store: Where curations are kept while they run and for a day after.
        reader_study_store: Where answers of reader studies are kept for a month; the environment variable
            FIVEFOLD_READER_STUDIES comes before the file.
        takes_weights: Whether the training page takes weights that were trained elsewhere.
        batch_root: Folder whose subfolders hold images, for the batch page; None offers no folders.
        batch_store: Where batches and their uploads are kept for a day; the environment variable FIVEFOLD_BATCHES comes before
            the file.
        knee_information: One line a grade of the knee page, by its id; a missing one leaves ours.
    """

    referral_name: str = ""
    referral_url: str = ""
    series_root: Path | None = None
    evaluation_root: Path | None = None
    evaluation_store: Path = _STORE
    training_root: Path | None = None
    training_store: Path = _TRAININGS
    review_root: Path | None = None
    review_store: Path = _REVIEWS
    curation_root: Path | None = None
    curation_store: Path = _CURATIONS
    reader_study_store: Path = _READER_STUDIES
    takes_weights: bool = True
    batch_root: Path | None = None
    batch_store: Path = _BATCHES
    knee_information: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=1)
def settings(file: Path = _FILE) -> Settings:
    """The settings; defaults where the file or a line is missing."""
    read = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    referral, knee = read.get("referral", {}), read.get("knee_information", {})
    lines = {str(grade): str(line) for grade, line in knee.items()}
    evaluation, training, review, curation, batch = (
        read.get(name, {}) for name in ("evaluation", "training", "review", "curation", "batch")
    )
    reader_study = read.get("reader_study", {})
    return Settings(
        referral_name=str(referral.get("name", "")),
        referral_url=str(referral.get("url", "")),
        series_root=_folder(read.get("series", {}).get("root")),
        evaluation_root=_folder(evaluation.get("root")),
        evaluation_store=_folder(os.environ.get("FIVEFOLD_EVALUATIONS") or evaluation.get("store")) or _STORE,
        training_root=_folder(training.get("root")),
        training_store=_folder(training.get("store")) or _TRAININGS,
        review_root=_folder(review.get("root")),
        review_store=_folder(os.environ.get("FIVEFOLD_REVIEWS") or review.get("store")) or _REVIEWS,
        curation_root=_folder(curation.get("root")),
        curation_store=_folder(curation.get("store")) or _CURATIONS,
        reader_study_store=_folder(os.environ.get("FIVEFOLD_READER_STUDIES") or reader_study.get("store"))
        or _READER_STUDIES,
        takes_weights=training.get("own_weights", True) is True,
        batch_root=_folder(batch.get("root")),
        batch_store=_folder(os.environ.get("FIVEFOLD_BATCHES") or batch.get("store")) or _BATCHES,
        knee_information=lines,
    )


def _folder(path: object) -> Path | None:
    return Path(str(path)) if path else None
