"""Everything of a CT phantom around the vertebra: table, trunk, lungs or bowel, muscles, kidneys, great vessels."""

import numpy as np

from core.imaging.drawing import Canvas, field
from core.tasks.ct_osteoporosis.phantom.patient import SHAPE, Cut, Patient, stream


def draw_trunk(slate: Canvas, seed: int, patient: Patient, cut: Cut) -> None:
    """Table, skin fat, muscles, and the cavity with lungs or with bowel and fat."""
    rng = stream(seed, "trunk")
    wide, deep = patient.trunk_half
    fat, back = patient.fat, cut.half_mm[1] + 56 + rng.uniform(0, 8) + 0.4 * patient.fat
    table = slate.y - np.float32(back + 3) + np.square(slate.x) / np.float32(rng.uniform(900, 2500))
    everywhere = (slice(None), slice(None))
    for below, hu in ((2.0, rng.uniform(-300, 100)), (rng.uniform(22, 34), rng.uniform(-450, -100))):
        slate.paint(everywhere, np.maximum(np.abs(table - below) - 1.2, np.abs(slate.x) - 210), hu)
    slate.ellipse((0, back - deep), (wide, deep), rng.normal(-100, 6), exponent=2.3)
    streaks = 52 - rng.uniform(0, 25) * np.maximum(field(rng, SHAPE, 5.0), 0) - rng.uniform(0, 12)
    inner = (wide - fat, deep - 0.7 * fat)
    middle = back - 0.4 * fat - inner[1]
    slate.ellipse((0, middle), inner, streaks, exponent=2.3)
    top = middle - inner[1] + 12
    half = (inner[0] - rng.uniform(13, 20), (24 - top) / 2)
    centre = (0.0, (24 + top) / 2)
    if cut.lungs:
        vessels = -840 + 850 * (field(rng, SHAPE, 5.0) > rng.uniform(1.9, 2.4)) + 15 * field(rng, SHAPE, 30.0)
        slate.ellipse(centre, half, 30.0, exponent=2.3)
        for side in (-1, 1):
            lung = (half[0] - rng.uniform(6, 16)) / 2
            slate.ellipse((side * (half[0] - lung), centre[1] + 6), (lung, half[1] - 4), vessels, exponent=2.6)
        slate.ellipse((rng.uniform(10, 30), top + 40), (rng.uniform(42, 60), 36), 160.0 if patient.contrast else 42.0)
    else:
        lumps = np.clip((field(rng, SHAPE, rng.uniform(14, 26)) - rng.uniform(-0.5, 0.5)) / 0.2, 0, 1)
        bowel = -85 + lumps * (120 + 12 * field(rng, SHAPE, 8.0))
        bowel[(field(rng, SHAPE, 22.0) > 1.3) & (slate.y < top + 60)] = -850
        edge = (
            0.3 * half[0] + 12 * field(rng, SHAPE, 60.0),
            (100.0 if patient.contrast else 55.0) + rng.uniform(-12, 8),
        )
        bowel = np.where((slate.x < -edge[0]) & (slate.y < 10), edge[1], bowel)
        slate.ellipse(centre, half, bowel, exponent=2.3)
    count = 12 if cut.lungs else 8
    ribs = rng.uniform(-0.12, 0.12, count)
    for i, at in enumerate(np.linspace(-0.95, 0.95, count // 2).repeat(2) + ribs):
        side = 1 if i % 2 else -1
        x, y = side * (half[0] + 6) * np.cos(at), centre[1] + (half[1] + 4) * np.sin(at)
        run = rng.uniform(5, 14)
        slate.tube((x - side * run * np.sin(at), y), (x + side * run * np.sin(at), y + run * np.cos(at)), 4.5, 430, 150)


def draw_organs(slate: Canvas, seed: int, patient: Patient, cut: Cut) -> None:
    """Muscles along the spine, kidneys, liver and great vessels around the vertebral body."""
    rng = stream(seed, "organs")
    a, b = cut.half_mm
    muscle = 52 - rng.uniform(0, 25) * np.maximum(field(rng, SHAPE, 4.0), 0)
    blood = rng.uniform(150, 320) if patient.contrast else rng.normal(42, 4)
    vein = rng.uniform(90, 170) if patient.contrast else rng.normal(40, 4)
    kidney = rng.uniform(110, 200) if patient.contrast else 32.0
    if cut.lungs:
        slate.ellipse((0, -2), (a + rng.uniform(2, 5), b + rng.uniform(3, 6)), 35.0, exponent=2.4)
        slate.ellipse((rng.uniform(-4, 4), -b - 16), (a + 6, 18), rng.uniform(-80, 35))
    else:
        slate.ellipse((0, -b - 8), (a + 14, 20), rng.uniform(-105, -70))
        for side in (-1, 1):
            x, tall = side * (a + rng.uniform(38, 52)), rng.uniform(22, 32)
            slate.ellipse((x, -4), (30, 38), -98.0)
            slate.ellipse((x, -2), (rng.uniform(20, 28), tall), kidney, tilt=side * 0.3)
            slate.ellipse((x - side * 12, -6), (8, 10), rng.uniform(-90, 10))
            psoas = (rng.uniform(9, 15), rng.uniform(12, 20))
            slate.ellipse((side * (a + psoas[0] - 1), rng.uniform(0, 7)), psoas, muscle, tilt=-side * 0.15)
    for side in (-1, 1):
        slate.ellipse((side * 27, b + 33), (28, rng.uniform(18, 22)), muscle, exponent=2.4)
        slate.ellipse((side * 27, b + 33), (1.2, 18), rng.uniform(-80, 40), tilt=side * 0.5)
    radius = rng.uniform(10, 14.5) if cut.lungs else rng.uniform(8, 12)
    across, clear = rng.uniform(0.35, 1.05) if cut.lungs else rng.uniform(-0.1, 0.6), rng.uniform(1, 5)
    aorta = (across * a + radius * min(across, 0.6), -(b + radius + clear) * np.sqrt(max(1 - 0.55 * across**2, 0.2)))
    slate.ellipse(aorta, (radius, radius), blood)
    azygos = (-0.3 * a, -b - 6)
    slate.ellipse(azygos if cut.lungs else (-0.65 * a, -b - 11), (3.5, 3.5) if cut.lungs else (11, 8), vein)
    calcified, arc = rng.random() < 0.3, rng.uniform(0, 2 * np.pi)
    for turn, hu in zip(arc + rng.uniform(-0.5, 0.5, 4), rng.uniform(300, 900, 4), strict=True):
        at = (aorta[0] + radius * np.cos(turn), aorta[1] + radius * np.sin(turn))
        slate.ellipse(at, (rng.uniform(1.5, 3.5), 1.2), hu if calcified else blood, tilt=turn + np.pi / 2)
