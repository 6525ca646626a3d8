"""The vertebra of a CT phantom. Trabecular bone of the body follows the markers; cortex, arch, ribs and wear do not."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from core.imaging.drawing import Array, Canvas, blob, capsule, field, superellipse
from core.tasks.ct_osteoporosis.phantom.patient import Cut, Patient, stream


def _rods(x: Array, y: Array, rods: list[tuple[tuple[float, float], tuple[float, float], float]]) -> Array:
    """Signed distance (mm) to the union of rods `(start, end, radius)`, negative inside."""
    parts = [capsule(x, y, np.array(a, np.float32), np.array(b, np.float32))[0] - np.float32(r) for a, b, r in rods]
    return np.minimum.reduce(parts)


def _arch(
    rng: np.random.Generator, x: Array, y: Array, half: tuple[float, float], ribs: bool
) -> tuple[Array, Array, Array]:
    """Signed distances (mm) to pedicles, laminae and processes, to the ribs beside them, and to the canal."""
    a, b = half
    canal = (rng.uniform(10, 12.5) * (0.85 if ribs else 1), rng.uniform(8, 9.5))
    middle, corner, tilt = b + canal[1] - 1.0, canal[0] + 4.0, rng.normal(0, 1.5, 4)
    root = (0.0, middle + canal[1] + 4.0)
    reach, wing, back = rng.uniform(10, 20), rng.uniform(10, 16), rng.uniform(8, 30)
    bulk = [rng.uniform(*limits) for limits in ((3, 4.5), (2.5, 4), (3.2, 4.6), (4.2, 5.6), (0, 8.5))]
    rods = [(root, (float(tilt[0]), root[1] + back), bulk[0])]
    costal = []
    for side, lean in ((-1, tilt[1]), (1, tilt[2])):
        bend = (side * corner, middle + 3)
        tip = (side * (corner + 20), middle + wing + lean) if ribs else (side * (a + reach), b + 9.0 + lean)
        rods += [(bend, tip, bulk[1]), (bend, root, bulk[2]), ((side * 0.62 * a, 0.4 * b), bend, bulk[3])]
        rods += [((side * (corner + 1), middle + 2), (side * (corner + 3), middle + 10), bulk[4])]
        head = (side * (a + 0.5 + bulk[1]), 0.55 * b + lean)
        neck = (head[0] + side * (3 + reach), head[1] + wing + 6)
        costal += [(head, neck, bulk[2] + 0.5), (neck, (neck[0] + side * 25, neck[1] + wing - 5), bulk[2] + 0.5)]
    inside = np.maximum(superellipse(x, y - np.float32(middle), canal, 2.0), -(y - np.float32(0.75 * b)))
    wall = np.maximum(_rods(x, y, rods), -inside)
    return wall, _rods(x, y, costal) if ribs else np.full_like(wall, 99), inside


def _edge(x: Array, y: Array, half: tuple[float, float], taper: float) -> Array:
    """Signed distance (mm) to the vertebral body: narrower in front, hollow behind."""
    a, b = half
    hollow = np.float32(0.2 * b) * np.exp(-0.5 * np.square(x / np.float32(0.45 * a))) * (y > 0)
    narrow = x / np.clip(1 + np.float32(taper) * y / np.float32(b), 0.5, 1.2)
    return superellipse(narrow, y + hollow, half, 2.5 - 1.2 * max(taper, 0.0))


def draw_vertebra(slate: Canvas, seed: int, patient: Patient, cut: Cut) -> NDArray[np.bool_]:
    """The vertebra: cortex, posterior elements and wear know nothing of the T-score, the trabecular bone of the body does.

    Returns:
        Where that trabecular bone lies, boolean (H, W).
    """
    rng, wear = stream(seed, "spine"), stream(seed, "wear")
    a, b = cut.half_mm
    where = slate.near((0, 20), 75)
    x, y = slate.x[where], slate.y[where]
    rough = [field(rng, x.shape, mm / slate.spacing_mm) for mm in (5.0, 9.0)]
    wall, ribs, canal = _arch(rng, x, y, cut.half_mm, cut.ribs)
    body = _edge(x, y, cut.half_mm, cut.taper) + np.float32(0.35) * rough[1]
    spur, way, size = wear.random() < 0.35, wear.uniform(-2.6, -0.5), wear.uniform(3, 8)
    if spur:
        at = (a * np.cos(way), b * np.sin(way))
        slate.ellipse(at, (size + 4, size), wear.uniform(350, 700), tilt=way + np.pi / 2)
    shell, cortex = wear.uniform(1.5, 2.3), wear.uniform(380, 680) * (1 + np.float32(0.12) * rough[0])
    core, thick = wear.uniform(150, 380), wear.uniform(1.6, 3.0)
    slate.paint(where, canal, -20.0)
    slate.paint(where, canal + 1.5, wear.uniform(15, 32))
    slate.paint(where, ribs + 0.4 * rough[0], 0.85 * cortex)
    slate.paint(where, ribs + 0.4 * rough[0] + thick, core - 50)
    bone = np.minimum(wall + np.float32(0.6) * rough[0], body)
    slate.paint(where, bone, cortex)
    slate.paint(where, np.maximum(bone + thick * (1 + 0.3 * rough[1]), -body), core)
    inner = np.maximum(bone + shell * (1 + np.float32(0.2) * rough[0]), body)
    texture = _texture(stream(seed, "texture"), x.shape, slate.spacing_mm, patient.meta["SliceThickness"])
    inside = inner < 0
    texture = (texture - texture[inside].mean()) / texture[inside].std()
    slate.paint(where, inner, cut.trabecular_hu + patient.texture_hu * texture)
    _wear(slate, wear, where, inner, cut.half_mm, cortex)
    trabecular = np.zeros(slate.pixels.shape, bool)
    trabecular[where] = inside
    return trabecular


def _wear(
    slate: Canvas,
    rng: np.random.Generator,
    where: tuple[slice, slice],
    inner: Array,
    half: tuple[float, float],
    cortex: Array,
) -> None:
    """Sclerosis where the slice grazes an end plate, and the basivertebral veins: each in a part of the slices."""
    a, b = half
    x, y = slate.x[where], slate.y[where]
    plate, width, toward = rng.random() < 0.35, rng.uniform(1.5, 4.5), rng.uniform(0, 2 * np.pi)
    if plate:
        facing = np.clip(0.5 + 0.5 * (np.cos(toward) * x / a + np.sin(toward) * y / b), 0, 1)
        slate.paint(where, (0.5 - blob(np.minimum(inner, 0), width) * facing * (inner < 0)) * slate.spacing_mm, cortex)
    veins, hu = rng.random() < 0.45, rng.uniform(20, 90)
    turns = rng.uniform(0.3, 0.9, 2) * (-1, 1)
    if veins:
        ends = [(8 * np.sin(turn), b - 4 - 9 * np.cos(turn)) for turn in turns]
        course = _rods(x, y, [((0.0, 0.85 * b), end, 1.2) for end in ends])
        slate.paint(where, np.maximum(course, inner), np.minimum(slate.pixels[where], hu))


def _texture(rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: float, thickness: object) -> Array:
    """Trabecular pattern: fine grain of about 2 mm on coarser patches; a thick slice averages the grain."""
    white = rng.standard_normal(shape, dtype=np.float32)
    parts = [gaussian_filter(white, mm / spacing_mm) for mm in (0.6, 1.6, 3.5)]
    fine, coarse = parts[0] - parts[1], parts[1] - parts[2]
    grain = 2.0 / (1.0 + float(str(thickness)) / 2.5)
    return grain * fine / fine.std() + coarse / coarse.std()


def draw_screws(slate: Canvas, cut: Cut) -> None:
    """Two pedicle screws with the dark band between them."""
    a, b = cut.half_mm
    slate.pixels[...] -= 350 * blob(slate.y - np.float32(b), 5.0) * blob(slate.x, 40.0)
    for side in (-1, 1):
        slate.tube((side * 0.35 * a, -0.3 * b), (side * 0.85 * a, b + 20), 2.8, 3000.0)
        slate.tube((side * 0.85 * a, b + 18), (side * 0.87 * a, b + 27), 6.0, 3000.0)
