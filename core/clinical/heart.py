"""The cardiothoracic ratio: width of the heart by inner width of the thorax, judged on PA films only."""

import math

MAX_RATIO = 0.50  # above it the heart is enlarged, on a PA film of an adult (Danzer 1919; RCEM)
MAGNIFIED = ("AP",)  # views on which the heart lies far from the detector and looks larger than it is


def is_judged(view: str) -> bool:
    """Whether the ratio may be judged on a film of this view; one without a view is taken as PA.

    Args:
        view: DICOM View Position, "" when the header does not tell.
    """
    return view.upper() not in MAGNIFIED


def is_enlarged(ratio: float, view: str) -> bool | None:
    """Whether the heart is enlarged; None where the ratio is not judged or could not be measured."""
    return ratio > MAX_RATIO if is_judged(view) and math.isfinite(ratio) else None
