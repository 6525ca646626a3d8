"""Cohorts for a page: the command `python -m core pacs cohort` as a job, into a folder that the evaluation then offers."""

import csv
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from core.errors import UsageError
from core.io.progress import FILE as PROGRESS
from core.io.progress import State, read_progress
from core.services.jobs import Job, Jobs
from core.services.pacs.cohort import TABLE, read_accessions

LIST, KEEP_HOURS = "accessions.txt", 24.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
Stage = Literal["planned", "running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Plan:
    """What is fetched.

    Attributes:
        task: Its modalities are searched.
        name: Of the folder that gets the images.
        first, last: Days, ISO; both empty where accession numbers were given.
        created: Seconds since 1970.
    """

    task: str
    name: str
    first: str
    last: str
    created: float


@dataclass(frozen=True)
class Cohort(Job):
    """One cohort on disk.

    Attributes:
        plan: What is fetched.
        out: The folder that gets the images.
    """

    plan: Plan
    out: Path


class Cohorts:
    """All cohorts that pages of this installation fetch.

    Args:
        root: Where the lists of accession numbers lie, for a day.
        target: Folder whose subfolders get the images; they stay there.
    """

    def __init__(self, root: Path, target: Path) -> None:
        self._jobs, self._target = Jobs(root, KEEP_HOURS), target.resolve()

    def create(self, task: str, name: str, accessions: str = "", days: tuple[date, date] | None = None) -> Cohort:
        """A new cohort; nothing runs yet.

        Args:
            task: Its modalities are searched.
            name: Letters, digits, _ and -; the images join those that are in a folder of this name.
            accessions: Numbers, one a line.
            days: First and last one, in place of a list.

        Raises:
            UsageError: Another name, or neither list nor days.
            OSError: See `Jobs.create`.
        """
        if not _NAME.fullmatch(name):
            raise UsageError("the name of a folder takes 1 to 40 letters, digits, _ and -")
        first, last = (day.isoformat() for day in days) if days else ("", "")
        if not days:
            read_accessions(accessions)
        plan = Plan(task, name, first, last, time.time())
        return Cohort(self._jobs.create(plan, {LIST: accessions.encode()}), plan, self._target / name)

    def find(self, token: str) -> Cohort | None:
        """The cohort of a token, None where there is none."""
        found = self._jobs.find(token, Plan)
        if found is None or not _NAME.fullmatch(found[1].name):
            return None
        return Cohort(*found, self._target / found[1].name)

    def start(self, cohort: Cohort) -> None:
        """Start, or go on where it was stopped; nothing happens while it runs.

        Raises:
            BusyError: Another cohort is being fetched.
        """

        def prepare() -> None:
            (cohort.folder / PROGRESS).unlink(missing_ok=True)
            (cohort.out / TABLE).unlink(missing_ok=True)

        plan, folder = cohort.plan, cohort.folder
        asked = ["--from", plan.first, "--to", plan.last] if plan.first else ["--accessions", str(folder / LIST)]
        command = ["pacs", "cohort", plan.task, *asked, "--out", str(cohort.out), "--progress", str(folder)]
        self._jobs.launch(folder, command, {}, prepare)

    def stage(self, cohort: Cohort) -> Stage:
        """Where it stands."""
        if self._jobs.is_alive(cohort.folder):
            return "running"
        told = self.progress(cohort)
        if told is not None:
            return "failed" if told.outcome == "failed" else "stopped"
        return "done" if (cohort.out / TABLE).is_file() else "planned"

    def progress(self, cohort: Cohort) -> State | None:
        """How far it is; None before it tells, and when it is done."""
        return read_progress(cohort.folder)

    def counts(self, cohort: Cohort) -> Counter[str]:
        """How many images, and requests without one, had each outcome."""
        with (cohort.out / TABLE).open(newline="", encoding="utf-8") as file:
            return Counter(row["outcome"] for row in csv.DictReader(file))

    def stop(self, cohort: Cohort) -> None:
        """End it; what was fetched stays."""
        self._jobs.stop(cohort.folder)
