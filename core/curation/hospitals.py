"""Hospitals made of phantoms, one kind a task: what a hospital would hand over to `curate`, faults included.

That of the hip, with the pairs a right curation finds, is `hip_hospital`.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core import registry
from core.curation import hip_hospital
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.io.tables import csv_bytes
from core.phantom import Phantom

SOURCES: Mapping[str, Mapping[str, str]] = {
    "hip_osteoporosis": {"dicom": "dicom", "dexa": "dexa.csv"},
    "ct_osteoporosis": {"data": "slices", "labels": "labels.csv"},
    "chest_lesions": {"data": "films", "table": "train.csv"},
    "knee_djd": {"mat": "mat"},
    "retina_lesions": {"data": "eyes"},
}
"""Of each task: option of `curate` -> folder or table of the hospital."""
FAULT_EVERY = 8  # one patient in so many has a fault
TIME_POINTS = 5
_SLICES = 2
_RETINA_PX = 512
_MASKS = {"haemorrhage": "haemorrhage", "exudate": "bright", "microaneurysm": "microaneurysm"}

Tell = Callable[[str, int, int], None]


def write_hospital(task_id: str, out: Path, n_patients: int, seed: int, tell: Tell) -> None:
    """Write the folders and tables of SOURCES.

    Args:
        task_id: One of SOURCES.
        out: Folder to write to.
        n_patients: Number of patients.
        seed: Same seed, same bytes.
        tell: Gets the progress.
    """
    if task_id == "hip_osteoporosis":
        hip_hospital.write_hospital(out, n_patients, seed, tell)
        return
    rows: list[tuple[object, ...]] = []
    for number in range(n_patients):
        rng = np.random.default_rng([seed, number])
        is_faulty = number % FAULT_EVERY == FAULT_EVERY - 1
        for name, content in _WRITE[task_id](rng, f"P{number:04d}", is_faulty, rows):
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        tell("making", number + 1, n_patients)
    if task_id in _HEADS:
        table = SOURCES[task_id]["labels" if task_id == "ct_osteoporosis" else "table"]
        (out / table).write_bytes(csv_bytes(_HEADS[task_id], rows))


Rows = list[tuple[object, ...]]
Files = Iterator[tuple[str, bytes]]
_HEADS = {
    "ct_osteoporosis": ("PatientID", "T_score"),
    "chest_lesions": ("file", "label", "x_min", "y_min", "x_max", "y_max"),
}


def _make(task_id: str, rng: np.random.Generator, **options: Any) -> Phantom:
    made: Phantom = registry.part(task_id, "phantom").make_phantom(rng, **options)
    return made


def _ct(rng: np.random.Generator, patient: str, is_faulty: bool, rows: Rows) -> Files:
    """Slices of one patient and a T-score; a faulty one has two scores that differ."""
    first = _make("ct_osteoporosis", rng)
    for place in range(_SLICES):
        one = first if not place else _make("ct_osteoporosis", rng, like=first)
        named = replace(one, meta={**one.meta, "PatientID": patient})
        yield f"slices/{patient}/{place}.dcm", write_dicom(named)
    score = float(str(first.truth["t_score_dxa"]))
    rows.append((patient, f"{score:.1f}"))
    if is_faulty:
        rows.append((patient, f"{-0.5 if score <= -1 else -3:.1f}"))


def _chest(rng: np.random.Generator, patient: str, is_faulty: bool, rows: Rows) -> Files:
    """A film and its boxes; a faulty one has a box beyond its edge."""
    film, name = _make("chest_lesions", rng), f"{patient}.dcm"
    boxes: Any = film.truth["boxes"]
    yield f"films/{name}", write_dicom(film)
    rows += [(name, label, *(f"{edge:.1f}" for edge in box)) for label, box in boxes]
    if is_faulty:
        rows.append((name, "scoliosis", 10, 10, 4000, 4000))
    elif not boxes:
        rows.append((name, "normal", "", "", "", ""))


def _knee(rng: np.random.Generator, patient: str, is_faulty: bool, rows: Rows) -> Files:
    """A scan that names its grades; a faulty one has none on the left."""
    scan = _make("knee_djd", rng)
    codes = str(scan.meta["KneeJointId"])
    if is_faulty:
        codes = f"{codes.split(',')[0]},-1"
    yield f"mat/{patient}.mat", write_matlab(replace(scan, meta={**scan.meta, "KneeJointId": codes}), "5")


def _retina(rng: np.random.Generator, patient: str, is_faulty: bool, rows: Rows) -> Files:
    """Five photographs of an eye and their masks; of a faulty one a time point is missing, and a mask has another size."""
    points = registry.part("retina_lesions", "phantom").make_time_points(rng, size=_RETINA_PX)
    for point, phantom in enumerate(points[:TIME_POINTS], start=1):
        if is_faulty and point == TIME_POINTS:
            continue
        named = replace(phantom, meta={**phantom.meta, "PatientID": patient})
        yield f"eyes/{patient}/images/t{point}.dcm", write_dicom(named)
        for kind, name in _MASKS.items():
            mask = np.asarray(phantom.truth[name], bool)
            yield f"eyes/{patient}/masks/t{point}_{kind}.png", mask_png(mask[:-1] if is_faulty and point == 1 else mask)


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """A mask as people save it: white on black."""
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


_WRITE: Mapping[str, Callable[[np.random.Generator, str, bool, Rows], Files]] = {
    "ct_osteoporosis": _ct,
    "chest_lesions": _chest,
    "knee_djd": _knee,
    "retina_lesions": _retina,
}
