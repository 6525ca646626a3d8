"""Labelled hips for training and evaluation: phantoms, or a hospital's folder with a label table."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.records import LabelledCase, Study
from core.tasks.hip_osteoporosis.locate import locate
from core.tasks.hip_osteoporosis.phantom import make_phantom
from core.tasks.hip_osteoporosis.prepare import crop_region

SIZE, CONTEXT = 224, 288 / 224
STORED_LOW, STORED_HIGH = -0.25, 1.25  # range of the stored uint8 crops around the stretched [0, 1]


def phantom_cases(seed: int, part: Literal["training", "test"], n: int) -> Iterator[LabelledCase]:
    """`n` labelled phantom hips. Training patients have one or two hips with the same markers, test patients one.

    Args:
        seed: Same seed, same cases.
        part: Training and test never share a patient.
        n: Number of hips.
    """
    made, patient = 0, 0
    while made < n:
        rng = np.random.default_rng([seed, int(part == "test"), patient])
        hips = 1 if part == "test" else 1 + patient % 2
        first = make_phantom(rng)
        sides = [first] if hips == 1 else [first, make_phantom(rng, like=first)]
        for side, phantom in enumerate(sides[: n - made]):
            yield LabelledCase(
                case_id=f"{part}-{patient:05d}-{side}",
                patient=f"{part}-{patient:05d}",
                study=phantom.study(),
                target=float(str(phantom.truth["label"])),
                markers=tuple(phantom.markers.values()),
            )
            made += 1
        patient += 1


def training_array(study: Study) -> NDArray[np.uint8]:
    """The proposed region of one hip with context, as training stores it.

    Returns:
        uint8 (288, 288), 0..255 for -0.25..1.25 of the stretched range.
    """
    crop = crop_region(study, locate(study)[0], SIZE, CONTEXT)
    share = (np.clip(crop, STORED_LOW, STORED_HIGH) - STORED_LOW) / (STORED_HIGH - STORED_LOW)
    return np.rint(share * 255).astype(np.uint8)
