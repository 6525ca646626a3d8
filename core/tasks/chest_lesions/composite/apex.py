"""Apical pleural thickening: bright crescents with an uneven lower edge under the top of the lungs."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from core.imaging.drawing import field
from core.records import Box
from core.tasks.chest_lesions.composite.tone import Tone
from core.tasks.chest_lesions.landmarks import Landmarks, inside

CAP_MM = (0.0, 3.0, 15.0)  # thickness at severity 0, 0.5 and 1
DENSITY = 0.85  # share of the way from lung to soft tissue
SPAN_MM = (25.0, 31.0)  # half the width
EDGE_MM = 1.2
OUTSIDE_MM = 7.0  # above the pleura: where the grey of soft tissue is told


def thicken(
    tone: Tone, landmarks: Landmarks, severity: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[Box]]:
    """Caps on both sides, or on one, more often the right: the rise in grey, float32 (H, W), and a box for each."""
    thickness = float(np.interp(severity, (0, 0.5, 1), CAP_MM)) * float(np.exp(0.12 * rng.normal()))
    other = thickness * float(rng.uniform(0.6, 1.0)) if rng.random() < 0.45 else 0.0
    caps = (thickness, other) if rng.random() < 0.65 else (other, thickness)
    rise, boxes = np.zeros(tone.low.shape, np.float32), []
    for index, cap_mm in enumerate(caps):
        shift, span, rough = rng.uniform(-4, 4), rng.uniform(*SPAN_MM), field(rng, (1, 80), 11.0)[0]
        if cap_mm > 0:
            cap, box = _cap(tone, landmarks, index, (shift, span, cap_mm), rough)
            rise = np.maximum(rise, cap)
            boxes.append(box)
    return rise, boxes


def _cap(
    tone: Tone, landmarks: Landmarks, index: int, shape_mm: tuple[float, float, float], rough: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Box]:
    """One cap: index 0 right, 1 left; shift of its middle outwards, half its width and its thickness in mm."""
    lung = (landmarks.masks.right_lung, landmarks.masks.left_lung)[index]
    apex, scale = landmarks.apices[index], landmarks.px_per_mm
    shift, span, cap_mm = shape_mm
    middle = (apex[0] + apex[2]) / 2 + shift * scale * (-1, 1)[index]
    columns = np.flatnonzero(lung.any(axis=0))
    along = (columns - middle) / (span * scale)
    columns, along = columns[np.abs(along) < 1], along[np.abs(along) < 1]
    upper = gaussian_filter1d(lung[:, columns].argmax(axis=0).astype(float), 1.5 * scale)
    profile = (1 - along**2) ** 0.7 * np.clip(1 + 0.2 * np.interp(along, np.linspace(-1, 1, 80), rough), 0.4, 1.6)
    thick = cap_mm * scale * profile / profile.max()
    rows = np.arange(lung.shape[0])[:, None]
    edge = EDGE_MM * scale
    share = np.clip((upper + thick - rows) / (2 * edge) + 0.5, 0, 1) * np.clip((rows - upper) / (2 * edge) + 1, 0, 1)
    above = np.clip(np.rint(upper - OUTSIDE_MM * scale), 0, lung.shape[0] - 1).astype(int)
    tissue = gaussian_filter1d(tone.low[above, columns], 8 * scale)
    rise = np.zeros(lung.shape, np.float32)
    lift = np.clip(tissue - tone.low[:, columns], 0.25 * tone.span, tone.span)
    rise[:, columns] = DENSITY * share * lift
    seen = thick > 0.4 * cap_mm * scale
    box = (columns[seen][0], upper[seen].min(), columns[seen][-1] + 1, (upper + thick)[seen].max())
    return gaussian_filter(rise, 0.5 * scale), inside(box, lung)
