"""Labelled CT slices for training and evaluation: phantoms, real slices with shifted HU, or a hospital's folder."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.i18n import mark
from core.imaging.display import to_grey
from core.io.labelled_folder import grade, labelled, read_table, studies, truth_table
from core.phantom import Phantom
from core.records import LabelledCase, Regions
from core.tasks.ct_osteoporosis.locate import find_body, locate, roi_mean, trabecular_mask
from core.tasks.ct_osteoporosis.phantom import make_phantom
from core.tasks.ct_osteoporosis.prepare import crop_region
from core.tasks.ct_osteoporosis.task import (
    CONTEXT,
    HU_MAX,
    OSTEOPENIA_HU,
    OSTEOPOROSIS_HU,
    SIDE_MM,
    SIZE,
    SMOOTH_PX,
    TASK,
)

SLICES_PER_PATIENT = 3
STORED_MIN_HU = -600.0  # below both windows
SHIFTED_HU = ((35.0, OSTEOPOROSIS_HU), (OSTEOPOROSIS_HU, OSTEOPENIA_HU), (OSTEOPENIA_HU, 270.0))
SCATTER_HU = 20.0  # of the class around the HU, which tells no DXA class sharply: published class means lie 30 HU apart
MIN_COVERED = 0.9  # of the measured ellipse: less of it would leave the label in doubt
MAX_MISPLACED_MM = 6.0  # beyond it the found body is not the measured one and is left as it is
INDEX, INDEX_COLUMNS = "index.csv", ("file", "subject", "roi_x", "roi_y", "roi_hu")


def hu_class(hu: float) -> int:
    """0 above 160 HU, 1 from 110 to 160 HU, 2 below 110 HU (Pickhardt 2013)."""
    return 2 if hu < OSTEOPOROSIS_HU else 1 if hu <= OSTEOPENIA_HU else 0


def phantom_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """`n` labelled phantom slices: three of each training patient, one of each test patient.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of slices.
    """
    for index in range(n):
        patient, level = divmod(index, SLICES_PER_PATIENT if part == "training" else 1)
        if level == 0:
            rng = np.random.default_rng([seed, int(part == "test"), patient])
            first = phantom = make_phantom(rng)
        else:
            phantom = make_phantom(rng, like=first)
        yield LabelledCase(
            case_id=f"{part}-{patient:05d}-{level}",
            patient=f"{part}-{patient:05d}",
            study=phantom.study(),
            target=float(str(phantom.truth["label"])),
            markers=tuple(phantom.markers.values()),
        )


def truth_mask(phantom: Phantom, label: str) -> NDArray[np.bool_]:
    """What an explanation of `label` should mark: the trabecular bone of the vertebral body, which alone knows the T-score.

    Returns:
        Boolean (H, W) of the frame; empty where the phantom's class is milder than `label`.
    """
    return np.asarray(phantom.truth["trabecular"], bool) & (
        int(str(phantom.truth["label"])) >= [own.id for own in TASK.labels].index(label)
    )


def _number(row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{column} must be a number")
    return value


def measured_cases(folder: Path, excluded: Counter[str] | None = None) -> Iterator[LabelledCase]:
    """Real slices whose trabecular HU was measured, as they are, with the automatic region.

    Args:
        folder: Holds index.csv with INDEX_COLUMNS; the label is the class of roi_hu.
        excluded: Gets the number of files left out by reason.

    Raises:
        UsageError: No index.csv, a missing column, or a measurement that is no number.
    """
    rows = read_table(folder / INDEX, INDEX_COLUMNS)
    for number, row, study in studies(folder, rows, excluded):
        hu = _number(row, "roi_hu")
        yield LabelledCase(
            case_id=f"real-{number:04d}",
            patient=row["subject"],
            study=study,
            target=float(hu_class(hu)),
            regions=locate(study),
            reference=hu,
            centre_xy=(_number(row, "roi_x"), _number(row, "roi_y")),
        )


def evaluation_cases(folder: Path, labels: Path | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    """Labelled slices for measuring a model.

    Args:
        folder: Where the files lie.
        labels: CSV with file and label (0 to 2), and patient where known. Default: index.csv of measured HU in the folder, else
            truth.csv.
        excluded: Gets the number of files left out by reason.
    """
    if labels is None and (folder / INDEX).is_file():
        yield from measured_cases(folder, excluded)
        return
    rows = truth_table(folder, labels, ("file", "label"))
    for number, row, study in studies(folder, rows, excluded):
        target = grade(row, "label", len(TASK.labels))
        yield LabelledCase(f"case-{number:05d}", row.get("patient") or row["file"], study, target)


def background_cases(folder: Path, seed: int, copies: int) -> Iterator[LabelledCase]:
    """Every measured real slice as it is, and `copies` of it whose trabecular bone is shifted to a drawn mean HU.

    The network so sees real scanners, contrast media, kernels and noise with known HU. The class scatters around the HU, as that
    of the phantoms does.

    Args:
        folder: See `measured_cases`.
        seed: Same seed, same shifts.
        copies: Shifted versions of each slice, balanced over the classes but for the scatter.
    """
    for index, case in enumerate(measured_cases(folder)):
        yield case
        mask = _mask_of(case)
        covered = 0.0 if mask is None else _share_of_ellipse(mask, case)
        if mask is None or case.reference is None or covered < MIN_COVERED:
            continue
        rng = np.random.default_rng([seed, 2, index])
        for copy in range(copies):
            hu = float(rng.uniform(*SHIFTED_HU[(index + copy) % len(SHIFTED_HU)]))
            scatter = float(rng.normal(0, SCATTER_HU))
            pixels = to_grey(case.study.frame) + np.float32((hu - case.reference) / covered) * mask
            frame = replace(case.study.frame, pixels=pixels.astype(np.float32))
            yield LabelledCase(
                case_id=f"{case.case_id}-shifted-{copy:02d}",
                patient=case.patient,
                study=replace(case.study, frames=(frame,)),
                target=float(hu_class(hu + scatter)),
                regions=case.regions,
            )


def _mask_of(case: LabelledCase) -> NDArray[np.float32] | None:
    """Trabecular bone of the measured vertebral body, None where another place was found."""
    frame, centre = case.study.frame, case.centre_xy
    if frame.spacing_mm is None or centre is None:
        return None
    body = find_body(to_grey(frame), frame.spacing_mm)
    if body is None:
        return None
    rows_mm, columns_mm = frame.spacing_mm
    if np.hypot((body.x - centre[0]) * columns_mm, (body.y - centre[1]) * rows_mm) > MAX_MISPLACED_MM:
        return None
    return trabecular_mask(body, frame.pixels.shape[:2], frame.spacing_mm)


def _share_of_ellipse(mask: NDArray[np.float32], case: LabelledCase) -> float:
    """How much of the measured ellipse lies in the mask, [0, 1]; 0 where it cannot be told."""
    if case.centre_xy is None or case.study.frame.spacing_mm is None:
        return 0.0
    share = roi_mean(mask, case.study.frame.spacing_mm, *case.centre_xy)
    return share if np.isfinite(share) else 0.0


def folder_cases(folder: Path, labels: Path | None, split: str) -> Iterator[LabelledCase]:
    """A hospital's own slices; see `labelled_folder.labelled` for the table."""
    for number, row, study in labelled(folder, labels, split, len(TASK.labels)):
        yield LabelledCase(f"{split}-{number:05d}", row["patient"], study, float(row["label"]))


def training_array(case: LabelledCase) -> NDArray[np.int16]:
    """The labelled region with context in HU, as training stores it.

    Returns:
        int16 (192, 192).
    """
    regions: Regions = case.regions or locate(case.study)
    crop = crop_region(case.study, regions[0], SIZE, CONTEXT)
    return np.rint(np.clip(crop, STORED_MIN_HU, HU_MAX)).astype(np.int16)


def background_facts(facts: dict[str, object]) -> dict[str, object]:
    """What changes when real slices with shifted HU are added to phantoms."""
    return {
        "kind": "real images, synthetic findings",
        "training_name": f"{facts['training_name']}, and real slices with measured and with shifted HU from the TCIA collections "
        "ACRIN-FLT-Breast, CPTAC-PDA, Lung-Fused-CT-Pathology and COVID-19-NY-SBU",
        "licence": f"{facts['licence']}; CC BY 3.0 and CC BY 4.0 (TCIA)",
        "test_licence": facts["licence"],
        "reference_name": "real slices, out of fold by subject",
    }


HU_GRADING = mark("The classes are ranges of trabecular HU, not T-scores: this is HU grading, not DXA.")

MANIFEST: dict[str, object] = {
    "input": {
        "modality": ("CT",),
        "size": (SIZE, SIZE),
        "channels": 6,
        "unit": "HU",
        "value_range": (-450.0, 1024.0),
    },
    "transforms": (
        {"name": "crop_vertebral_body", "parameters": {"side_mm": SIDE_MM}},
        {"name": "resize", "parameters": {"size": float(SIZE)}},
        {"name": "smooth", "parameters": {"sd_mm": round(SMOOTH_PX * SIDE_MM / SIZE, 3)}},
        {"name": "window_s", "parameters": {"hu_min": -128.0, "hu_max": 1024.0}},
        {"name": "window_t", "parameters": {"hu_min": -450.0, "hu_max": 1024.0}},
        {"name": "clip"},
        {"name": "normalise", "parameters": {"statistics": "ImageNet mean and standard deviation"}},
    ),
    "labels": tuple(label.id for label in TASK.labels),
    "cuts": (("below_normal", "osteopenia", "youden"), ("osteoporosis", "osteoporosis", "youden")),
    "explanation_layer": {
        "resnet18_acm": "layer4",
        "resnet18": "layer4",
        "xception": "act4",
        "inception_v3": "Mixed_7c",
        "efficientnet_b0": "features",
        "vit_b_16": "encoder",
    },
    "eligible_age_years": (18.0, 100.0),
    "intended_use": mark(
        "Demonstration and method evaluation on axial CT slices through a lower thoracic or lumbar vertebral body of adults. "
        "Research use, not a medical device; the output grades trabecular HU, it is not a diagnosis and not a bone density."
    ),
    "trained_on": {
        "phantom": (HU_GRADING, mark("Trained on simulated slices only: it never saw a patient.")),
        "real images, synthetic findings": (
            HU_GRADING,
            mark(
                "Trained on simulated slices and on real slices whose HU was shifted; no slice had a DXA measurement."
            ),
        ),
    },
    "limitations": (
        mark("HU depends on tube voltage, contrast medium, reconstruction kernel and calibration."),
        mark("Fractured vertebrae, metal and cement were not in the training data."),
        mark("The score is not calibrated to the prevalence of any hospital."),
    ),
}
