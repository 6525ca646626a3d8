"""From logits of the field of view to masks of the photograph, lesion by lesion."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import find_objects
from scipy.special import expit

from core.io.pixel_evidence import MIN_AREA_PX
from core.manifest import Manifest, OperatingPoint
from core.metrics.lesions import called_pieces
from core.records import Box, Finding, Lesion, Prediction, Regions, Study
from core.tasks.retina_lesions.prepare import field_mask
from core.tasks.retina_lesions.task import SIDE


def score_maps(output: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probability of each label and pixel, 0 beyond the field of view.

    Args:
        output: Logits of one region, (C, SIDE, SIDE).
        inside: Boolean (SIDE, SIDE).
    """
    return expit(output) * inside


def decode(
    output: NDArray[np.float32], study: Study, regions: Regions, manifest: Manifest, point: OperatingPoint
) -> Prediction:
    """One finding a label in the field of view.

    Args:
        output: Logits, (1, C, SIDE, SIDE).
        study: Gives the geometry of the photograph.
        regions: The field of view alone.
        manifest: Names the labels and their thresholds.
        point: Takes the place of its label's first operating point.
    """
    (region,) = regions
    inside = field_mask(study, region.box_xyxy)
    maps = score_maps(output[0], inside)
    findings, shares = [], {}
    for name, scores in zip(manifest.labels, maps, strict=True):
        own = point if point.label == name else next(p for p in manifest.operating_points if p.label == name)
        called, pieces = called_pieces(scores >= own.cut_off, MIN_AREA_PX)
        lesions = tuple(_lesions(scores, pieces, region.box_xyxy))
        shares[f"area_share_{name}"] = (float(called.sum() / max(1, inside.sum())),)
        findings.append(
            Finding(
                label=name,
                probability=float(scores.max()),
                positive=bool(lesions),
                laterality=region.laterality,
                box_xyxy=region.box_xyxy,
                mask=_in_the_frame(called, region.box_xyxy, study.frame.pixels.shape[:2]),
                lesions=lesions,
            )
        )
    return Prediction(tuple(findings), measures=shares)


def _lesions(scores: NDArray[np.float32], pieces: NDArray[np.int32], box: Box) -> Iterator[Lesion]:
    """Every piece in pixels of the frame, largest first."""
    step_x, step_y = (box[2] - box[0]) / SIDE, (box[3] - box[1]) / SIDE
    found = []
    for number, place in enumerate(find_objects(pieces), start=1):
        if place is None:
            continue
        own = pieces[place] == number
        rows, columns = place
        corners = (
            *(box[0] + columns.start * step_x, box[1] + rows.start * step_y),
            *(box[0] + columns.stop * step_x, box[1] + rows.stop * step_y),
        )
        found.append(Lesion(corners, float(own.sum()) * step_x * step_y, float(scores[place][own].max())))
    yield from sorted(found, key=lambda lesion: -lesion.area_px)


def _in_the_frame(called: NDArray[np.bool_], box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The called pixels at their place in the frame: boolean (H, W).

    Not interpolated: a lesion of few pixels would lose a third of its area, and mask and lesions would not be the same.
    """
    x_scale, y_scale = SIDE / (box[2] - box[0]), SIDE / (box[3] - box[1])
    affine = (x_scale, 0, -box[0] * x_scale, 0, y_scale, -box[1] * y_scale)
    placed = Image.fromarray(called.astype(np.uint8)).transform((shape[1], shape[0]), Image.Transform.AFFINE, affine)
    return np.asarray(placed, bool)
