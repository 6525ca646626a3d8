"""Shapes that phantoms are drawn from, on grids in mm: cylinders and their path lengths, streaks, and a canvas for slices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

Array = NDArray[np.floating[Any]]


def capsule(x: Array, y: Array, start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[Array, Array]:
    """Distance of every point to the segment start-end, and the position 0..1 of its foot."""
    axis = end - start
    along = np.clip(((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / float(axis @ axis), 0, 1)
    return np.hypot(x - start[0] - along * axis[0], y - start[1] - along * axis[1]), along


def path_length(distance: Array, radius: Array | float) -> Array:
    """Length of a ray through a cylinder or sphere of `radius` (mm) at `distance` from its axis or centre."""
    return 2 * np.sqrt(np.maximum(np.square(radius) - np.square(distance), 0))


def blob(distance: Array, width: float) -> Array:
    """A bump of height 1 where `distance` (mm) is 0, with standard deviation `width`."""
    return np.exp(-0.5 * np.square(distance / width)).astype(np.float32)


def stripes(rng: np.random.Generator, across: Array, along: Array, pitch: float) -> Array:
    """Streaks along one coordinate: band-pass noise, long in `along`, of period about `pitch` mm in `across`; unit variance."""
    step = pitch / 4
    low_a, low_b = float(across.min()), float(along.min())
    shape = (int((across.max() - low_a) / step) + 3, int((along.max() - low_b) / (4 * step)) + 3)
    noise = rng.standard_normal(shape).astype(np.float32)
    noise = gaussian_filter1d(noise, 0.9, axis=0) - gaussian_filter1d(noise, 2.2, axis=0)
    noise = gaussian_filter1d(noise, 2.5, axis=1)
    noise /= noise.std()
    streaks: Array = map_coordinates(noise, [(across - low_a) / step, (along - low_b) / (4 * step)], order=1)
    return streaks


def field(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> NDArray[np.float32]:
    """Smooth random field of unit variance with lumps of about `scale_px`, float32 of `shape`; drawn coarse and interpolated."""
    step = max(1.0, scale_px / 2)
    coarse = rng.standard_normal((int(shape[0] / step) + 3, int(shape[1] / step) + 3), dtype=np.float32)
    coarse = gaussian_filter(coarse, 1.0)
    coarse /= coarse.std()
    rows, columns = (_interpolation(n, size, step) for n, size in zip(shape, coarse.shape, strict=True))
    smooth: NDArray[np.float32] = rows @ coarse @ columns.T
    return smooth


def _interpolation(n: int, size: int, step: float) -> NDArray[np.float32]:
    """Weights (n, size) of linear interpolation at 0, 1/step, 2/step ..."""
    at = np.arange(n) / step
    return np.maximum(1 - np.abs(at[:, None] - np.arange(size)), 0).astype(np.float32)


@dataclass(frozen=True)
class Canvas:
    """A slice that shapes are painted on, one over the other, with edges of one pixel.

    Attributes:
        pixels: float32 (H, W), changed in place.
        x, y: float32 (H, W), mm coordinates around the origin, turned with the patient.
        origin_px: Where the origin lies (x, y).
        spacing_mm: Side of a pixel.
        angle: Turn of the coordinates against the picture (rad).
    """

    pixels: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    origin_px: tuple[float, float]
    spacing_mm: float
    angle: float

    @classmethod
    def blank(
        cls, shape: tuple[int, int], origin_px: tuple[float, float], spacing_mm: float, angle: float, value: float
    ) -> "Canvas":
        """A canvas of one value."""
        across = ((np.arange(shape[1]) - origin_px[0]) * spacing_mm).astype(np.float32)
        down = ((np.arange(shape[0]) - origin_px[1]) * spacing_mm).astype(np.float32)[:, None]
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        pixels = np.full(shape, value, np.float32)
        return cls(pixels, cos * across + sin * down, -sin * across + cos * down, origin_px, spacing_mm, angle)

    def near(self, centre: tuple[float, float], reach: float) -> tuple[slice, slice]:
        """The part of the canvas within `reach` mm of a point, as an index."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        column = self.origin_px[0] + (cos * centre[0] - sin * centre[1]) / self.spacing_mm
        row = self.origin_px[1] + (sin * centre[0] + cos * centre[1]) / self.spacing_mm
        half = reach / self.spacing_mm + 2
        return slice(max(0, int(row - half)), max(0, int(row + half) + 1)), slice(
            max(0, int(column - half)), max(0, int(column + half) + 1)
        )

    def paint(self, where: tuple[slice, slice], distance: Array, value: Array | float) -> None:
        """Lay `value` over the part `where`, where the signed `distance` (mm) is negative."""
        cover = np.clip(0.5 - distance / self.spacing_mm, 0, 1)
        self.pixels[where] += cover * (value - self.pixels[where])

    def ellipse(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        value: Array | float,
        *,
        exponent: float = 2.0,
        tilt: float = 0.0,
    ) -> None:
        """A superellipse with semi-axes `half` (mm), turned by `tilt`; `value` may be an array of the whole canvas."""
        where = self.near(centre, 1.3 * max(half))
        x, y = self.x[where] - np.float32(centre[0]), self.y[where] - np.float32(centre[1])
        if tilt:
            cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
            x, y = cos * x + sin * y, -sin * x + cos * y
        distance = superellipse(x, y, half, exponent)
        self.paint(where, distance, value[where] if isinstance(value, np.ndarray) else value)

    def tube(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        radius: float,
        value: float,
        core: float | None = None,
    ) -> None:
        """A rod with round ends; with `core`, a shell of a third of the radius around a core of that value."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        where = self.near(middle, np.hypot(end[0] - start[0], end[1] - start[1]) / 2 + radius)
        distance, _ = capsule(self.x[where], self.y[where], np.array(start, np.float32), np.array(end, np.float32))
        self.paint(where, distance - radius, value)
        if core is not None:
            self.paint(where, distance - 0.66 * radius, core)


def superellipse(x: Array, y: Array, half: tuple[float, float], exponent: float) -> Array:
    """About the signed distance (mm) of every point to a superellipse with semi-axes `half`: negative inside."""
    a, b = np.abs(x / np.float32(half[0])), np.abs(y / np.float32(half[1]))
    radius = np.hypot(a, b) if exponent == 2 else (a**exponent + b**exponent) ** np.float32(1 / exponent)
    return (radius - 1) * np.float32(min(half))


def patch(
    shape: tuple[int, int], points: NDArray[np.float64], reach: float
) -> tuple[tuple[slice, slice], NDArray[np.float32], NDArray[np.float32]]:
    """The part of a plane within `reach` of the bounding box of `points`: where to draw without touching the rest.

    Args:
        shape: Rows and columns of the plane.
        points: Points (x, y), float64 (N, 2), pixels.
        reach: Margin, pixels.

    Returns:
        Slices of rows and columns (empty outside the plane), and the x (1, w) and y (h, 1) pixel coordinates there.
    """
    low = np.clip(np.floor(points.min(axis=0) - reach), 0, (shape[1], shape[0])).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + reach) + 1, low, (shape[1], shape[0])).astype(int)
    x = np.arange(low[0], high[0], dtype=np.float32)[None, :]
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None]
    return (slice(low[1], high[1]), slice(low[0], high[0])), x, y
