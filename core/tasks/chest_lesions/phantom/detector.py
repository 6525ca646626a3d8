"""From attenuation to grey values: scatter, quantum noise, blur, edge enhancement, display curve."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from core.imaging.drawing import field
from core.tasks.chest_lesions.phantom.film import Film
from core.tasks.chest_lesions.phantom.patient import stream

COARSE = 4


def expose(
    film: Film, seed: int, attenuation: NDArray[np.float32], quiet: NDArray[np.float32], marker: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Grey values in [0, 1], bright = dense.

    Scatter and display window come from `quiet`, so that a finding changes the picture at its own place only.

    Args:
        film: The film.
        seed: Of the patient.
        attenuation: Path length as soft tissue, mm, float32 (H, W).
        quiet: The same on every fourth pixel, without bones, devices and findings.
        marker: Cover of the side marker.
    """
    rng = stream(seed, "detector")
    energy, grid = rng.uniform(0.0165, 0.0205), rng.uniform(0.1, 0.3)
    primary = np.exp(-energy * quiet)
    scatter = grid * gaussian_filter(primary * (1 - primary), 38 / (COARSE * film.spacing_mm), mode="nearest")
    wide = zoom(scatter, [n / m for n, m in zip(film.shape, scatter.shape, strict=True)], order=1)
    low = rng.uniform(0.0, 0.5)
    high = float(np.percentile(-np.log(primary + scatter), rng.uniform(97.5, 99.8))) + rng.uniform(0.1, 0.4)
    signal = np.exp(-energy * gaussian_filter(attenuation, rng.uniform(0.35, 0.6) / film.spacing_mm)) + wide
    tilt, quanta = rng.uniform(-0.22, 0.22, 2), np.exp(rng.uniform(np.log(6e4), np.log(4e5)))
    rows, columns = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in film.shape)
    gain = (
        float(tilt[0]) * rows[:, None] + float(tilt[1]) * columns + 0.02 * field(rng, film.shape, 150 / film.spacing_mm)
    )
    grain = gaussian_filter(rng.standard_normal(film.shape, dtype=np.float32), rng.uniform(0.3, 0.7))
    grain /= grain.std() * np.sqrt(quanta) * film.spacing_mm
    logs = -np.log(signal) + gain + grain / np.sqrt(signal)
    sharpen, fine = rng.uniform(0.0, 0.6), rng.uniform(1.6, 3.4) / film.spacing_mm
    logs += np.float32(sharpen) * (logs - gaussian_filter(logs, fine, truncate=3.0))
    lines, pitch = rng.uniform(0, 0.012) * (rng.random() < 0.3), rng.uniform(2.2, 5.0)
    logs += np.float32(lines) * np.sin(np.arange(film.shape[1], dtype=np.float32) * np.float32(2 * np.pi / pitch))
    shown = np.clip((logs - low) / (high - low), 0, 1) ** np.float32(rng.uniform(0.85, 1.4))
    shown = rng.uniform(0.84, 1.0) * shown * (1 - rng.uniform(0, 0.06)) + rng.uniform(0, 0.06)
    return np.clip(shown + marker * (0.97 - shown), 0, 1).astype(np.float32)
