"""Where folders of boxes come from and go to: curated data sets on the server, uploads, phantoms, archives."""

import json
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from core import registry
from core.curation.box_review import NAME, SUFFIXES
from core.curation.boxes import FOLDER, write_proposal
from core.curation.reviews import JOURNAL
from core.errors import UsageError
from core.manifest import DEMO_STATEMENT
from core.phantom import Phantom

N_PHANTOMS = 6
SUMMARY = "curation.json"
ODD_NAME = "name with other characters than letters, digits, spaces, dots, _ and -"
NO_PICTURE, TWICE = "neither a picture nor its XML file", "the same name twice"
_TASK = "hip_osteoporosis"


def sort_upload(files: Iterable[tuple[str, bytes | str]]) -> tuple[dict[str, bytes], Counter[str]]:
    """What of an unpacked archive can be reviewed: pictures, XML files and the journal; and what is left out by reason.

    Args:
        files: Name, and content or error code, see `Reader.unpack`.

    Raises:
        UsageError: There is no picture.
    """
    kept: dict[str, bytes] = {}
    left_out = Counter[str]()
    for name, content in files:
        suffix = Path(name).suffix.lower()
        if isinstance(content, str):
            left_out[content] += 1
        elif suffix not in (*SUFFIXES, ".xml") and name != JOURNAL:
            left_out[NO_PICTURE] += 1
        elif not NAME.fullmatch(name):
            left_out[ODD_NAME] += 1
        elif name in kept:
            left_out[TWICE] += 1
        else:
            # LabelImg and this program look for the small ending
            kept[f"{Path(name).stem}.xml" if suffix == ".xml" else name] = content
    if not any(Path(name).suffix.lower() in SUFFIXES for name in kept):
        raise UsageError("no picture in the zip file")
    return kept, left_out


def pack_folder(folder: Path, statement: str) -> bytes:
    """Pictures, XML files and journal of a folder as a zip file; `statement` goes into its comment."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            if NAME.fullmatch(path.name):
                archive.write(path, path.name)
        archive.comment = statement.encode()
    return buffer.getvalue()


def write_phantoms(folder: Path) -> None:
    """Pictures and proposed boxes of six phantom hips."""
    make = registry.part(_TASK, "phantom").make_phantom
    locate = registry.part(_TASK, "locate").locate
    for number in range(N_PHANTOMS):
        phantom: Phantom = make(np.random.default_rng([2026, number]))
        study = phantom.study()
        (region,) = locate(study)
        write_proposal(folder, study.pixel_hash[:16], study.frame, region.box_xyxy)


def statement_of(data_set: Path) -> str:
    """The statement about simulated data of a curated data set that was made of phantoms, "" of any other.

    Raises:
        UsageError: Its curation.json cannot be read.
    """
    path = data_set / SUMMARY
    if not path.is_file():
        return ""
    try:
        return DEMO_STATEMENT if json.loads(path.read_bytes())["is_phantom"] is True else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path.name} cannot be read") from error


def boxed_folders(root: Path | None) -> list[str]:
    """Names of the curated data sets below a folder that have boxes to review."""
    if root is None or not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if (path / FOLDER).is_dir())
