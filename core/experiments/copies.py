"""Copies of hip images as the reference system stored them: every image once as it is and once turned, before any split."""

import numpy as np
import torch

from core.engine.augment import turned
from core.experiments.protocols import pool, taken
from core.tasks.hip_osteoporosis.learn import BRIGHTNESS_CHANGE, BRIGHTNESS_SHARE, ROTATION_DEGREES
from core.tasks.hip_osteoporosis.task import STORED_HIGH, STORED_LOW
from core.training.collect import HELD_OUT
from core.training.pack import Pack


def with_copies(pack: Pack, rng: np.random.Generator) -> Pack:
    """The pack with a turned copy of every case that is not held out, some of them brighter or darker.

    Args:
        pack: uint8 images (N, S, S) of hips, right ones already mirrored.
        rng: Source of angles and brightness.
    """
    rows = pool(pack)
    n, side = len(rows), pack.images.shape[1]
    angle = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, n))
    images = turned(
        torch.from_numpy(pack.images[rows]).float(), side, angle=angle, zoom=np.ones(n), shift=np.zeros((n, 2))
    ).numpy()
    levels = 255 * BRIGHTNESS_CHANGE / (STORED_HIGH - STORED_LOW)
    change = np.where(rng.random(n) < BRIGHTNESS_SHARE, rng.uniform(-levels, levels, n), 0)
    copied = np.clip(np.rint(images + change[:, None, None]), 0, 255).astype(np.uint8)
    held_out = np.flatnonzero(pack.folds == HELD_OUT)
    order = np.concatenate([rows, rows, held_out])
    doubled = taken(pack, order, pack.folds[order])
    doubled.images[n : 2 * n] = copied
    return doubled
