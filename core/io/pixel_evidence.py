"""What a segmenter answered on images that it never saw, as far as its curves need it: the file evaluation_hist.npz."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.manifest import file_sha256
from core.metrics.lesions import LESION_THRESHOLDS, LesionCounts, called_pieces, count_lesions
from core.metrics.pixel_histogram import pixel_histogram
from core.metrics.surface_distance import SurfaceMetrics, surface_metrics

FILE = "evaluation_hist.npz"
MIN_AREA_PX = 4  # of the network's pixels: a smaller piece is not called, on screen and here
TOLERANCE_PX = 2.0  # of the network's pixels: outlines that lie so close are held to be the same


@dataclass(frozen=True)
class PixelEvidence:
    """Held-out answers of n images and l labels; lesions at t falling thresholds (`LESION_THRESHOLDS`).

    Attributes:
        cases, patients, pixel_hashes: (n,).
        folds: int64 (n,), the fold whose model never saw the image.
        histograms: int64 (n, l, 2, 1024), see `pixel_histogram`; inside the field of view only.
        rule_histograms: The same for the task's trivial rule, which a network must beat.
        n_lesions: int64 (n, l).
        n_found, n_false_positive, false_positive_px: int64 (n, l, t), see `LesionCounts`.
        field_px: int64 (n,).
        outline_thresholds: float64 (n, l), from which score on the next three call a pixel; NaN where no threshold was chosen
            yet, and in files that are older than these fields: then they say nothing.
        hausdorff95_px, surface_dice: float64 (n, l), see `SurfaceMetrics`, in pixels of the network, with `TOLERANCE_PX`.
        outline_px: int64 (n, l, 2), pixels of the outlines of reference and prediction.
    """

    cases: NDArray[np.str_]
    patients: NDArray[np.str_]
    pixel_hashes: NDArray[np.str_]
    folds: NDArray[np.int64]
    histograms: NDArray[np.int64]
    rule_histograms: NDArray[np.int64]
    n_lesions: NDArray[np.int64]
    n_found: NDArray[np.int64]
    n_false_positive: NDArray[np.int64]
    false_positive_px: NDArray[np.int64]
    field_px: NDArray[np.int64]
    outline_thresholds: NDArray[np.float64]
    hausdorff95_px: NDArray[np.float64]
    surface_dice: NDArray[np.float64]
    outline_px: NDArray[np.int64]

    def counts(self, place: int) -> list[LesionCounts]:
        """Lesions of the label at `place`, one an image."""
        return [
            LesionCounts(
                n_lesions=int(self.n_lesions[image, place]),
                n_found=self.n_found[image, place],
                n_false_positive=self.n_false_positive[image, place],
                false_positive_px=self.false_positive_px[image, place],
                field_px=int(self.field_px[image]),
            )
            for image in range(len(self.cases))
        ]

    def surfaces(self, place: int, threshold: float) -> tuple[list[SurfaceMetrics], NDArray[np.str_]]:
        """Outlines of the label at `place`, of the images where they were compared at this threshold, and their patients."""
        is_at = self.outline_thresholds[:, place] == threshold
        columns = (self.hausdorff95_px[is_at, place], self.surface_dice[is_at, place], *self.outline_px[is_at, place].T)
        found = [
            SurfaceMetrics(float(distance), float(dice), int(reference), int(predicted))
            for distance, dice, reference, predicted in zip(*columns, strict=True)
        ]
        return found, self.patients[is_at]

    def row(self, image: int) -> dict[str, object]:
        """All that is kept of one image, see `evidence_of`."""
        return {one.name: getattr(self, one.name)[image] for one in fields(self)}

    def of(self, chosen: NDArray[np.bool_]) -> "PixelEvidence":
        """Some of the images."""
        return PixelEvidence(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def to_bytes(self) -> bytes:
        """The file, the same bytes for the same evidence."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{one.name: getattr(self, one.name) for one in fields(self)})
        return buffer.getvalue()


@dataclass(frozen=True)
class ImageAnswer:
    """One image: score maps and truth of every label, on the pixels of the network.

    Attributes:
        case, patient, pixel_hash, fold: See `PixelEvidence`.
        scores, rule: float32 (l, H, W), in [0, 1].
        truth: Boolean (l, H, W).
        inside: Boolean (H, W), the field of view.
    """

    case: str
    patient: str
    pixel_hash: str
    fold: int
    scores: NDArray[np.float32]
    rule: NDArray[np.float32]
    truth: NDArray[np.bool_]
    inside: NDArray[np.bool_]


def gather(answers: Sequence[dict[str, object]]) -> PixelEvidence:
    """Stack the evidence of images, see `evidence_of`; a row that is older than the distances has none."""
    rows = [_no_distances(*np.shape(np.asarray(row["n_lesions"]))) | row for row in answers]
    return PixelEvidence(**{name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]})


def evidence_of(answer: ImageAnswer, thresholds: Sequence[float] | None = None) -> dict[str, object]:
    """All that is kept of one image, by field of `PixelEvidence`.

    Args:
        answer: The image.
        thresholds: Of the outlines, one a label; None = not chosen yet, and no distances.
    """
    labels = range(len(answer.truth))
    counted = [
        count_lesions(answer.scores[k], answer.truth[k], answer.inside, LESION_THRESHOLDS, MIN_AREA_PX) for k in labels
    ]
    return {
        "cases": answer.case,
        "patients": answer.patient,
        "pixel_hashes": answer.pixel_hash,
        "folds": answer.fold,
        "histograms": [pixel_histogram(answer.scores[k], answer.truth[k], answer.inside) for k in labels],
        "rule_histograms": [pixel_histogram(answer.rule[k], answer.truth[k], answer.inside) for k in labels],
        "n_lesions": [one.n_lesions for one in counted],
        "n_found": [one.n_found for one in counted],
        "n_false_positive": [one.n_false_positive for one in counted],
        "false_positive_px": [one.false_positive_px for one in counted],
        "field_px": int(answer.inside.sum()),
    } | (_no_distances(len(labels)) if thresholds is None else _distances(answer, thresholds))


def _distances(answer: ImageAnswer, thresholds: Sequence[float]) -> dict[str, object]:
    """Of the outlines of every label, in the field of view."""
    found = []
    for scores, truth, threshold in zip(answer.scores, answer.truth, thresholds, strict=True):
        called, _ = called_pieces((scores >= threshold) & answer.inside, MIN_AREA_PX)
        found.append(surface_metrics(truth & answer.inside, called, (1.0, 1.0), TOLERANCE_PX))
    return {
        "outline_thresholds": list(thresholds),
        "hausdorff95_px": [one.hausdorff95 for one in found],
        "surface_dice": [one.normalised_surface_dice for one in found],
        "outline_px": [[one.n_reference_px, one.n_predicted_px] for one in found],
    }


def _no_distances(*shape: int) -> dict[str, Any]:
    """Of images and labels, or of labels alone."""
    nothing = np.full(shape, np.nan)
    return {
        "outline_thresholds": nothing,
        "hausdorff95_px": nothing,
        "surface_dice": nothing,
        "outline_px": np.zeros((*shape, 2), np.int64),
    }


def read_evidence(folder: Path, sha256: str) -> PixelEvidence:
    """The evidence that was committed with a model.

    Raises:
        UsageError: It is missing or not the one of the manifest.
    """
    path = folder / FILE
    if not path.is_file() or file_sha256(path) != sha256:
        raise UsageError(f"{FILE} of the weights is missing or was changed, so nothing can be called held-out")
    # From memory: numpy forgets to close a file that it cannot read.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        kept = dict(archive)
    older = _no_distances(*kept["n_lesions"].shape)  # a file from before the distances
    return PixelEvidence(**older | kept)
