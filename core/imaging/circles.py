"""Bright discs by voting along gradients (Hough transform for circles with a gradient direction, Kimme et al. 1975)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter, uniform_filter

Array = NDArray[np.float32]
_CANDIDATES_PER_RADIUS = 6
_ANGLES = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_SMOOTHING = 1.2  # pixels


@dataclass(frozen=True)
class Circle:
    """A disc; `strength` is the share of its rim that shows an inward edge, 0 to 1."""

    x: float
    y: float
    radius: float
    strength: float


def _edges(grey: Array) -> tuple[Array, Array]:
    """Gradient (x, y) divided by its local root mean square: a faint rim in a flat area counts like a strong one."""
    smooth = gaussian_filter(grey, _SMOOTHING)
    gradient_y, gradient_x = np.gradient(smooth)
    energy = np.square(gradient_x) + np.square(gradient_y)
    local = np.sqrt(np.maximum(uniform_filter(energy, 25), 0)) + 0.004 * float(np.ptp(smooth)) + 1e-9
    return gradient_x / local, gradient_y / local


def _inward(x_edges: Array, y_edges: Array, x: float, y: float, radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inward part of the edges on circles of several radii, (radii, angles), in [0, 1]."""
    cos, sin, steps = np.cos(_ANGLES), np.sin(_ANGLES), radii[:, None]
    at = [y + steps * sin, x + steps * cos]
    edges = -(cos * map_coordinates(x_edges, at, order=1) + sin * map_coordinates(y_edges, at, order=1))
    return np.clip(edges, 0, 1).astype(np.float64)


def _rim(x_edges: Array, y_edges: Array, x: float, y: float, radius: float) -> float:
    """Share of the rim with an inward edge within 7 % of `radius`."""
    return float(_inward(x_edges, y_edges, x, y, radius * np.linspace(0.93, 1.07, 7)).max(axis=0).mean())


def refine_radius(grey: Array, disc: Circle) -> Circle:
    """The disc with the radius nearby at which its rim is sharpest.

    `find_bright_disc` compares rims 14 % wide, and several radii see the same edge. Smoothing moves the edge of a sphere's shadow
    inwards by about its own width, which is put back.
    """
    x_edges, y_edges = _edges(grey)
    shares, radius = np.linspace(0.8, 1.2, 25), disc.radius
    for _ in range(4):
        weights = _inward(x_edges, y_edges, disc.x, disc.y, radius * shares).mean(axis=1) ** 6
        if weights.sum() == 0:
            return disc
        radius *= float(weights @ shares / weights.sum())
    return replace(disc, radius=radius + _SMOOTHING)


def find_bright_disc(grey: Array, radii: NDArray[np.float64], prior: Array) -> Circle:
    """The best disc that is brighter than its surroundings.

    Every edge pixel votes at distance r along its gradient, which points inwards for a bright disc; the strongest
    centres of every radius are then compared by how much of their rim is there.

    Args:
        grey: float32 (H, W).
        radii: Radii to try, pixels.
        prior: Weight in [0, 1] of every centre, (H, W).
    """
    rows, columns = grey.shape
    x_edges, y_edges = _edges(grey)
    magnitude = np.hypot(x_edges, y_edges)
    edge_y, edge_x = np.nonzero(magnitude > 0.5)
    strength = magnitude[edge_y, edge_x]
    unit_x, unit_y = x_edges[edge_y, edge_x] / strength, y_edges[edge_y, edge_x] / strength
    best = Circle(columns / 2, rows / 2, float(radii[0]), 0.0)
    for radius in radii:
        x = np.rint(edge_x + radius * unit_x).astype(int)
        y = np.rint(edge_y + radius * unit_y).astype(int)
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        votes = np.bincount(y[inside] * columns + x[inside], np.minimum(strength[inside], 1), rows * columns)
        field = gaussian_filter(votes.reshape(rows, columns), max(1.0, 0.08 * radius)) * prior
        peaks = np.where(field == maximum_filter(field, int(radius / 2) | 1), field, 0).ravel()
        for peak in np.argsort(peaks)[-_CANDIDATES_PER_RADIUS:]:
            found_y, found_x = divmod(int(peak), columns)
            rim = _rim(x_edges, y_edges, found_x, found_y, float(radius)) * float(prior[found_y, found_x])
            if rim > best.strength:
                best = Circle(float(found_x), float(found_y), float(radius), rim)
    return best
