"""The overlay as a picture to keep: it says below itself what its numbers are worth, because a picture travels alone."""

import numpy as np
from numpy.typing import NDArray

from core.imaging.overlay import add_caption, as_rgb, blend, draw_regions, png_bytes
from core.records import Finding, ScreeningResult


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


def overlay_png(result: ScreeningResult, display: NDArray[np.float32], strength: float) -> bytes:
    """PNG of the frame with its regions and, where the result has an explanation, its maps; a caption below.

    Args:
        result: What is shown.
        display: The frame's display values in [0, 1], (H, W) or (H, W, 3).
        strength: Opacity of the strongest evidence, 0 to 1.
    """
    heatmaps = result.explanation.heatmaps if result.explanation else ()
    picture = draw_regions(blend(as_rgb(display), heatmaps, strength), result.regions)
    return png_bytes(add_caption(picture, caption(result)))
