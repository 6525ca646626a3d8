"""Smooth changes of shape: where every pixel of the new film comes from in the old one."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from core.imaging.drawing import Array
from core.records import Box
from core.tasks.chest_lesions.landmarks import Landmarks, Mask, Masks, find_landmarks

NOISE_PX = 1.0  # what is finer than this blur counts as noise
AREA_PX = 6.0  # over which the strength of the noise is told


@dataclass(frozen=True, eq=False)
class Warp:
    """Source coordinates of every pixel, float32 (H, W) each; a pixel that keeps its place has its own."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> "Warp":
        """Every pixel keeps its place."""
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        return cls(x, y)

    def then(self, later: "Warp") -> "Warp":
        """This warp and after it another, as one: the film is then resampled only once."""
        where = later.changed()
        x, y = self.x.copy(), self.y.copy()
        at = (later.y[where], later.x[where])
        x[where] = map_coordinates(self.x, at, order=1, mode="nearest")
        y[where] = map_coordinates(self.y, at, order=1, mode="nearest")
        return Warp(x, y)

    def changed(self) -> Mask:
        """Pixels that come from elsewhere by more than a hundredth of a pixel, boolean (H, W)."""
        rows, columns = self.x.shape
        moved = np.abs(self.x - np.arange(columns, dtype=np.float32)) > 0.01
        moved |= np.abs(self.y - np.arange(rows, dtype=np.float32)[:, None]) > 0.01
        return np.asarray(moved)

    def film(self, film: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """The film after the warp, with as much noise as it had: stretching would leave it too smooth."""
        where = self.changed()
        if not where.any():
            return film
        at = (self.y[where], self.x[where])
        warped = film.copy()
        warped[where] = map_coordinates(film, at, order=3, mode="nearest")
        wanted = map_coordinates(noise_power(film), at, order=1, mode="nearest")
        missing = np.sqrt(np.maximum(wanted - noise_power(warped)[where], 0))
        grain = rng.standard_normal(film.shape, dtype=np.float32)
        grain -= gaussian_filter(grain, NOISE_PX)
        warped[where] += missing * grain[where] / grain.std()
        return np.clip(warped, 0, 1)

    def landmarks(self, before: Landmarks) -> Landmarks:
        """The landmarks on the film after the warp; the knob is carried along rather than looked for again."""
        if not self.changed().any():
            return before
        masks = Masks(*(self.mask(mask) for mask in vars(before.masks).values()))
        found = find_landmarks(masks) or before
        return replace(found, knob=self.carried(before.knob))

    def carried(self, box: Box) -> Box:
        """A box of unchanged size around where its middle went."""
        middle = np.array([box[1] + box[3] - 1, box[0] + box[2] - 1]) / 2  # row, column
        at = middle.copy()
        for _ in range(12):
            source = [
                float(map_coordinates(plane, at[:, None], order=1, mode="nearest")[0]) for plane in (self.y, self.x)
            ]
            at += middle - source
        down, across = (float(shift) for shift in at - middle)
        return box[0] + across, box[1] + down, box[2] + across, box[3] + down

    def mask(self, mask: Mask) -> Mask:
        """A mask after the warp."""
        where, warped = self.changed(), mask.copy()
        at = (self.y[where], self.x[where])
        warped[where] = map_coordinates(mask.astype(np.float32), at, order=1, mode="nearest") >= 0.5
        return warped


def noise_power(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local power of what is finer than NOISE_PX, float32 (H, W)."""
    fine = film - gaussian_filter(film, NOISE_PX)
    return np.asarray(gaussian_filter(np.square(fine), AREA_PX))


def ramp(at: Array) -> Array:
    """From 0 at 0 to 1 at 1, level at both ends."""
    share = np.clip(at, 0, 1)
    return share * share * (3 - 2 * share)


def push_border(
    warp: Warp, midline: Array, side: int, border: Array, shift: Array, inner: Array | float, outer: Array
) -> Warp:
    """Move a border of the mediastinum sideways, row by row.

    Args:
        warp: None of the film so far: gives its shape.
        midline: float (H,), x of the middle.
        side: -1 to the left of the picture, 1 to the right.
        border: Distance of the border from the midline, float (H,), pixels.
        shift: How far it moves outwards, float (H,), pixels.
        inner: Distance up to which nothing moves: the spine, seen through the heart, stays.
        outer: Distance from which nothing moves: the ribs stay.

    Returns:
        The warp: `border` moves by exactly `shift`, what lies further in and out moves less and less.
    """
    away = side * (warp.x - midline[:, None].astype(np.float32))  # of every pixel of the new film
    moved = (border + shift)[:, None]
    start, end = np.broadcast_to(inner, border.shape)[:, None], outer[:, None]
    inside = ramp((away - start) / np.maximum(moved - start, 1))
    outside = 1 - ramp((away - moved) / np.maximum(end - moved, 1))
    push = shift[:, None] * np.where(away < moved, inside, outside)
    return Warp((warp.x - side * push).astype(np.float32), warp.y)
