"""Labelled hips for training and evaluation: phantoms, or a hospital's folder with a label table."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.clinical.osteoporosis import NECK_BMD_MEAN, NECK_BMD_SD, who_class
from core.errors import UsageError
from core.i18n import mark
from core.io.labelled_folder import grade, labelled, studies, truth_table
from core.phantom import Phantom
from core.records import LabelledCase, Region, Regions, Study
from core.tasks.hip_osteoporosis.locate import locate
from core.tasks.hip_osteoporosis.phantom import make_phantom
from core.tasks.hip_osteoporosis.prepare import crop_region
from core.tasks.hip_osteoporosis.task import CONTEXT, SIZE, STORED_HIGH, STORED_LOW

WHO_CLASSES = ("normal", "low_bone_mass", "osteoporosis")


def phantom_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """`n` labelled phantom hips. Training patients have one or two hips with the same markers, test patients one.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of hips.
    """
    return (case for case, _ in _phantom_hips(seed, part, n))


def three_class_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """The same hips as 0 normal, 1 osteopenia, 2 osteoporosis, by the measured T-score (WHO)."""
    for case, phantom in _phantom_hips(seed, part, n):
        yield replace(case, target=float(WHO_CLASSES.index(who_class(float(str(phantom.truth["t_score_dxa"]))))))


def _phantom_hips(seed: int, part: Literal["training", "test"], n: int) -> Iterator[tuple[LabelledCase, Phantom]]:
    """Cases with the phantoms that they show."""
    made, patient = 0, 0
    while made < n:
        rng = np.random.default_rng([seed, int(part == "test"), patient])
        hips = 1 if part == "test" else 1 + patient % 2
        first = make_phantom(rng)
        sides = [first] if hips == 1 else [first, make_phantom(rng, like=first)]
        for side, phantom in enumerate(sides[: n - made]):
            case = LabelledCase(
                case_id=f"{part}-{patient:05d}-{side}",
                patient=f"{part}-{patient:05d}",
                study=phantom.study(),
                target=float(str(phantom.truth["label"])),
                markers=tuple(phantom.markers.values()),
            )
            yield case, phantom
            made += 1
        patient += 1


def truth_mask(phantom: Phantom, label: str) -> NDArray[np.bool_]:
    """What an explanation of `label` should mark: the femur, which holds every marker of the T-score.

    Returns:
        Boolean (H, W) of the frame; empty where the phantom has no osteoporosis.
    """
    return np.asarray(phantom.truth["femur"], bool) & bool(phantom.truth["label"])


DEXA_COLUMNS = ("PatientID", "ScanDate", "Neck_BMD", "T_score")


def dexa_rows(rng: np.random.Generator, patient: str, phantom: Phantom) -> list[dict[str, str]]:
    """The DXA table's rows of one phantom patient: the true measurement and, for some, decoys that pairing must not take.

    Args:
        rng: Source of dates and decoys.
        patient: Patient id as in the film's header.
        phantom: Gives the T-score and the date of the film.

    Returns:
        Rows with DEXA_COLUMNS: first the scan that belongs to the film (within 150 days). Then, each for a part of the
        patients: a scan about a year away, one just beyond six months, one without values, one of a patient without film.
    """
    t_score = float(str(phantom.truth["t_score_dxa"]))
    film = datetime.strptime(str(phantom.meta["StudyDate"]), "%Y%m%d")

    def row(days: float, score: float | None, name: str = patient) -> dict[str, str]:
        values = ("", "") if score is None else (f"{NECK_BMD_MEAN + NECK_BMD_SD * score:.3f}", f"{score:.2f}")
        return dict(zip(DEXA_COLUMNS, (name, f"{film + timedelta(days=days):%Y-%m-%d}", *values), strict=True))

    side = int(rng.choice([-1, 1]))
    decoys = [
        row(side * int(rng.integers(330, 420)), t_score + float(rng.normal(0, 0.6))),
        row(-side * 186, t_score + float(rng.normal(0, 0.6))),
        row(side * int(rng.integers(1, 90)), None),
        row(int(rng.integers(-90, 90)), float(rng.normal(-2, 1)), f"{patient}X"),
    ]
    taken = rng.random(len(decoys)) < (0.3, 0.15, 0.1, 0.15)
    return [
        row(int(rng.integers(-150, 151)), t_score),
        *(decoy for decoy, use in zip(decoys, taken, strict=True) if use),
    ]


def folder_cases(folder: Path, labels: Path | None, split: str) -> Iterator[LabelledCase]:
    """A hospital's own hips; see `labelled_folder.labelled` for the table.

    Columns x_min, y_min, x_max and y_max, where filled, are a reviewed box of the femoral neck: the square around it is cut in
    place of the region that `locate` proposes.
    """
    for number, row, study in labelled(folder, labels, split, n_classes=2):
        yield LabelledCase(
            f"{split}-{number:05d}", row["patient"], study, float(row["label"]), regions=_reviewed(row, study)
        )


def _reviewed(row: dict[str, str], study: Study) -> Regions | None:
    """The region of a reviewed box, None where nobody reviewed one.

    Raises:
        UsageError: The box is none.
    """
    texts = [row.get(name, "") for name in ("x_min", "y_min", "x_max", "y_max")]
    if not any(texts):
        return None
    try:
        x0, y0, x1, y1 = (float(text) for text in texts)
    except ValueError as error:
        raise UsageError("a reviewed box in the table of labels is none") from error
    half = max(x1 - x0, y1 - y0) / 2
    if not 0 < half < math.inf:
        raise UsageError("a reviewed box in the table of labels is none")
    x, y, side = (x0 + x1) / 2, (y0 + y1) / 2, study.laterality or "L"
    return (Region((x - half, y - half, x + half, y + half), laterality=side, mirrored=side == "R"),)


def evaluation_cases(folder: Path, labels: Path | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    """Labelled hips for measuring a model.

    Args:
        folder: Where the files lie.
        labels: CSV with file and label (0 or 1), and patient and laterality where known; default truth.csv in the folder.
        excluded: Gets the number of files left out by reason.
    """
    rows = truth_table(folder, labels, ("file", "label"))
    for number, row, study in studies(folder, rows, excluded):
        yield LabelledCase(f"case-{number:05d}", row.get("patient") or row["file"], study, grade(row, "label", 2))


def training_array(case: LabelledCase) -> NDArray[np.uint8]:
    """The labelled region of one hip with context, as training stores it.

    Returns:
        uint8 (288, 288), 0..255 for -0.25..1.25 of the stretched range.
    """
    (region, *_) = case.regions or locate(case.study)
    crop = crop_region(case.study, region, SIZE, CONTEXT)
    share = (np.clip(crop, STORED_LOW, STORED_HIGH) - STORED_LOW) / (STORED_HIGH - STORED_LOW)
    return np.rint(share * 255).astype(np.uint8)


MANIFEST: dict[str, object] = {
    "input": {
        "modality": ("CR", "DX"),
        "size": (SIZE, SIZE),
        "channels": 3,
        "unit": "relative",
        "value_range": (0.0, 1.0),
    },
    "transforms": (
        {"name": "display", "parameters": {"window": "the file's, else percentiles 0.5-99.5"}},
        {"name": "crop_femoral_neck", "parameters": {"side_head_radii": 4.7, "shift_head_radii": 1.13}},
        {"name": "mirror_right_to_left"},
        {"name": "resize", "parameters": {"size": float(SIZE)}},
        {"name": "percentiles", "parameters": {"low": 1.0, "high": 99.0}},
        {"name": "normalise", "parameters": {"statistics": "ImageNet mean and standard deviation"}},
    ),
    "labels": ("osteoporosis",),
    "cuts": (("youden", "osteoporosis", "youden"), ("sensitivity_95", "osteoporosis", "sensitivity_95")),
    "explanation_layer": {
        "resnet18": "layer4",
        "resnet34": "layer4",
        "googlenet": "inception5b",
        "densenet121": "features",
        "vgg16": "features",
    },
    "eligible_age_years": (50.0, 100.0),
    "intended_use": mark(
        "Demonstration and method evaluation on frontal hip radiographs of adults of 50 years and more. "
        "Research use, not a medical device; the output is a score, not a diagnosis, and cannot rule out osteoporosis."
    ),
    "trained_on": {"phantom": (mark("Trained on simulated radiographs only: it never saw a patient."),)},
    "limitations": (
        mark("A radiograph classifier does not measure bone mineral density; DXA remains the reference standard."),
        mark("Films with metal on the femur, blur, or another view than frontal were not in the training data."),
        mark("The score is not calibrated to the prevalence of any hospital."),
    ),
}
