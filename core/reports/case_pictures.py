"""The pictures of a result on paper and in DICOM objects: the image with what was found, and with its explanation."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.figures.style import LABEL_COLOURS
from core.imaging.boxes import draw_boxes, draw_lines
from core.imaging.display import regions_window, to_display
from core.imaging.overlay import add_caption, blend, draw_regions, paint_masks
from core.imaging.sheets import TALL, readable, scaled, tall_sheet
from core.records import ScreeningResult
from core.reports.overlay_png import caption, drawn_boxes, drawn_lines

STRENGTH, _FILL = 0.6, 0.4  # opacity of the strongest evidence, and of masks
_GAP_PX = 6
_PRINTED = 2.0  # size of tags


def marked_and_overlay(
    result: ScreeningResult,
    picture: NDArray[np.uint8],
    factor: float,
    *,
    strength: float,
    fill: float,
    hidden: Sequence[str] = (),
    has_lines: bool = True,
    letters: float = 1.0,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture with masks, boxes and measured lines, and with the maps of the explanation; both with their regions.

    Args:
        result: Shows a score.
        picture: uint8 (h, w, 3), a copy of the frame.
        factor: Pixels of the frame for one of the picture.
        strength: Opacity of the strongest evidence, 0 to 1.
        fill: Opacity of masks, 0 to 1.
        hidden: Labels whose masks are left out.
        has_lines: With the lines of what was measured.
        letters: Size of the tags of boxes beside what a screen needs.
    """
    regions = tuple(scaled(region, factor) for region in result.regions)
    heatmaps = result.explanation.heatmaps if result.explanation else ()
    maps = tuple(replace(heatmap, region=scaled(heatmap.region, factor)) for heatmap in heatmaps)
    boxes, lines = drawn_boxes(result, factor), drawn_lines(result, factor) if has_lines else []
    masks = [
        (finding.mask, LABEL_COLOURS[finding.label])
        for finding in (result.prediction.findings if result.prediction else ())
        if finding.mask is not None and finding.label not in hidden
    ]
    marked = draw_regions(paint_masks(picture, masks, fill), regions)
    overlay = draw_regions(blend(picture, maps, strength), regions)
    return draw_boxes(draw_lines(marked, lines), boxes, letters), draw_boxes(overlay, boxes, letters)


def case_pictures(
    result: ScreeningResult, display: NDArray[np.float32], strength: float = STRENGTH
) -> list[NDArray[np.uint8]]:
    """Image and overlay; of a whole-body scan one sheet of the scan and its regions; the image alone without a score.

    Args:
        result: What is shown.
        display: The frame's display values in [0, 1], (H, W) or (H, W, 3).
        strength: Opacity of the strongest evidence, 0 to 1.

    Returns:
        uint8 (h, w, 3) each, of one size.
    """
    picture, factor = readable(display)
    outlined = draw_regions(picture, tuple(scaled(region, factor) for region in result.regions))
    if picture.shape[0] > TALL * picture.shape[1]:
        frame, boxes = result.study.frame, [region.box_xyxy for region in result.regions]
        # Counts: the bladder outshines every knee.
        enlarged = to_display(frame, regions_window(frame, boxes)) if frame.unit == "counts" else display
        return [np.asarray(tall_sheet(Image.fromarray(outlined), enlarged, result, strength, _GAP_PX))]
    if not result.gate.shows_score or result.prediction is None:
        return [outlined]
    return list(marked_and_overlay(result, picture, factor, strength=strength, fill=_FILL, letters=_PRINTED))


def captioned_pictures(result: ScreeningResult, display: NDArray[np.float32], strength: float) -> NDArray[np.uint8]:
    """Image and overlay side by side, and burned in below them what they are worth: for a picture that travels alone.

    Args:
        result, display, strength: As for `case_pictures`.

    Returns:
        uint8 (h, w, 3).
    """
    words = ("DEMONSTRATION" if result.provenance.statement else "", caption(result))
    return add_caption(np.hstack(case_pictures(result, display, strength)), " \u00b7 ".join(filter(None, words)))
