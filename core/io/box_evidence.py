"""What a detector answered on images that it never saw, box by box: the file evaluation_boxes.csv."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.io.tables import csv_bytes
from core.manifest import file_sha256
from core.metrics.coco import LABEL, SCORE, ImageBoxes, by_label, match_boxes

FILE = "evaluation_boxes.csv"
COLUMNS = ("case", "patient", "pixel_hash", "fold", "kind", "label", "score", "x0", "y0", "x1", "y1", "matched")
IMAGE, DETECTION, REFERENCE, MEAN_BOX = KINDS = ("image", "detection", "reference", "mean box")
PLACES, SCORE_DIGITS = 2, 6  # of coordinates and scores


@dataclass(frozen=True)
class ImageAnswer:
    """One image with its boxes, on the pixels of the network.

    Attributes:
        fold: Whose model never saw the image; -1 where none of them did.
        detected: float64 (d, 6), x0, y0, x1, y1, number of the label from 1, score.
        reference: float64 (m, 5), the same without a score.
    """

    case: str
    patient: str
    pixel_hash: str
    fold: int
    detected: NDArray[np.float64]
    reference: NDArray[np.float64]


@dataclass(frozen=True)
class BoxEvidence:
    """Answers to n images, rounded as in the file.

    Attributes:
        labels: In the order of their numbers.
        images: Those without any box count too.
        mean_boxes: float64 (k, 6), for every label that training had a box of: its mean box there, its number, and the share of
            the images with one as score. What a detector must beat: places vary little.
    """

    labels: tuple[str, ...]
    images: tuple[ImageAnswer, ...]
    mean_boxes: NDArray[np.float64]

    @property
    def patients(self) -> NDArray[np.str_]:
        """Of each image."""
        return np.array([image.patient for image in self.images])

    def by_label(self) -> list[list[ImageBoxes]]:
        """What `detection_report` takes."""
        return [by_label(image.detected, image.reference, len(self.labels)) for image in self.images]

    def mean_boxes_by_label(self) -> list[list[ImageBoxes]]:
        """The same, had every image been answered by the mean boxes."""
        return [by_label(self.mean_boxes, image.reference, len(self.labels)) for image in self.images]

    def presence(self, place: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Whether each image has a reference box of a label, and the highest score of its detections or 0: (n,) each."""
        own = [image[place] for image in self.by_label()]
        return np.array([len(image.reference) > 0 for image in own]), np.array(
            [image.scores.max(initial=0.0) for image in own]
        )

    def to_bytes(self) -> bytes:
        """The file: a row an image, behind it its boxes; the mean boxes first. `matched` is 1 where IoU reaches 0.5."""
        rows: list[Sequence[object]] = [
            ("", "", "", "", MEAN_BOX, self.labels[int(row[LABEL]) - 1], float(row[SCORE]), *row[:4].tolist(), "")
            for row in self.mean_boxes
        ]
        for image in self.images:
            rows.append((image.case, image.patient, image.pixel_hash, image.fold, IMAGE, *[""] * 7))
            for label, boxes in zip(
                self.labels, by_label(image.detected, image.reference, len(self.labels)), strict=True
            ):
                rows += _rows(image.case, label, boxes)
        return csv_bytes(COLUMNS, rows)


def _rows(case: str, label: str, boxes: ImageBoxes) -> Iterable[Sequence[object]]:
    matches = match_boxes(boxes)
    for score, box, match in zip(boxes.scores.tolist(), boxes.detected.tolist(), matches.tolist(), strict=True):
        yield (case, "", "", "", DETECTION, label, score, *box, int(match >= 0))
    for place, box in enumerate(boxes.reference.tolist()):
        yield (case, "", "", "", REFERENCE, label, "", *box, int(place in matches))


def evidence_of(labels: Sequence[str], images: Iterable[ImageAnswer], mean_boxes: NDArray[np.float64]) -> BoxEvidence:
    """Evidence rounded as in the file, without the rows of detections whose score is 0."""
    rounded = tuple(
        replace(
            image,
            detected=_rounded(image.detected[image.detected[:, SCORE] > 0]),
            reference=_rounded(image.reference),
        )
        for image in images
    )
    return BoxEvidence(tuple(labels), rounded, _rounded(mean_boxes))


def mean_boxes(references: Sequence[NDArray[np.floating]], n_labels: int) -> NDArray[np.float64]:
    """See `BoxEvidence.mean_boxes`.

    Args:
        references: (m, 5) of every training image.
        n_labels: Number of labels.
    """
    rows = []
    for number in range(1, n_labels + 1):
        own = [boxes[boxes[:, LABEL] == number, :4] for boxes in references]
        if any(map(len, own)):
            share = np.mean([len(boxes) > 0 for boxes in own])
            rows.append(np.append(np.concatenate(own).mean(axis=0), [number, share]))
    return np.array(rows, np.float64).reshape(-1, 6)


def _rounded(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    found = np.asarray(boxes, np.float64).round(PLACES)
    if found.shape[1] > SCORE:
        found[:, SCORE] = np.asarray(boxes[:, SCORE], np.float64).round(SCORE_DIGITS)
    return found


def read_evidence(folder: Path, sha256: str, labels: Sequence[str]) -> BoxEvidence:
    """The evidence that was committed with a model.

    Args:
        folder: weights/<task>/<model>.
        sha256: Of the file, from the manifest.
        labels: Of the manifest.

    Raises:
        UsageError: It is missing or not the one of the manifest.
    """
    path = folder / FILE
    if not path.is_file() or file_sha256(path) != sha256:
        raise UsageError(f"{FILE} of the weights is missing or was changed, so nothing can be called held-out")
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    boxes: dict[tuple[str, str], list[list[float]]] = {}
    for row in rows:
        if row["kind"] != IMAGE:
            place = [float(row[name]) for name in ("x0", "y0", "x1", "y1")]
            score = [float(row["score"])] if row["score"] else []
            number = float(list(labels).index(row["label"]) + 1)
            boxes.setdefault((row["kind"], row["case"]), []).append([*place, number, *score])

    def of(kind: str, case: str, width: int) -> NDArray[np.float64]:
        return np.array(boxes.get((kind, case), []), np.float64).reshape(-1, width)

    images = tuple(
        ImageAnswer(
            row["case"],
            row["patient"],
            row["pixel_hash"],
            int(row["fold"]),
            of(DETECTION, row["case"], 6),
            of(REFERENCE, row["case"], 5),
        )
        for row in rows
        if row["kind"] == IMAGE
    )
    return BoxEvidence(tuple(labels), images, of(MEAN_BOX, "", 6))
