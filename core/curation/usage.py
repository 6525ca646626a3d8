"""What a curated data set is for: the commands that go on with it, and one zip file of it."""

import io
import shlex
import zipfile
from pathlib import Path

from core.curation.report import EXCLUDED, HEADERS, PAIRS, REMARKS, SUMMARY

WITH_IMAGES = ("hip_osteoporosis", "retina_lesions")
"""Tasks whose data set holds its own pictures; files of the others stay where they are: a copy would have their headers."""
TABLES = ("labels.csv", "labels.json", PAIRS, EXCLUDED, HEADERS, REMARKS, "knees.csv", "boxes.csv", SUMMARY)
PICTURES = ("images", "masks", "boxes")
MAX_ZIP_BYTES = 1 << 30


def commands(task_id: str, images: Path | str, out: Path) -> tuple[str, str]:
    """How to train on a data set, and how to measure a model on it.

    Args:
        task_id: Of the task.
        images: Folder of the files as they came.
        out: Folder of the data set.
    """
    if task_id in WITH_IMAGES:
        source = ["--data", str(out)]
    else:
        labels = "labels.json" if task_id == "chest_lesions" else "labels.csv"
        source = ["--data", str(images), "--labels", str(out / labels)]
    split = [] if task_id == "chest_lesions" else ["--split", "test"]
    start = ["python", "-m", "core"]
    return shlex.join([*start, "train", task_id, *source]), shlex.join([*start, "evaluate", task_id, *source, *split])


def files_of(out: Path) -> list[Path]:
    """Every file of a data set that may leave: tables and pictures without a header, never the files they were made from."""
    tables = [out / name for name in TABLES if (out / name).is_file()]
    return tables + sorted(
        path for folder in PICTURES for path in (out / folder).glob("*") if path.suffix in (".png", ".xml")
    )


def n_bytes(out: Path) -> int:
    """Of all these files."""
    return sum(path.stat().st_size for path in files_of(out))


def data_set_zip(out: Path) -> bytes:
    """All these files in one zip, pictures as they are: they are packed already. The same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in files_of(out):
            entry = zipfile.ZipInfo(path.relative_to(out).as_posix())
            method = zipfile.ZIP_STORED if path.suffix == ".png" else zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), method)
    return buffer.getvalue()
