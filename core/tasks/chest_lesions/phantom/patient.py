"""The patient of a chest phantom: everything that is drawn without regard to the findings."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

FIRST_DAY = date(2018, 1, 1)
STREAMS = (
    *("severity", "calcium", "aorta", "pleura", "grey", "wear", "reader"),
    *("heart", "plaques", "arch", "caps", "patches", "levels", "beaks", "curve"),
    *(
        "person",
        "anatomy",
        "pose",
        "trunk",
        "gas",
        "airways",
        "vessels",
        "bones",
        "spine",
        "skin",
        "devices",
        "marker",
        "detector",
    ),
)
N_VERTEBRAE = 12


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one part of the picture: what another part draws never shifts them."""
    return np.random.default_rng([seed, STREAMS.index(name)])


@dataclass(frozen=True)
class Chest:
    """Size and posture of one patient (mm, rad). The origin lies in the midline, 115 mm (times `size`) below the lung apex.

    Attributes:
        half_width: From the midline to the widest place of the lung.
        top, widest: y of the lung apex and of the widest place.
        apex_x: Distance of the apex from the midline.
        depth: Half the depth of the chest cavity.
        domes: y of the right and the left dome of the diaphragm.
        drop: From the dome down to the costophrenic angle.
        rotation: Sideways shift per mm to the front: the patient is turned about the long axis.
        wall: Thickness of the chest wall at the side.
        breasts: Thickness of the breasts, 0 for men.
        aeration: Attenuation of lung relative to soft tissue.
    """

    size: float
    half_width: float
    top: float
    widest: float
    apex_x: float
    depth: float
    domes: tuple[float, float]
    drop: float
    rotation: float
    wall: float
    breasts: float
    aeration: float

    def level(self, vertebra: float) -> float:
        """Y of the middle of a thoracic vertebra, 1 to 12; halves are discs, numbers beyond are neck and loin."""
        return self.size * (-107 + 20.3 * (vertebra - 1))


def draw_chest(seed: int) -> Chest:
    """A chest of random size, build, depth of inspiration and posture."""
    rng = stream(seed, "anatomy")
    male, size = draw_person(seed)["PatientSex"] == "M", rng.uniform(0.92, 1.06)
    size *= 1.03 if male else 0.97
    poor = rng.random() < 0.2
    lift = rng.uniform(14, 32) if poor else rng.uniform(-6, 12)
    right = size * (90 - lift)
    half_width = 145 * size * rng.uniform(0.93, 1.05)
    breasts = 0.0 if male else rng.uniform(10, 52)
    return Chest(
        size=size,
        half_width=half_width,
        top=-115 * size,
        widest=size * rng.uniform(34, 52),
        apex_x=size * rng.uniform(44, 49),
        depth=size * rng.uniform(78, 96),
        domes=(right, right + size * rng.uniform(7, 20)),
        drop=size * rng.uniform(26, 42),
        rotation=float(np.clip(rng.normal(0, 0.035), -0.09, 0.09)),
        wall=rng.uniform(22, 48),
        breasts=breasts,
        aeration=rng.uniform(0.2, 0.3),
    )


def draw_person(seed: int) -> dict[str, object]:
    """What the header of the file tells about the patient; the findings know nothing of it."""
    rng = stream(seed, "person")
    return {
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "Laterality": "",
        "PatientSex": "M" if rng.random() < 0.5 else "F",
        "PatientAge": int(rng.integers(25, 90)),
        "StudyDate": f"{FIRST_DAY + timedelta(days=int(rng.integers(0, 1826))):%Y%m%d}",
    }
