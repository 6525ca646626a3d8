"""The film: pixel coordinates in mm of the patient, and the projection of bodies given as points with a volume."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import Box

Points = NDArray[np.float64]
GOLDEN = 0.6180339887  # its multiples fill an interval evenly


@dataclass(frozen=True)
class Film:
    """Where the patient lies on the film.

    Attributes:
        x, y: float32 (H, W), mm coordinates of the patient: x to the patient's left = right of the picture, y down.
        spacing_mm: Side of a pixel.
        origin_px: Pixel (x, y) of the point (0, 0).
        tilt: Turn of the patient in the picture (rad).
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    spacing_mm: float
    origin_px: tuple[float, float]
    tilt: float

    @classmethod
    def blank(cls, size: int, spacing_mm: float, origin_px: tuple[float, float], tilt: float) -> "Film":
        """Coordinates of a square film of `size` pixels a side."""
        across = ((np.arange(size) - origin_px[0]) * spacing_mm).astype(np.float32)
        down = ((np.arange(size) - origin_px[1]) * spacing_mm).astype(np.float32)[:, None]
        cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
        return cls(cos * across + sin * down, -sin * across + cos * down, spacing_mm, origin_px, tilt)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.x.shape[0], self.x.shape[1]

    def coarse(self, step: int) -> "Film":
        """Every `step`-th pixel of the film, for what varies slowly."""
        origin = (self.origin_px[0] / step, self.origin_px[1] / step)
        return Film(self.x[::step, ::step], self.y[::step, ::step], step * self.spacing_mm, origin, self.tilt)

    def steps(self, n: int) -> int:
        """Number of points that stand for `n` points on a film with pixels of 0.8 mm or less."""
        return max(int(n * min(0.8 / self.spacing_mm, 1.0)), n // 4, 8)

    def pixel(self, points: Points) -> Points:
        """Pixel coordinates (N, 2) of points in mm (N, 2 or more); whole numbers are centres of pixels."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = np.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], axis=1)
        return turned / self.spacing_mm + self.origin_px

    def box(self, points: Points) -> Box:
        """The box around points in mm, cut at the edge of the film."""
        at = self.pixel(points) + 0.5
        low, high = (np.clip(corner, 0, self.shape[::-1]) for corner in (at.min(axis=0), at.max(axis=0)))
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def near(self, points: Points, reach: float) -> tuple[slice, slice]:
        """The part of the film within `reach` mm of the bounding box of points in mm, as an index."""
        at, margin = self.pixel(points), reach / self.spacing_mm
        low = np.clip(np.floor(at.min(axis=0) - margin), 0, self.shape[::-1]).astype(int)
        high = np.clip(np.ceil(at.max(axis=0) + margin) + 1, low, self.shape[::-1]).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def project(self, points: Points, volumes: NDArray[np.float64]) -> NDArray[np.float32]:
        """Path length (mm), float32 (H, W), through bodies given as points (N, 2 or more; mm) with a volume (mm^3) each."""
        at = self.pixel(points)
        inside = ((at >= 0) & (at < np.array(self.shape[::-1]) - 1.001)).all(axis=1)
        at, lengths = at[inside], volumes[inside] / self.spacing_mm**2
        corner = at.astype(np.int64)
        (right, down), width = (at - corner).T, self.shape[1]
        first = corner[:, 1] * width + corner[:, 0]
        total = np.zeros(self.shape[0] * width)
        for step, share in ((0, (1 - right) * (1 - down)), (1, right * (1 - down)), (width, (1 - right) * down)):
            total += np.bincount(first + step, lengths * share, minlength=total.size)
        total += np.bincount(first + width + 1, lengths * right * down, minlength=total.size)
        return total.reshape(self.shape).astype(np.float32)


def tube(
    course: Points,
    half: tuple[NDArray[np.float64] | float, float],
    shell: NDArray[np.float64] | float,
    core: float,
    *,
    outward: Points | None = None,
    around: int,
) -> tuple[Points, NDArray[np.float64]]:
    """A bone of elliptical section along a course, as points with volumes for `Film.project`.

    Args:
        course: Points (N, 3) of the axis, mm, z to the front.
        half: Semi-axes of the section across `outward` (a number or (N,)) and along it, mm.
        shell: Thickness of the cortex, mm; a number or (N,).
        core: Share of bone inside the cortex.
        outward: Unit vectors (N, 3) of the second semi-axis; the direction of the rays when None.
        around: Number of points around the section.
    """
    along = np.gradient(course, axis=0)
    step = np.linalg.norm(along, axis=1, keepdims=True)
    outward = np.broadcast_to((0.0, 0.0, 1.0), course.shape) if outward is None else outward
    across = np.cross(along / step, outward)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    wide = np.broadcast_to(half[0], len(course))[:, None]
    turn = (np.arange(len(course)) * GOLDEN)[:, None]  # no two neighbours alike: a regular grid would show as moire
    angle = (np.arange(around) + turn) * 2 * np.pi / around
    ahead = (np.arange(around) * GOLDEN % 1 - 0.5)[:, None] * along[:, None]
    a, b = wide * np.cos(angle), half[1] * np.sin(angle)
    rim = np.hypot(wide * np.sin(angle), half[1] * np.cos(angle)) * (2 * np.pi / around)
    cortex = rim * step * np.broadcast_to(shell, len(course))[:, None]
    points, volumes = [], []
    spongy = core * np.pi * wide * half[1] * step / around
    for ring, part in ((1.0, cortex), (0.7, spongy)):
        at = course[:, None] + ahead + ring * (a[..., None] * across[:, None] + b[..., None] * outward[:, None])
        points.append(at.reshape(-1, 3))
        volumes.append(np.broadcast_to(part, a.shape).ravel())
    return np.concatenate(points), np.concatenate(volumes)
