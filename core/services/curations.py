"""Curations: the command `python -m core curate` as a job, from films and a table to a labelled data set."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.io.progress import FILE as PROGRESS
from core.io.progress import State, read_progress
from core.services.jobs import Job, Jobs, write_json

IMAGES, MARKS, DATA, STARTED = "images.zip", "marks.zip", "data", "started.json"
SUMMARY = "curation.json"  # what the command writes last; see core.curation.report
KEEP_HOURS = 24.0
_IMAGES = {"hip_osteoporosis": "dicom", "knee_djd": "mat"}  # else --data
_TABLE = {"hip_osteoporosis": "dexa", "ct_osteoporosis": "labels", "chest_lesions": "table"}
Stage = Literal["planned", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Plan:
    """What is curated.

    Attributes:
        task: Id.
        phantoms: Patients of a phantom hospital; 0 with images.
        server_folder: Where the images lie on this machine; empty = in the uploaded archive.
        table: Name of the DXA table, the labels or the boxes in the folder of the job; empty = none.
        has_marks: There is an archive of marked copies of films.
        colours: What colours of marks mean, as COLOUR=LABEL.
        test_year: First year of the test set; 0 = the last one.
        created: Seconds since 1970.
    """

    task: str
    phantoms: int
    server_folder: str
    table: str
    has_marks: bool
    colours: list[str]
    test_year: int
    created: float


@dataclass(frozen=True)
class Curation(Job):
    """One curation on disk.

    Attributes:
        plan: What is curated.
    """

    plan: Plan

    @property
    def data(self) -> Path:
        """The data set that comes out."""
        return self.folder / DATA


class Curations:
    """All curations of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which they are deleted, uploads and all.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._jobs = Jobs(root, keep_hours)

    def create(
        self,
        task: str,
        *,
        phantoms: int = 0,
        server_folder: str = "",
        images: bytes | None = None,
        table: tuple[str, bytes] | None = None,
        marks: bytes | None = None,
        colours: Mapping[str, str] | None = None,
        test_year: int = 0,
    ) -> Curation:
        """A new curation; nothing runs yet.

        Args:
            task: Id.
            phantoms: Patients of a phantom hospital, in place of everything below.
            server_folder: Allowed by the caller.
            images: A zip archive, where there is no folder.
            table: Ending of the table's file (".csv"), and its bytes.
            marks: A zip archive of marked copies of films.
            colours: Label by colour of a mark.
            test_year: First year of the test set; 0 = the last one.

        Raises:
            OSError: See `Jobs.create`.
        """
        files = {IMAGES: images, MARKS: marks} | ({f"table{table[0]}": table[1]} if table else {})
        plan = Plan(
            task=task,
            phantoms=phantoms,
            server_folder=str(Path(server_folder).resolve()) if server_folder else "",
            table=f"table{table[0]}" if table else "",
            has_marks=marks is not None,
            colours=[f"{colour}={label}" for colour, label in (colours or {}).items()],
            test_year=test_year,
            created=time.time(),
        )
        return Curation(self._jobs.create(plan, {name: own for name, own in files.items() if own is not None}), plan)

    def find(self, token: str) -> Curation | None:
        """The curation of a token, None where there is none. It counts as used now."""
        found = self._jobs.find(token, Plan)
        return None if found is None else Curation(*found)

    def start(self, curation: Curation) -> None:
        """Start it, from the beginning; nothing happens while it runs.

        Raises:
            BusyError: Another curation runs.
        """

        def prepare() -> None:
            (curation.folder / PROGRESS).unlink(missing_ok=True)
            shutil.rmtree(curation.data, ignore_errors=True)
            write_json(curation.folder / STARTED, time.time())

        self._jobs.launch(curation.folder, _arguments(curation), {}, prepare)

    def stage(self, curation: Curation) -> Stage:
        """Where it stands."""
        if self._jobs.is_alive(curation.folder):
            return "running"
        told = self.progress(curation)
        if told is not None:
            return "failed" if told.outcome == "failed" else "stopped"
        if not (curation.folder / STARTED).is_file():
            return "planned"
        return "done" if (curation.data / SUMMARY).is_file() else "failed"

    def progress(self, curation: Curation) -> State | None:
        """How far it is; None before it tells."""
        return read_progress(curation.folder)

    def stop(self, curation: Curation) -> None:
        """End it. Returns once it has ended, or after two seconds."""
        self._jobs.stop(curation.folder)

    def delete(self, curation: Curation) -> None:
        """Stop it and remove everything, uploads and data set included."""
        self._jobs.delete(curation.folder)


def _arguments(curation: Curation) -> list[str]:
    folder, plan = curation.folder, curation.plan
    options: dict[str, object] = {"--job": folder, "--out": curation.data}
    if plan.phantoms:
        options["--phantoms"] = plan.phantoms
    else:
        options[f"--{_IMAGES.get(plan.task, 'data')}"] = plan.server_folder or folder / IMAGES
        options |= {f"--{_TABLE[plan.task]}": folder / plan.table} if plan.table else {}
        options |= {"--marks": folder / MARKS} if plan.has_marks else {}
        options |= {"--test-year": plan.test_year} if plan.test_year else {}
    given = [str(part) for option in options.items() for part in option]
    return ["curate", plan.task, *given, *(["--colours", *plan.colours] if plan.colours else [])]
