"""What lies on the patient or on the film and is no finding: nipples, skin folds, leads, a tube, the side marker."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from core.imaging.drawing import capsule, path_length
from core.tasks.chest_lesions.phantom.film import GOLDEN, Film
from core.tasks.chest_lesions.phantom.patient import Chest, stream

METAL = 14.0  # attenuation of wires relative to soft tissue


def draw_skin(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Path (mm) through nipples and skin folds."""
    rng = stream(seed, "skin")
    nipples, fold = rng.random() < 0.3, rng.random() < 0.15
    skin = np.zeros(film.shape, np.float32)
    for side in (-1, 1):
        x, y = side * chest.half_width * rng.uniform(0.5, 0.66), chest.size * rng.uniform(38, 66)
        if nipples:
            path = path_length(np.hypot(film.x - x, film.y - y), rng.uniform(3.5, 5.5))
            skin += rng.uniform(0.8, 1.5) * path
    side, start, lean = 1 if rng.random() < 0.5 else -1, rng.uniform(0.6, 0.85), rng.uniform(-0.25, 0.35)
    if fold:
        away = side * film.x - chest.half_width * (start - lean * film.y / 300) - 6 * np.sin(film.y / 60)
        ends = np.clip((film.y + 60) / 40, 0, 1) * np.clip((95 - film.y) / 40, 0, 1)
        skin += 9 * ends * np.exp(-np.maximum(away, 0) / 14) * np.clip(away / 0.8 + 0.5, 0, 1)
    return skin


def draw_devices(chest: Chest, film: Film, seed: int) -> NDArray[np.float32]:
    """Attenuation (as mm of soft tissue) of ECG leads with their electrodes and of a tube or line."""
    rng = stream(seed, "devices")
    leads, tube = rng.random() < 0.16, rng.random() < 0.12
    volumes, points = [np.zeros(1)], [np.full((1, 2), 1e4)]
    for _ in range(3):
        x, y = rng.uniform(-110, 110), rng.uniform(-60, 70)
        nodes = np.array([[x, y], [x * 0.8, y + 45], [rng.uniform(-60, 60), y + 90], [rng.uniform(-80, 80), 230]])
        course = CubicSpline(range(4), nodes)(np.linspace(0, 3, 1500))
        if leads:
            points.append(course)
            volumes.append(_lengths(course) * 0.5 * METAL)
            turn, radius = np.arange(900) * 2 * np.pi * GOLDEN, 5.0 * np.sqrt(np.arange(900) / 900)
            points.append(np.array([x, y]) + np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1))
            volumes.append(np.where(radius < 2, 1.0, 0.35))
    side = 1 if rng.random() < 0.35 else -1
    nodes = np.array([[side * 95, -230], [side * 70, -118], [side * 30, -92], [-14, -70], [-20, rng.uniform(-15, 20)]])
    course = CubicSpline(range(5), nodes)(np.linspace(0, 4, 1800))
    if tube:
        for edge in (-0.9, 0.0, 0.9):
            points.append(course + (edge, 0))
            volumes.append(_lengths(course) * (2.6 if edge else 1.3))
    return film.project(np.concatenate(points) * chest.size, np.concatenate(volumes))


def _lengths(course: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.norm(np.gradient(course, axis=0), axis=1)


def draw_marker(film: Film, seed: int) -> NDArray[np.float32]:
    """Cover 0 to 1 of a lead letter L beside the left shoulder, on most films."""
    rng = stream(seed, "marker")
    rows = film.shape[0]
    shown, at, tall = rng.random() < 0.9, rng.uniform((0.86, 0.05), (0.93, 0.13)), rng.uniform(0.032, 0.05)
    turn, thick = rng.normal(0, 0.09), 0.13 * tall
    if not shown:
        return np.zeros(film.shape, np.float32)
    x = (np.arange(rows, dtype=np.float32)[None, :] / rows - at[0]) / tall
    y = (np.arange(rows, dtype=np.float32)[:, None] / rows - at[1]) / tall
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = cos * x - sin * y, sin * x + cos * y
    corner = np.array([0.0, 1.0])
    strokes = [capsule(u, v, np.zeros(2), corner)[0], capsule(u, v, corner, np.array([0.55, 1.0]))[0]]
    return np.clip(0.5 + (thick / tall - np.minimum(*strokes)) * tall * rows, 0, 1).astype(np.float32)
