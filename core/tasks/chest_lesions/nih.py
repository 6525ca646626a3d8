"""Films of NIH ChestX-ray14, or of a folder with an index like it: bases of composites, and films with words of reports."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.io.labelled_folder import Row, read_table, studies
from core.records import Frame, LabelledBoxes, LabelledCase, Study
from core.tasks.chest_lesions.composite import HEART, compose, disturb
from core.tasks.chest_lesions.landmarks import Landmarks, Masks, find_landmarks
from core.tasks.chest_lesions.locate import locate
from core.tasks.chest_lesions.phantom.findings import draw_severities
from core.tasks.chest_lesions.prepare import picture
from core.tasks.chest_lesions.task import FILM_SIDE, TASK

Part = Literal["training", "test"]
FindMasks = Callable[[NDArray[np.float32]], NDArray[np.bool_]]  # float32 (S, S) in [0, 1] -> (3, S, S), see `Masks`
INDEX, BOXES = "index.csv", "boxes.csv"
COLUMNS = ("image", "patient", "age", "view", "labels")
NORMAL = "No Finding"
FINDINGS: Mapping[str, str] = {
    "cardiac_hypertrophy": "Cardiomegaly",
    "lung_field_infiltration": "Infiltration",
    "intercostal_pleural_thickening": "Pleural_Thickening",
}
"""Label id to the word of the index that comes nearest; the other four findings have none."""
MEASURES: Mapping[str, str] = {"cardiac_hypertrophy": "cardiothoracic_ratio"}
"""Label id to what `locate.measure` says of the same finding."""
LEARNT = ("lung_field_infiltration",)
"""Labels whose words are many enough to learn from."""
MEASURED = frozenset(word for label, word in FINDINGS.items() if label not in LEARNT)
UNCLEAR = frozenset(
    {"Pneumonia", "Consolidation", "Edema", "Atelectasis"}
)  # without the word itself: infiltrates or none
MIN_AGE_YEARS = 18.0
TEST_SHARE = 3  # one patient in so many is for testing
UNTOUCHED = 0.2  # of the composites: nothing is drawn, so that drawing as such tells nothing


def composite_cases(folder: Path, find_masks: FindMasks, seed: int, part: Part, n: int) -> Iterator[LabelledCase]:
    """`n` real films with drawn findings, each film as often as any other, grouped by patient.

    Severities are drawn as those of the phantoms; findings below the limit are drawn too, without a box. The bases are PA films
    of adults without a finding in the labels of NIH, which say nothing of tortuous aortas, worn or curved spines: some have them
    without a box. A heart that is wide by itself has a box.

    Args:
        folder: Holds images and index.csv with COLUMNS.
        find_masks: Heart and lungs of a film; films on which it finds no heart between two lungs are left out and named.
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of composites, fewer where films are left out.

    Raises:
        UsageError: No index.csv, a missing column, or no film that can be a base.
    """
    bases = _bases(folder, seed, part)
    for place, (number, row) in enumerate(bases[:n]):
        for _, _, study in studies(folder, [{"file": f"images/{row['image']}"}]):
            film = picture(study, locate(study)[0].box_xyxy, FILM_SIDE)
            landmarks = find_landmarks(Masks(*find_masks(film)))
            if landmarks is None:
                print(f"row {number + 1}: left out, no heart between two lungs", file=sys.stderr)
                continue
            for copy in range(n // len(bases) + (place < n % len(bases))):
                rng = np.random.default_rng([seed, 3, number, copy])
                name = f"nih-{Path(row['image']).stem}-{copy:02d}"
                try:
                    drawn, boxes = _composite(film, landmarks, rng)
                except UsageError:
                    print(f"row {number + 1}: left out, the heart is not brighter than the lungs", file=sys.stderr)
                    break
                made = replace(study, frames=(Frame(drawn, "relative"),))
                yield LabelledCase(name, _patient(row), made, float(bool(boxes)), boxes=boxes)


def _bases(folder: Path, seed: int, part: Part) -> list[tuple[int, Row]]:
    """Rows of the index that may be bases, with their places in it, in random order."""
    rows = [
        (number, row) for number, row in _films(folder, seed, part) if row["labels"] == NORMAL and row["view"] == "PA"
    ]
    if not rows:
        raise UsageError(f"{INDEX} names no PA film of an adult without a finding")
    order = np.random.default_rng([seed, 2]).permutation(len(rows))
    return [rows[index] for index in order]


def _films(folder: Path, seed: int, part: Part) -> list[tuple[int, Row]]:
    """Rows of adults, with their places in the index.

    For testing is one patient in TEST_SHARE, and everyone with a word that is too rare to learn from or with none that tells
    anything.
    """
    rows = [
        (number, row) for number, row in enumerate(read_table(folder / INDEX, COLUMNS)) if _age(row) >= MIN_AGE_YEARS
    ]
    rare = {row["patient"] for _, row in rows if not MEASURED.isdisjoint(_words(row))}
    others = sorted({row["patient"] for _, row in rows} - rare)
    drawn = np.random.default_rng([seed, 4]).permutation(others)[: len(others) // TEST_SHARE]
    telling = {row["patient"] for _, row in rows if not np.isnan(_presence(_words(row), "training")).all()}
    held_out = rare | set(drawn.tolist()) | (set(others) - telling)
    return [(number, row) for number, row in rows if (row["patient"] in held_out) == (part == "test")]


def _words(row: Row) -> frozenset[str]:
    return frozenset(row["labels"].split("|"))


def _age(row: Row) -> float:
    return float(row["age"]) if row["age"].isdigit() else 0.0


def _composite(
    film: NDArray[np.float32], landmarks: Landmarks, rng: np.random.Generator
) -> tuple[NDArray[np.float32], LabelledBoxes]:
    film, landmarks = disturb(film, landmarks, rng)
    severities = draw_severities(int(rng.integers(2**62)), {})
    if rng.random() < UNTOUCHED:
        severities = {HEART: 0.0}  # changes nothing, but the heart is measured
    made = compose(film, landmarks, severities, rng)
    return made.film, made.boxes


def has_words(folder: Path) -> bool:
    """Whether a folder has an index with words, and no table of boxes."""
    try:
        read_table(folder / INDEX, COLUMNS)
    except UsageError:
        return False
    return not (folder / BOXES).is_file()


def labelled_films(folder: Path, excluded: Counter[str]) -> Iterator[tuple[LabelledCase, frozenset[str]]]:
    """Every film of an adult in the index, as it is, with its words; its target is 0 where the index calls it normal.

    Patients are named as those of the composites, so that a model which saw a film with drawn findings is not measured on it.

    Args:
        folder: Holds images and index.csv with COLUMNS.
        excluded: Gets the number of rows left out by reason.

    Raises:
        UsageError: No index.csv, or a missing column.
    """
    rows = read_table(folder / INDEX, COLUMNS)
    adults = [row | {"file": f"images/{row['image']}"} for row in rows if _age(row) >= MIN_AGE_YEARS]
    if len(adults) < len(rows):
        excluded["below 18 years or of unknown age"] += len(rows) - len(adults)
    for _, row, study in studies(folder, adults, excluded):
        yield _worded(row, study), _words(row)


def worded_cases(folder: Path, seed: int, part: Part) -> Iterator[LabelledCase]:
    """Films as they are, of which only the words are known: to learn from, and held out.

    Args:
        folder: Holds images and index.csv with COLUMNS.
        seed: That of `composite_cases`: the same patients are held out.
        part: Training films say something of the labels LEARNT alone; those that say nothing of them are left out.
    """
    rows = [row | {"file": f"images/{row['image']}"} for _, row in _films(folder, seed, part)]
    telling = [row for row in rows if not np.isnan(_presence(_words(row), part)).all()]
    for _, row, study in studies(folder, telling):
        yield replace(_worded(row, study), presence=_presence(_words(row), part))


def _presence(words: frozenset[str], part: Part) -> tuple[float, ...]:
    """Of every label 1, 0, or NaN where the words do not say."""

    def of(label: str) -> float:
        if label not in FINDINGS or (part == "training" and label not in LEARNT):
            return np.nan
        if FINDINGS[label] in words:
            return 1.0
        return np.nan if part == "training" and not UNCLEAR.isdisjoint(words) else 0.0

    return tuple(of(label.id) for label in TASK.labels)


def _worded(row: Row, study: Study) -> LabelledCase:
    tagged = replace(study, tags={**study.tags, "ViewPosition": row["view"]}, age_years=_age(row))
    abnormal = float(NORMAL not in _words(row))
    return LabelledCase(f"nih-{Path(row['image']).stem}", _patient(row), tagged, abnormal)


def _patient(row: Row) -> str:
    return f"nih-{row['patient']}"
