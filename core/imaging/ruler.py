"""Lengths on a frame: in mm where the file tells the spacing of its pixels, else in pixels."""

from dataclasses import dataclass
from math import hypot
from typing import Literal

from core.records import Frame, Line


@dataclass(frozen=True)
class Ruler:
    """From pixels to lengths.

    Attributes:
        across, down: Length of one pixel along a row and along a column, in `unit`.
        unit: "mm" or "px".
    """

    across: float
    down: float
    unit: Literal["mm", "px"]

    @property
    def is_metric(self) -> bool:
        """Whether lengths are in mm."""
        return self.unit == "mm"

    def placed(self, line: Line) -> Line:
        """A line in pixels of the frame, in `unit`."""
        x0, y0, x1, y1 = line
        return x0 * self.across, y0 * self.down, x1 * self.across, y1 * self.down

    def length(self, line: Line) -> float:
        """Length in `unit` of a line in pixels of the frame."""
        x0, y0, x1, y1 = self.placed(line)
        return hypot(x1 - x0, y1 - y0)


def ruler_of(frame: Frame) -> Ruler:
    """The ruler of a frame; pixels that are not square keep their shape."""
    if frame.spacing_mm is None:
        return Ruler(1.0, 1.0, "px")
    down, across = frame.spacing_mm
    return Ruler(across, down, "mm")
