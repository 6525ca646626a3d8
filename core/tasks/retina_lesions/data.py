"""Labelled fundus photographs for training and evaluation: IDRiD, phantoms, or a hospital's folder."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import ScreeningError, UsageError
from core.i18n import mark
from core.io.labelled_folder import LABELS, Row, inside_folder, read_table, studies, truth_table
from core.io.reader import shared_reader
from core.phantom import Phantom
from core.records import Box, Frame, LabelledCase, Study
from core.tasks.retina_lesions.locate import locate
from core.tasks.retina_lesions.phantom import make_phantom, make_time_points
from core.tasks.retina_lesions.prepare import field_mask, picture
from core.tasks.retina_lesions.task import (
    DISC,
    EXUDATE,
    HAEMORRHAGE,
    INPUT_SIDE,
    MICROANEURYSM,
    OUTSIDE,
    REACHES,
    SIDE,
    STORED_STEP,
    STORED_ZERO,
    TASK,
)

COLUMNS = ("file", "mask", "patient")
N_CLASSES = 6  # of a label map, as IDRiD counts: beside those of the task 0 background, 4 soft exudate, 5 optic disc
PHANTOM_KINDS = (("disc", DISC), ("bright", EXUDATE), ("haemorrhage", HAEMORRHAGE), ("microaneurysm", MICROANEURYSM))
IDRID = (("images_1024", "labels_1024"), ("normal_1024", None))  # photographs, and their label maps


def phantom_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """`n` labelled phantom eyes, one a patient.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of eyes.
    """
    for index in range(n):
        phantom = make_phantom(np.random.default_rng([seed, int(part == "test"), index]))
        yield _phantom_case(f"{part}-{index:05d}", f"{part}-{index:05d}", phantom)


def time_point_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """The five photographs of each of `n` phantom eyes, as the reference system had them: "-t0" to "-t4" ends their case id."""
    for index in range(n):
        name = f"{part}-{index:05d}"
        for point, phantom in enumerate(make_time_points(np.random.default_rng([seed, int(part == "test"), index]))):
            yield _phantom_case(f"{name}-t{point}", name, phantom)


def _phantom_case(case_id: str, patient: str, phantom: Phantom) -> LabelledCase:
    """A phantom with its label map."""
    label_map = np.zeros(phantom.pixels.shape[:2], np.uint8)
    for name, kind in PHANTOM_KINDS:
        label_map[np.asarray(phantom.truth[name], bool)] = kind
    return _case(case_id, patient, phantom.study(), label_map)


def truth_mask(phantom: Phantom, label: str) -> NDArray[np.bool_]:
    """What an explanation of `label` should mark: the lesions of this kind.

    Returns:
        Boolean (H, W) of the frame; empty on an eye without them.
    """
    names = {"haemorrhage": "haemorrhage", "exudate": "bright"}
    return np.asarray(phantom.truth[names[label]], bool)


def idrid_cases(folder: Path, excluded: Counter[str] | None = None) -> Iterator[LabelledCase]:
    """Eyes with marked lesions, then eyes without retinopathy. IDRiD names no patients: image = patient.

    Args:
        folder: Holds the folders of IDRID.
        excluded: Gets the number of files left out by reason.
    """
    for images, labels in IDRID:
        names = sorted(path.name for path in (folder / images).glob("*.jpg"))
        rows = [
            {"file": f"{images}/{name}", "mask": f"{labels}/{Path(name).stem}.png" if labels else "", "patient": name}
            for name in names
        ]
        for case in _marked(folder, rows, images, excluded):
            yield replace(case, case_id=Path(case.patient).stem)


def background_cases(folder: Path, seed: int, copies: int) -> Iterator[LabelledCase]:
    """Real photographs with marked lesions beside the phantoms: those of IDRiD. Neither seed nor copies matter to them."""
    return idrid_cases(folder)


def folder_cases(folder: Path, labels: Path | None, split: str) -> Iterator[LabelledCase]:
    """A hospital's own photographs: a table with the columns file, mask, patient and split; see `evaluation_cases`.

    Default: labels.csv in the folder, as curation writes it.
    """
    labels = labels or folder / LABELS
    if not labels.is_file():
        raise UsageError("--data needs --labels, or labels.csv in its folder")
    rows = [row for row in read_table(labels, (*COLUMNS, "split")) if row["split"] == split]
    return _marked(folder, rows, split, None)


def evaluation_cases(folder: Path, labels: Path | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    """Photographs with label maps for measuring a model.

    Args:
        folder: Where the files lie.
        labels: CSV with file, mask (grey PNG of the same size: 0 background, 1 microaneurysm, 2 haemorrhage, 3 hard exudate, 4
            soft exudate, 5 optic disc; empty where there is no lesion) and patient. Default: IDRiD where the folder holds it,
            else truth.csv or labels.csv there.
        excluded: Gets the number of files left out by reason.
    """
    if labels is None and (folder / IDRID[0][0]).is_dir():
        return idrid_cases(folder, excluded)
    return _marked(folder, truth_table(folder, labels, COLUMNS), "case", excluded)


def _marked(folder: Path, rows: list[Row], prefix: str, excluded: Counter[str] | None) -> Iterator[LabelledCase]:
    """The photograph and the label map of each row; a photograph in grey or a mask that cannot be read costs its row.

    Raises:
        UsageError: A mask has another size or unknown classes.
    """
    for number, row, study in studies(folder, rows, excluded):
        label_map = np.zeros(study.frame.pixels.shape[:2], np.uint8)
        reason = "" if study.frame.unit == "rgb" else "no colour photograph"
        if row["mask"] and not reason:
            try:
                mask = shared_reader().read(inside_folder(folder.resolve(), row["mask"]).read_bytes()).frame
            except (ScreeningError, OSError) as error:
                reason = f"mask {error.code if isinstance(error, ScreeningError) else 'cannot be opened'}"
            else:
                label_map = _classes(mask, label_map.shape, number)
        if reason:
            print(f"row {number}: left out, {reason}", file=sys.stderr)
            if excluded is not None:
                excluded[reason] += 1
            continue
        yield _case(f"{prefix}-{number:05d}", row["patient"] or row["file"], study, label_map)


def _classes(mask: Frame, shape: tuple[int, ...], number: int) -> NDArray[np.uint8]:
    """The label map that a mask holds.

    Raises:
        UsageError: It has another size or unknown classes.
    """
    if mask.unit == "rgb" or mask.pixels.shape != shape:
        raise UsageError(f"the mask of row {number} is no grey picture of the photograph's size")
    if not np.isin(mask.pixels, range(N_CLASSES)).all():
        raise UsageError(f"the mask of row {number} holds other values than the classes 0 to {N_CLASSES - 1}")
    return mask.pixels.astype(np.uint8)


def _case(case_id: str, patient: str, study: Study, label_map: NDArray[np.uint8]) -> LabelledCase:
    """Target 1 = a haemorrhage or a hard exudate is marked."""
    target = float(np.isin(label_map, (HAEMORRHAGE, EXUDATE)).any())
    return LabelledCase(case_id, patient, study, target, label_map=label_map)


def training_array(case: LabelledCase) -> NDArray[np.uint8]:
    """The field of view as training stores it: uint8 (INPUT_SIDE, INPUT_SIDE, 6), see `prepare.picture`."""
    (region, *_) = case.regions or locate(case.study)
    return np.rint(picture(case.study, region.box_xyxy)[0] / STORED_STEP + STORED_ZERO).astype(np.uint8)


def training_map(case: LabelledCase) -> NDArray[np.uint8]:
    """The class of every pixel of the answer, OUTSIDE beyond the field of view: uint8 (SIDE, SIDE)."""
    (region, *_) = case.regions or locate(case.study)
    assert case.label_map is not None
    inside = field_mask(case.study, region.box_xyxy)
    return np.where(inside, _resized(case.label_map, region.box_xyxy), OUTSIDE).astype(np.uint8)


def _resized(label_map: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Nearest class of every pixel; background beyond the frame."""
    x0, y0, x1, y1 = box
    affine = ((x1 - x0) / SIDE, 0, x0, 0, (y1 - y0) / SIDE, y0)
    return np.asarray(Image.fromarray(label_map).transform((SIDE, SIDE), Image.Transform.AFFINE, affine))


def background_facts(facts: dict[str, object]) -> dict[str, object]:
    """What a manifest says when IDRiD is trained on."""
    return {
        "kind": "real images, real labels",
        "training_name": "IDRiD (Porwal et al. 2018, DOI 10.21227/H25W98): 34 eyes with pixel masks, 60 without retinopathy",
        "test_name": "the same eyes, each by the fold that never saw it",
        "licence": "CC BY 4.0",
    }


MANIFEST: dict[str, object] = {
    "input": {
        "modality": ("OP", "OT"),
        "size": (INPUT_SIDE, INPUT_SIDE),
        "channels": 3 * len(REACHES),
        "unit": "rgb",
        "value_range": (0.0, 255.0),
    },
    "transforms": (
        {"name": "crop_field_of_view"},
        {"name": "resize", "parameters": {"size": float(INPUT_SIDE)}},
        {
            "name": "subtract_local_mean",
            "parameters": {"sd_share_of_side": REACHES[0], "sd_share_of_side_again": REACHES[1]},
        },
        {
            "name": "divide_by_spread",
            "parameters": {"statistics": "1.4826 median absolute deviations inside the field"},
        },
        {"name": "clip", "parameters": {"limit": 7.9}},
    ),
    "labels": tuple(label.id for label in TASK.labels),
    "explanation_layer": {
        "unet_small": "middle",
        "unet_resnet18": "encoder.layer4",
        "unet": "bottom",
        "fcn_resnet101": "backbone.layer4",
        "segnet": "encoder",
        "deeplabv3": "backbone.layer4",
        "deeplabv3plus_resnet50": "encoder.layer4",
        "deeplabv3plus_xception": "encoder",
        "deeplabv3plus_drn": "encoder.layer4",
    },
    "eligible_age_years": (18.0, 100.0),
    "intended_use": mark(
        "Demonstration and method evaluation on colour fundus photographs of about 50 degrees centred between disc and fovea. "
        "Research use, not a medical device; the masks mark suspected haemorrhages and hard exudates, they grade no retinopathy."
    ),
    "trained_on": {
        "phantom": (mark("Trained on simulated photographs only: it never saw a patient."),),
        "real images, real labels": (
            mark(
                "Trained on photographs of one camera and one clinic (IDRiD, 94 eyes); "
                "other cameras and populations were never seen."
            ),
            mark("IDRiD names no patients: two eyes of one person may lie on both sides of a split."),
        ),
    },
    "limitations": (
        mark("Microaneurysms, cotton-wool spots, new vessels and macular oedema are not marked."),
        mark("No mask is no proof of a healthy retina: small haemorrhages are missed."),
    ),
}
