"""Labelled knees for training and evaluation: phantoms, or a hospital's folder of bone scans."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.i18n import mark
from core.io.labelled_folder import TRUTH, grade, labelled, studies, truth_table
from core.phantom import Phantom
from core.records import LabelledCase, Region, Study
from core.tasks.knee_djd.locate import JOINT_MM, locate
from core.tasks.knee_djd.phantom import make_phantom
from core.tasks.knee_djd.prepare import crop_region
from core.tasks.knee_djd.task import SIZE, STORED_STEP, TASK

FIRST_CODE = 2  # of `kneejointid`: 2 normal to 6 severe, -1 unspecified
MARKERS = ("ratio", "medial", "lateral", "patella")


def grades_of(study: Study) -> tuple[dict[str, int], Counter[str]]:
    """Grades that a file names itself, by side, and what was dropped.

    The codes of the right and the left knee are 2 (normal) to 6 (severe); -1 and anything else is unspecified. Where the names
    beside the codes say something else, the label is in conflict and dropped too.

    Returns:
        Grades 0 to 4 of the knees that have one, and counts of "unspecified" and "conflict".
    """
    ids, names = (study.tags.get(tag, ",").split(",") for tag in ("KneeJointId", "KneeJointName"))
    grades, dropped = {}, Counter[str]()
    for side, code, name in zip("RL", ids, names, strict=True):
        if name and code and name != code:
            dropped["conflict"] += 1
        elif code.isdigit() and 0 <= int(code) - FIRST_CODE < len(TASK.labels):
            grades[side] = int(code) - FIRST_CODE
        else:
            dropped["unspecified"] += 1
    return grades, dropped


def _region(study: Study, side: str) -> Region:
    regions = {str(region.laterality): region for region in locate(study)}
    if side not in regions:
        raise UsageError("laterality must be L or R")
    return regions[side]


def phantom_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """`n` labelled phantom knees: both of each training patient, one of each test patient.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of knees.
    """
    for patient in range((n + 1) // 2 if part == "training" else n):
        phantom = make_phantom(np.random.default_rng([seed, int(part == "test"), patient]))
        study = phantom.study()
        regions = {region.laterality: region for region in locate(study)}
        sides = (("R", "right"), ("L", "left"))
        for side, word in sides[: n - 2 * patient] if part == "training" else sides[patient % 2 :][:1]:
            yield LabelledCase(
                case_id=f"{part}-{patient:05d}-{side}",
                patient=f"{part}-{patient:05d}",
                study=study,
                target=float(str(phantom.truth[f"grade_{word}"])),
                markers=tuple(phantom.markers[f"{marker}_{word}"] for marker in MARKERS),
                regions=(regions["R" if side == "R" else "L"],),
            )


def truth_mask(phantom: Phantom, label: str) -> NDArray[np.bool_]:
    """What an explanation of `label` should mark: the joints of this grade or a worse one; only they know the grades.

    Returns:
        Boolean (H, W) of the front view: in each such knee the ellipse of JOINT_MM around its centre.
    """
    spacing = float(str(phantom.meta["PixelSpacing"]))
    rows, columns = np.ogrid[: phantom.pixels.shape[0], : phantom.pixels.shape[1]]
    mask = np.zeros(phantom.pixels.shape, bool)
    for side in ("right", "left"):
        if int(str(phantom.truth[f"grade_{side}"])) >= [own.id for own in TASK.labels].index(label):
            x, y = cast(tuple[float, float], phantom.truth[f"knee_{side}_xy"])
            mask |= np.hypot((columns - x) / JOINT_MM[0], (rows - y) / JOINT_MM[1]) * spacing <= 1
    return mask


def folder_cases(folder: Path, labels: Path | None, split: str) -> Iterator[LabelledCase]:
    """A hospital's own scans. With a table see `labelled_folder.labelled` (a row a knee, with its laterality).

    Without one, every .mat file in the folder is taken with the grades it names itself; every fifth file is for testing.
    What is dropped is counted.
    """
    if labels is not None:
        for number, row, study in labelled(folder, labels, split, len(TASK.labels)):
            region = _region(study, row.get("laterality", ""))
            case_id = f"{split}-{number:05d}-{region.laterality}"
            yield LabelledCase(case_id, row["patient"], study, float(row["label"]), regions=(region,))
        return
    names = sorted(path.name for path in folder.glob("*.mat"))
    chosen = [name for index, name in enumerate(names) if (index % 5 == 4) == (split == "test")]
    dropped = Counter[str]()
    for number, _, study in studies(folder, [{"file": name} for name in chosen]):
        grades, without = grades_of(study)
        dropped += without
        for side, value in grades.items():
            region = _region(study, side)
            yield LabelledCase(
                f"{split}-{number:05d}-{side}", f"{split}-{number:05d}", study, float(value), regions=(region,)
            )
    for reason, n in dropped.items():
        print(f"{split}: {n} knees left out, label {reason}", file=sys.stderr)


def evaluation_cases(folder: Path, labels: Path | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    """Labelled knees for measuring a model.

    Args:
        folder: Where the files lie.
        labels: CSV with file and either grade_right and grade_left or laterality and label (0 to 4), and patient where known.
            Default: truth.csv in the folder, else the grades that .mat files name themselves.
        excluded: Gets the number of files and knees left out by reason.
    """
    if labels is None and not (folder / TRUTH).is_file():
        names = sorted(path.name for path in folder.glob("*.mat"))
        for number, row, study in studies(folder, [{"file": name} for name in names], excluded):
            grades, dropped = grades_of(study)
            excluded.update({f"label {reason}": n for reason, n in dropped.items()})
            yield from _knees(f"case-{number:05d}", row["file"], study, grades)
        return
    for number, row, study in studies(folder, truth_table(folder, labels, ("file",)), excluded):
        columns = {row["laterality"]: "label"} if row.get("laterality") else {"R": "grade_right", "L": "grade_left"}
        if missing := [column for column in columns.values() if column not in row]:
            raise UsageError(f"the label table has no column {missing[0]}")
        grades = {side: int(grade(row, column, len(TASK.labels))) for side, column in columns.items()}
        yield from _knees(f"case-{number:05d}", row.get("patient") or row["file"], study, grades)


def _knees(name: str, patient: str, study: Study, grades: dict[str, int]) -> Iterator[LabelledCase]:
    """The labelled knees of one scan."""
    for side, value in grades.items():
        yield LabelledCase(f"{name}-{side}", patient, study, float(value), regions=(_region(study, side),))


def training_array(case: LabelledCase) -> NDArray[np.int16]:
    """The labelled knee as multiples of the shaft reference, as training stores it.

    Returns:
        int16 (128, 128), in steps of 0.001.
    """
    region = case.regions[0] if case.regions else locate(case.study)[0]
    ratios = crop_region(case.study, region)
    return np.rint(np.clip(ratios / STORED_STEP, 0, np.iinfo(np.int16).max)).astype(np.int16)


MANIFEST: dict[str, object] = {
    "input": {
        "modality": ("NM",),
        "size": (SIZE, SIZE),
        "channels": 1,
        "unit": "uptake ratio to the shafts",
        "value_range": (0.0, 32.0),
    },
    "transforms": (
        {"name": "crop_knee"},
        {"name": "mirror_left_to_right"},
        {"name": "resize", "parameters": {"size": float(SIZE)}},
        {"name": "divide_by_shaft_reference"},
        {"name": "log1p"},
    ),
    "labels": tuple(label.id for label in TASK.labels),
    "cuts": (("minimal_or_worse", "minimal", "youden"), ("moderate_or_worse", "moderate", "youden")),
    "explanation_layer": dict.fromkeys(TASK.architectures, "blocks"),
    "explanation_method": "hires_cam",
    "eligible_age_years": (18.0, 100.0),
    "intended_use": mark(
        "Demonstration and method evaluation on anterior whole-body bone scans (Tc-99m diphosphonate, delayed phase) of adults. "
        "Research use, not a medical device; the grades are those of a scan reader and not Kellgren-Lawrence grades."
    ),
    "trained_on": {"phantom": (mark("Trained on simulated scans only: it never saw a patient."),)},
    "limitations": (
        mark(
            "Uptake shows bone turnover: fracture, infection, tumour, Paget disease and a recent operation look alike."
        ),
        mark("Knee replacements were not in the training data."),
        mark("Only the anterior view is graded."),
        mark("The score is not calibrated to the prevalence of any hospital."),
    ),
}
