"""Learns what other kinds of image look like, from public real images (core.imaging.kinds)."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from core.imaging.display import apply_window
from core.imaging.kinds import KINDS_FILE, Array, Kind, learn_kind, thumbnail
from core.io.reader import shared_reader

CT_WINDOWS = ((40.0, 400.0), (300.0, 1500.0), (-500.0, 1500.0))
SOURCES = [
    {
        "task": "chest_lesions",
        "data": "NIH ChestX-ray14 (Wang et al., CVPR 2017; NIH Clinical Center); Wingspan heart and lung set (Dong et al.)",
        "licence": "no restriction on use; MIT",
    },
    {
        "task": "ct_osteoporosis",
        "data": "TCIA collections ACRIN-FLT-Breast, CPTAC-PDA, Lung-Fused-CT-Pathology, COVID-19-NY-SBU",
        "licence": "CC BY 3.0 / 4.0",
    },
]


def _grey_files(folder: Path) -> Iterator[Array]:
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            yield thumbnail(np.asarray(image.convert("L"), np.float32))


def _ct_slices(folder: Path) -> Iterator[Array]:
    reader = shared_reader()
    for path in sorted(folder.glob("*/*.dcm")):
        pixels = reader.read(path.read_bytes()).frame.pixels.astype(np.float32)
        for center, width in CT_WINDOWS:
            yield thumbnail(apply_window(pixels, center, width))


def learn_kinds(data: Path) -> tuple[Kind, ...]:
    """One Kind for each other task whose real images lie in `data`."""
    chests = [*_grey_files(data / "chest_nih" / "images"), *_grey_files(data / "chest_heart_lung" / "images")]
    slices = list(_ct_slices(data / "ct_vertebra"))
    return learn_kind("chest_lesions", np.stack(chests), 24), learn_kind("ct_osteoporosis", np.stack(slices), 12)


def write_kinds(data: Path, command: str) -> Path:
    """Learn from `data` and write the file the gates read, with its sources beside it."""
    kinds = learn_kinds(data)
    arrays = {
        "tasks": np.array([kind.task for kind in kinds]),
        "limits": np.array([kind.limit for kind in kinds], np.float32),
    }
    for kind in kinds:
        arrays[f"{kind.task}_mean"] = kind.mean.astype(np.float16)
        arrays[f"{kind.task}_components"] = kind.components.astype(np.float16)
    KINDS_FILE.parent.mkdir(parents=True, exist_ok=True)
    np.savez(KINDS_FILE, **arrays)  # type: ignore[arg-type]  # the stub takes a keyword for an array name
    note = {"command": command, "sources": SOURCES, "method": "mean and principal components of 32x32 thumbnails"}
    KINDS_FILE.with_name("sources.json").write_text(json.dumps(note, indent=2) + "\n")
    return KINDS_FILE
