"""The overlay as a picture to keep: it says below itself what its numbers are worth, because a picture travels alone."""

import numpy as np
from numpy.typing import NDArray

from core.figures.style import BOX_COLOURS, LINE_COLOUR
from core.imaging.boxes import DrawnBox, draw_boxes, draw_lines
from core.imaging.overlay import add_caption, as_rgb, blend, draw_regions, png_bytes
from core.records import Finding, Line, ScreeningResult


def caption(result: ScreeningResult) -> str:
    """PHANTOM where it is one, the model, its statement, and the use it is meant for; in English, as in JSON."""
    provenance = result.provenance
    kind = "PHANTOM" if result.study.is_phantom else ""
    model = f"Fivefold {provenance.task} {provenance.model} {provenance.version}"
    return " · ".join(filter(None, (kind, model, provenance.statement, "research use, not a medical device")))


def mask_png(finding: Finding) -> bytes:
    """The mask of a finding in the size of the frame: 255 inside, 0 elsewhere."""
    assert finding.mask is not None
    return png_bytes(finding.mask.astype(np.uint8) * np.uint8(255))


def drawn_boxes(result: ScreeningResult, factor: float = 1.0) -> list[DrawnBox]:
    """Boxes at or above their thresholds and the one that is explained, tagged with their number in the list and their score.

    Args:
        result: Its findings may have boxes.
        factor: Pixels of the frame for one of the picture.
    """
    explained = result.explanation.finding if result.explanation else None
    return [
        DrawnBox(
            _shrunk(finding.box_xyxy, factor),
            BOX_COLOURS[finding.label],
            f"{place + 1}: {finding.probability:.2f}",
            is_strong=place == explained,
        )
        for place, finding in enumerate(result.prediction.findings if result.prediction else ())
        if finding.label in BOX_COLOURS and finding.box_xyxy and (finding.positive or place == explained)
    ]


def drawn_lines(result: ScreeningResult, factor: float = 1.0) -> list[tuple[Line, str]]:
    """What was measured along, each line with its colour; `factor` as for boxes."""
    lines = result.prediction.lines if result.prediction else {}
    return [(_shrunk(line, factor), LINE_COLOUR) for line in lines.values()]


def _shrunk(corners: tuple[float, float, float, float], factor: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (value / factor for value in corners)
    return x0, y0, x1, y1


def overlay_png(result: ScreeningResult, display: NDArray[np.float32], strength: float) -> bytes:
    """PNG of the frame with its regions, boxes and lines and, where it has an explanation, its maps; a caption below.

    Args:
        result: What is shown.
        display: The frame's display values in [0, 1], (H, W) or (H, W, 3).
        strength: Opacity of the strongest evidence, 0 to 1.
    """
    heatmaps = result.explanation.heatmaps if result.explanation else ()
    picture = draw_regions(blend(as_rgb(display), heatmaps, strength), result.regions)
    picture = draw_boxes(draw_lines(picture, drawn_lines(result)), drawn_boxes(result))
    return png_bytes(add_caption(picture, caption(result)))
