"""The eye of a fundus phantom: landmarks, camera field, colours, and the person. None of it knows of the lesions.

Places are (x, y) in shares of the picture's side; sizes are pixels of a picture of 1024, as in the photographs that they were
compared with (IDRiD, 50 degrees), and scale with the picture.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from core.records import Laterality

Point = NDArray[np.float64]

SIDE = 1024  # of the picture that sizes are given for
FIRST_DAY = date(2018, 1, 1)
STREAMS = (
    *("cause", "red", "bright", "eye", "vessels", "background", "dark_marks", "bright_marks"),
    *("person", "camera", "photograph"),
)
BLOOD = (0.14, 0.58, 0.32)
"""What blood takes from the logarithm of red, green and blue."""


def stream(seed: int, name: str, *more: int) -> np.random.Generator:
    """Random numbers of one part of the picture: what another part draws never shifts them."""
    return np.random.default_rng([seed, STREAMS.index(name), *more])


@dataclass(frozen=True)
class Eye:
    """What all photographs of an eye share.

    Attributes:
        seed: Of all streams.
        laterality: "R" (OD) or "L" (OS): the disc lies at the right of the picture in a right eye.
        disc: Centre of the optic disc.
        disc_radii: Its semi-axes across and down, pixels of 1024.
        fovea: Centre of the fovea.
        field_radius, field_half_height: The round camera field, cut off above and below, shares of the side.
        base: Colour of the fundus between the landmarks, red, green, blue, 0-255.
        disc_colour: Colour of the disc.
    """

    seed: int
    laterality: Laterality
    disc: Point
    disc_radii: tuple[float, float]
    fovea: Point
    field_radius: float
    field_half_height: float
    base: tuple[float, float, float]
    disc_colour: tuple[float, float, float]

    @property
    def nasal(self) -> int:
        """Direction of the nose along x."""
        return 1 if self.laterality == "R" else -1

    def in_field(self, points: NDArray[np.float64], margin: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points (..., 2) lie in the camera field, `margin` (shares of the side) inside its edge."""
        x, y = points[..., 0] - 0.5, points[..., 1] - 0.5
        round_part = np.hypot(x, y) < self.field_radius - margin
        inside: NDArray[np.bool_] = round_part & (np.abs(y) < self.field_half_height - margin)
        return inside


def grid(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shares of the side at pixel centres: x (1, size) and y (size, 1)."""
    at = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return at[None, :], at[:, None]


def draw_eye(seed: int) -> Eye:
    """Side, landmarks and colours of one eye."""
    rng, camera = stream(seed, "eye"), stream(seed, "camera")
    laterality: Laterality = "R" if rng.random() < 0.5 else "L"
    nasal = 1 if laterality == "R" else -1
    fovea = np.array([0.5 - nasal * rng.uniform(-0.02, 0.09), 0.5 + rng.uniform(-0.04, 0.05)])
    tilt, distance = np.deg2rad(rng.uniform(2, 10)), rng.uniform(0.35, 0.40)
    radius = rng.uniform(69, 84)
    red = float(np.exp(rng.normal(np.log(168), 0.17)))
    share = float(np.clip(np.exp(rng.normal(np.log(0.47), 0.13)), 0.35, 0.54))
    blue = float(np.clip(np.exp(rng.normal(np.log(0.25), 0.5)), 0.08, 0.6))
    pale = rng.uniform(0, 1)
    return Eye(
        seed=seed,
        laterality=laterality,
        disc=fovea + distance * np.array([nasal * np.cos(tilt), -np.sin(tilt)]),
        disc_radii=(radius * rng.uniform(0.92, 1.0), radius * rng.uniform(1.0, 1.08)),
        fovea=fovea,
        field_radius=camera.uniform(0.485, 0.498),
        field_half_height=camera.uniform(0.41, 0.43) if camera.random() < 0.7 else 0.5,
        base=(red, red * share, red * share * blue),
        disc_colour=(245 + 8 * pale, 175 + 25 * pale, 80 + 40 * pale + 150 * (share * blue - 0.1)),
    )


def draw_person(seed: int, laterality: Laterality) -> dict[str, object]:
    """Header of the file; independent of the lesions."""
    rng = stream(seed, "person")
    return {
        "Modality": "OP",
        "BodyPartExamined": "EYE",
        "Laterality": laterality,
        "PatientID": f"PHANTOM-{seed % 16**8:08x}",
        "PatientSex": "F" if rng.random() < 0.5 else "M",
        "PatientAge": int(rng.integers(25, 85)),
        "StudyDate": f"{FIRST_DAY + timedelta(days=int(rng.integers(0, 1826))):%Y%m%d}",
    }
