"""Labelled chest films for training and evaluation: phantoms, marked hearts, a hospital's folder; those of NIH are in `nih`."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import UsageError
from core.i18n import mark
from core.io.labelled_folder import read_table, studies
from core.io.reader import shared_reader
from core.metrics.agreement_masks import overlap
from core.phantom import Phantom
from core.records import Box, LabelledBoxes, LabelledCase, Study
from core.tasks.chest_lesions import lungs, nih
from core.tasks.chest_lesions.composite import HEART, MAX_RATIO
from core.tasks.chest_lesions.landmarks import Mask, Masks, find_landmarks
from core.tasks.chest_lesions.locate import locate
from core.tasks.chest_lesions.phantom import make_phantom
from core.tasks.chest_lesions.prepare import film, picture, to_network
from core.tasks.chest_lesions.readers import BoxTable, read_boxes_csv, read_coco, read_voc
from core.tasks.chest_lesions.task import FILM_SIDE, SIDE, TASK

TEST_SHARE = 5  # one patient in so many is for testing
INDEX = "index.csv"
SWAPPED = "case_053.png"  # of chest_heart_lung: its right lung is called the left one
MASKS = ((lungs.RIGHT_LUNG, "right_lung"), (lungs.LEFT_LUNG, "left_lung"), (lungs.HEART, "heart"))  # heart over lung
TRUTH, PATIENTS = "boxes.csv", "patients.csv"
MIN_SIDE_PX = 2.0
_NUMBERS = {label.id: number for number, label in enumerate(TASK.labels, start=1)}


def _boxed(
    case_id: str, patient: str, study: Study, boxes: LabelledBoxes, markers: tuple[float, ...] = ()
) -> LabelledCase:
    """Target 1 = something was found."""
    return LabelledCase(case_id, patient, study, float(bool(boxes)), markers, boxes=boxes)


def phantom_cases(seed: int, part: nih.Part, n: int, *, has_ribs: bool = True) -> Iterator[LabelledCase]:
    """`n` phantom films, one a patient.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of films.
        has_ribs: See `make_phantom`.
    """
    for index in range(n):
        phantom = make_phantom(np.random.default_rng([seed, int(part == "test"), index]), has_ribs=has_ribs)
        name = f"{part}-{index:05d}"
        yield _boxed(name, name, phantom.study(), _phantom_boxes(phantom), tuple(phantom.markers.values()))


def suppressed_cases(seed: int, part: nih.Part, n: int) -> Iterator[LabelledCase]:
    """The same films as `phantom_cases` with their bones suppressed exactly: drawn without ribs, collar bones and shoulders."""
    return phantom_cases(seed, part, n, has_ribs=False)


def _phantom_boxes(phantom: Phantom) -> LabelledBoxes:
    boxes = phantom.truth["boxes"]
    assert isinstance(boxes, list)
    return tuple(boxes)


def truth_mask(phantom: Phantom, label: str) -> NDArray[np.bool_]:
    """What an explanation of `label` should mark: the true boxes of this finding.

    Returns:
        Boolean (H, W) of the frame; empty on a film without the finding.
    """
    mask = np.zeros(phantom.pixels.shape[:2], bool)
    for name, (x0, y0, x1, y1) in _phantom_boxes(phantom):
        if name == label:
            mask[round(y0) : round(y1), round(x0) : round(x1)] = True
    return mask


composite_cases, worded_cases, has_words, labelled_films, FINDINGS, MEASURES = (
    nih.composite_cases,
    nih.worded_cases,
    nih.has_words,
    nih.labelled_films,
    nih.FINDINGS,
    nih.MEASURES,
)
"""What training asks of a data module for composites, and both it and evaluation for films that have words and no boxes."""
COMPOSITES_NEED = "heart_lung"
"""The auxiliary network whose masks composites are made with."""


def background_facts(facts: dict[str, object]) -> dict[str, object]:
    """What a manifest says when composites and films with words of reports are trained on and tested on."""
    source = "NIH ChestX-ray14 (Wang et al., CVPR 2017)"
    training = f"adult PA films without a finding from {source} with drawn findings, and films as they are with words of reports"
    test = "PA films of other patients of NIH with drawn findings"
    return {
        "kind": "real images, synthetic findings",
        "training_name": ", and ".join(filter(None, (str(facts["training_name"]), training))),
        "test_name": ", and ".join(filter(None, (str(facts["test_name"]), test))),
        "worded_name": "films of other patients of NIH as they are, by the words of their reports",
        "licence": f"{facts['licence']}; NIH ChestX-ray14: no restriction on use, NIH Clinical Center acknowledged",
    }


def marked_cases(folder: Path) -> Iterator[LabelledCase]:
    """The films of chest_heart_lung with label maps of heart and lungs, but for the one whose lungs are swapped; image = patient.

    Their reference is the cardiothoracic ratio, where the index gives one.

    Args:
        folder: Holds images, heart, left_lung, right_lung and index.csv.

    Raises:
        UsageError: No index.csv, or a mask that cannot be opened or has another size than its film.
    """
    rows = [row for row in read_table(folder / INDEX, ("image",)) if row["image"] != SWAPPED]
    for _, row, study in studies(folder, [row | {"file": f"images/{row['image']}"} for row in rows]):
        image = Path(row["file"])
        label_map = np.zeros(study.frame.pixels.shape[:2], np.uint8)
        for kind, part in MASKS:
            label_map[_mask(folder / part / image.name, label_map.shape)] = kind
        stem = f"heart-lung-{image.stem}"
        reference = float(row["ctr"]) if row.get("ctr") else None
        yield LabelledCase(stem, stem, study, target=1.0, reference=reference, label_map=label_map)


def _mask(path: Path, shape: tuple[int, ...]) -> Mask:
    try:
        pixels = shared_reader().read(path.read_bytes()).frame.pixels
    except OSError as error:
        raise UsageError(f"the mask {path.parent.name}/{path.name} cannot be opened") from error
    if pixels.shape != shape:
        raise UsageError(f"the mask {path.parent.name}/{path.name} has another size than its film")
    return np.asarray(pixels.astype(np.float32) > 0)


def heart_cases(folder: Path) -> Iterator[LabelledCase]:
    """The same films with a box around the heart where the cardiothoracic ratio of the masks exceeds 0.50.

    Nobody looked for the other six findings on them: measure cardiomegaly alone.
    """
    for case in marked_cases(folder):
        assert case.label_map is not None
        found = find_landmarks(Masks(*(case.label_map == kind for kind in lungs.CHANNELS)))
        if found is not None:
            boxes = ((HEART, found.heart),) if found.width.ratio > MAX_RATIO else ()
            yield _boxed(case.case_id, case.patient, case.study, boxes)


def folder_cases(folder: Path, labels: Path | None, split: str) -> Iterator[LabelledCase]:
    """A hospital's own films of one split.

    Args:
        folder: Where the films lie, and patients.csv (file, patient, split: train or test). Without that table every film is a
            patient, and one in five is for testing.
        labels: See `evaluation_cases`.
        split: "train" or "test".
    """
    if labels is None:
        raise UsageError("--data needs --labels")
    return _table_cases(folder, labels, split, Counter())


def evaluation_cases(folder: Path, labels: Path | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    """Films with boxes for measuring a model.

    Args:
        folder: Where the films lie.
        labels: A table (.csv), a COCO file (.json), or a folder of Pascal VOC files; see `readers`. Default: boxes.csv in the
            folder, or its hearts where it holds masks of them. A film with a box outside it is left out: its other boxes are no
            complete truth. Without patients.csv in the folder the header tells the patient, else every film is one.
        excluded: Gets the number of entries and files left out by reason.
    """
    if labels is None and not (folder / TRUTH).is_file() and (folder / "heart").is_dir():
        return heart_cases(folder)
    return _table_cases(folder, labels or folder / TRUTH, None, excluded)


def _table_cases(folder: Path, labels: Path, split: str | None, excluded: Counter[str]) -> Iterator[LabelledCase]:
    table = _read_boxes(labels)
    for reason, count in table.left_out.items():
        print(f"{count} entries left out, {reason}", file=sys.stderr)
    excluded.update(table.left_out)
    boxes: dict[str, list[tuple[str, Box]]] = {}
    for name, label, box in table.boxes:
        boxes.setdefault(name, []).append((label, box))
    boxes |= {name: [] for name in table.normal}
    patients = _patients(folder, list(boxes))
    rows = [{"file": name} for name in boxes if split in (None, patients[name][1])]
    for number, row, study in studies(folder, rows, excluded):
        own = boxes[row["file"]]
        inside = tuple((label, cut) for label, box in own if (cut := _cut(box, study.frame.pixels.shape)))
        if len(inside) < len(own):
            print(f"row {number}: left out, a box outside the image", file=sys.stderr)
            excluded["box outside the image"] += 1
            continue
        patient = study.pseudonym if split is None and not (folder / PATIENTS).is_file() else None
        yield _boxed(f"{split or 'case'}-{number:05d}", patient or patients[row["file"]][0], study, inside)


def _read_boxes(labels: Path) -> BoxTable:
    try:
        if labels.is_dir():
            return read_voc(path.read_bytes() for path in sorted(labels.glob("*.xml")))
        data = labels.read_bytes()
    except OSError as error:
        raise UsageError(f"{labels.name} cannot be opened") from error
    return read_coco(data) if labels.suffix.lower() == ".json" else read_boxes_csv(data)


def _patients(folder: Path, names: list[str]) -> dict[str, tuple[str, str]]:
    """Patient and split of every file."""
    known: dict[str, tuple[str, str]] = {}
    if (folder / PATIENTS).is_file():
        rows = read_table(folder / PATIENTS, ("file", "patient", "split"))
        known = {row["file"]: (row["patient"], row["split"]) for row in rows}
        if missing := sum(name not in known for name in names):
            raise UsageError(f"{PATIENTS} lacks {missing} of {len(names)} files")
        return known
    for name in names:
        share = hashlib.sha256(name.encode()).digest()[0] % TEST_SHARE
        known[name] = (name, "train" if share else "test")
    return known


def _cut(box: Box, shape: tuple[int, ...]) -> Box | None:
    """The part of a box that lies in the frame; None where none does."""
    x0, y0, x1, y1 = (float(value) for value in np.clip(box, 0, (shape[1], shape[0], shape[1], shape[0])))
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= MIN_SIDE_PX else None


def training_array(case: LabelledCase) -> NDArray[np.uint8]:
    """The whole film as training stores it: uint8 (SIDE, SIDE), see `prepare.film`."""
    (region,) = locate(case.study)
    return film(case.study, region.box_xyxy)


def training_boxes(case: LabelledCase) -> NDArray[np.float32]:
    """Boxes on `training_array`: float32 (M, 5), rows x0, y0, x1, y1 and the number of the label from 1."""
    (region,) = locate(case.study)
    corners = np.array([box for _, box in case.boxes], np.float64).reshape(-1, 4)
    numbers = np.array([_NUMBERS[label] for label, _ in case.boxes], np.float64).reshape(-1, 1)
    return np.hstack([np.clip(to_network(corners, region.box_xyxy), 0, SIDE), numbers]).astype(np.float32)


def _film_array(case: LabelledCase) -> NDArray[np.uint8]:
    """uint8 (lungs.SIDE, lungs.SIDE), 0..255 for 0..1 of `lungs.stretched`."""
    (region,) = locate(case.study)
    return np.rint(lungs.stretched(picture(case.study, region.box_xyxy, FILM_SIDE)) * 255).astype(np.uint8)


def _film_map(case: LabelledCase) -> NDArray[np.uint8]:
    """The class of every pixel of `_film_array`, background beyond the frame: uint8 (lungs.SIDE, lungs.SIDE)."""
    (region,) = locate(case.study)
    assert case.label_map is not None
    x0, y0, x1, y1 = region.box_xyxy
    affine = ((x1 - x0) / lungs.SIDE, 0, x0, 0, (y1 - y0) / lungs.SIDE, y0)
    size = (lungs.SIDE, lungs.SIDE)
    return np.asarray(Image.fromarray(case.label_map).transform(size, Image.Transform.AFFINE, affine))


def _film_figures(probabilities: NDArray[np.float32], label_map: NDArray[np.uint8]) -> dict[str, float]:
    """How well one film was answered.

    Args:
        probabilities: float32 (3, lungs.SIDE, lungs.SIDE), in the order of lungs.CHANNELS.
        label_map: As `_film_map`.

    Returns:
        Dice of the heart and of both lungs together, on the network's pixels; and the cardiothoracic ratio, NaN where no heart
        lies between two lungs.
    """
    heart, *both = (label_map == kind for kind in lungs.CHANNELS)
    found = probabilities >= 0.5
    likely = np.clip(probabilities, 1e-6, 1 - 1e-6)
    landmarks = find_landmarks(Masks(*lungs.masks(np.log(likely / (1 - likely))[None], FILM_SIDE)))
    return {
        "dice_heart": overlap(found[0], heart).dice,
        "dice_lungs": overlap(found[1] | found[2], np.logical_or(*both)).dice,
        "cardiothoracic_ratio": np.nan if landmarks is None else landmarks.width.ratio,
    }


heart_lung = SimpleNamespace(
    cases=marked_cases,
    training_array=_film_array,
    training_map=_film_map,
    figures=_film_figures,
    REFERENCE="cardiothoracic_ratio",
    LABELS=tuple(part for _, part in sorted(MASKS)),
    FACTS={
        "kind": "real images, real labels",
        "training_name": "Wingspan chest radiographs with masks of heart and lungs (Dong et al.)",
        "test_name": "the same films, each by the fold that never saw it",
        "licence": "MIT, as its authors published the set",
    },
    INTENDED_USE="Finds heart and lungs on PA films for the cardiothoracic ratio, and for findings drawn on real films.",
    LIMITATIONS=(
        "Trained on fewer than 200 films of one set, which names no patients: two films of one person may lie on both sides.",
        "On AP films the ratio has no meaning.",
    ),
)
"""What collecting and publishing ask of a data module, for the auxiliary network."""


MANIFEST: dict[str, object] = {
    "input": {
        "modality": ("CR", "DX"),
        "size": (SIDE, SIDE),
        "channels": 3,
        "unit": "relative",
        "value_range": (0.0, 1.0),
    },
    "transforms": (
        {"name": "display", "parameters": {"window": "the file's, else percentiles 0.5-99.5"}},
        {"name": "pad_to_square", "parameters": {"value": 0.0}},
        {"name": "resize", "parameters": {"size": float(SIDE)}},
        {"name": "repeat_grey", "parameters": {"channels": 3.0}},
    ),
    "labels": tuple(label.id for label in TASK.labels),
    "explanation_layer": dict.fromkeys(TASK.architectures, "backbone.body"),
    "eligible_age_years": (18.0, 100.0),
    "intended_use": mark(
        "Demonstration and method evaluation on frontal chest radiographs of adults. "
        "Research use, not a medical device; a film without a box may still be abnormal, and a box is no diagnosis."
    ),
    "trained_on": {
        "phantom": (mark("Trained on simulated films only: it never saw a patient."),),
        "real images, synthetic findings": (
            mark("Trained on simulated films and on real films with drawn findings: no box of a reader was learnt."),
            mark(
                "The real films carry labels mined from reports; worn spines and calcified aortas on them were not marked."
            ),
        ),
    },
    "limitations": (
        mark("Only seven findings are sought; nodules, effusions, pneumothorax, fractures and devices are not."),
        mark("On AP films the heart looks larger than it is: the cardiothoracic ratio holds for PA films only."),
        mark("The places of heart, aorta and spine vary little: compare with the mean box of each finding."),
    ),
}
