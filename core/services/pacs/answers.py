"""Images of the PACS on the main road, and results back into the study they come from."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from core import __version__
from core.engine.loader import Model
from core.errors import FileError
from core.imaging.display import to_display
from core.io.journal import Journal
from core.io.reader import shared_reader
from core.manifest import Manifest
from core.records import ScreeningResult
from core.reports.case_pdf import case_pdf
from core.reports.dicom_objects import plan_objects
from core.reports.result_json import error_json, to_json
from core.screening import operating_point, screen
from core.services.pacs.client import Pacs
from core.services.pacs.matches import Instance


@dataclass(frozen=True)
class Options:
    """What is asked of every image; see `core.screening.screen`.

    Attributes:
        confirmed: A person wants scores of images that raise questions.
        point: Operating point, None = the default one.
        is_stored: Results that show a score go back into the study.
    """

    confirmed: bool = False
    point: str | None = None
    is_stored: bool = False


def about(model: Model, options: Options) -> dict[str, object]:
    """What the answers depend on beside the images, for a journal."""
    manifest = model.manifest
    return {
        "schema": 1,
        "program": __version__,
        "task": manifest.task,
        "weights": manifest.weights.sha256,
        "point": operating_point(manifest, options.point).id,
        "confirmed": options.confirmed,
        "stored": options.is_stored,
    }


def screen_images(
    pacs: Pacs, images: Iterable[Instance], model: Model, options: Options, journal: Journal
) -> Iterator[dict[str, Any]]:
    """The answer to each image, and how many objects were stored; one that cannot be answered costs its answer alone.

    The journal knows images by a hash of their UID. It keeps the time of a result before the result is stored: a run that goes
    on makes the objects of the interrupted image once more, and they are the same objects to the archive.

    Raises:
        PacsError: The PACS is at fault: the same call with the same journal goes on later.
        BusyError: The reader stayed busy.
    """
    for image in images:
        name = hashlib.sha256(image.instance_uid.encode()).hexdigest()
        made_at = datetime.fromisoformat(journal.once(f"{name}/made", lambda: datetime.now(UTC).isoformat()))
        try:
            yield journal.once(name, partial(_answer, pacs, image, model, options, made_at))
        except FileError as error:  # not in the journal: next time it is tried again
            yield error_json(model.manifest.task, error)


def _answer(pacs: Pacs, image: Instance, model: Model, options: Options, made_at: datetime) -> dict[str, Any]:
    study, content = pacs.read(image)
    result = screen(study, model, confirmed=options.confirmed, point=options.point)
    n_stored = 0
    if options.is_stored and result.gate.shows_score:
        n_stored = store_result(pacs, image, result, model.manifest, content, made_at)
    return {**to_json(result), "stored": n_stored}


def store_result(
    pacs: Pacs,
    image: Instance,
    result: ScreeningResult,
    manifest: Manifest,
    content: bytes,
    made_at: datetime,
    language: str = "en",
) -> int:
    """Store overlay, masks, structured report and printed report of a result in the study of its image.

    Args:
        pacs: Of the installation.
        image: That was screened.
        result: Shows a score.
        manifest: Of the model that answered.
        content: The file as it was fetched: its patient and study are copied.
        made_at: Time of the result; the same one gives the same objects.
        language: Of the printed report.

    Returns:
        How many objects.

    Raises:
        FileError: E_PACS_OBJECT, or of the reader; see `Reader.derive`.
        PacsError: The PACS is at fault.
    """
    display = to_display(result.study.frame)
    report = case_pdf(result, manifest, display=display, made_at=made_at, language=language, has_patient=False)
    plan = plan_objects(result, manifest, display=display, report=report, made_at=made_at)
    files = shared_reader().derive(plan, content)
    pacs.store(image.series.study.study_uid, files)
    return len(files)
