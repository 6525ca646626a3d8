"""Reader studies: cases answered blind, then with the model. Answers are kept at once, so a study goes on after a break."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from core import registry
from core.errors import UsageError
from core.evaluation.questions import read_questions
from core.evaluation.reading import Reading
from core.io.phantom_file import write_dicom
from core.manifest import DEMO_STATEMENT, Manifest
from core.records import ScreeningResult
from core.services.evaluations import Evaluation
from core.services.jobs import Job, Jobs, read_json, write_json

READINGS, CASES = "readings.json", "cases.json"
KEEP_HOURS = 30 * 24.0
MOST_CASES = 200
Source = Literal["phantoms", "evaluation"]
_INITIALS = re.compile(r"[A-Za-z]{1,4}")


@dataclass(frozen=True)
class Plan:
    """What is read.

    Attributes:
        task, model, version, weights_sha256: The installed model that is shown.
        label, point: The question, and the operating point that answers it.
        reader: Initials only.
        source: Where the cases come from.
        images: Folder of the evaluation's images; "" for phantoms, which are made when they are read.
        n: Cases.
        seed: Of the phantoms, or of the choice and order of images.
        statement: About simulated data, "" for others.
        created: Seconds since 1970.
    """

    task: str
    model: str
    version: str
    weights_sha256: str
    label: str
    point: str
    reader: str
    source: Source
    images: str
    n: int
    seed: int
    statement: str
    created: float


@dataclass(frozen=True)
class ReaderStudy(Job):
    """One study on disk.

    Attributes:
        plan: What is read.
    """

    plan: Plan

    def readings(self) -> list[Reading]:
        """The answers so far, in order; the last one may lack its second half."""
        return [Reading(**values) for values in read_json(self.folder / READINGS) or []]

    def case(self, place: int) -> tuple[bytes, bool]:
        """File and reference of a case, from 0.

        Raises:
            OSError: The image was deleted with its evaluation.
        """
        plan = self.plan
        if plan.source == "phantoms":
            phantom = registry.part(plan.task, "phantom").make_phantom(np.random.default_rng([plan.seed, place]))
            mask = registry.part(plan.task, "data").truth_mask(phantom, plan.label)
            return write_dicom(phantom), bool(mask.any())
        own = read_json(self.folder / CASES)[place]
        return (Path(plan.images) / own["file"]).read_bytes(), own["reference"]

    def answer_blind(self, reference: bool, answer: bool, seconds: float) -> None:
        """Keep the answer to the next case; a second one to the same is not taken."""
        done = self.readings()
        if len(done) < self.plan.n and all(reading.is_done for reading in done):
            self._write([*done, Reading(len(done) + 1, reference, answer, round(seconds, 1))])

    def answer_aided(self, model: bool | None, score: float | None, answer: bool, seconds: float) -> None:
        """Keep the answer with the model to the case that was answered blind."""
        done = self.readings()
        if done and not done[-1].is_done:
            rounded = None if score is None else round(score, 6)
            whole = replace(done[-1], model=model, score=rounded, aided=answer, aided_s=round(seconds, 1))
            self._write([*done[:-1], whole])

    def _write(self, readings: Sequence[Reading]) -> None:
        write_json(self.folder / READINGS, [asdict(reading) for reading in readings])


class ReaderStudies:
    """All studies of this installation.

    Args:
        root: Where they lie; made when the first one is.
        keep_hours: After which one that nobody used is deleted.
    """

    def __init__(self, root: Path, keep_hours: float = KEEP_HOURS) -> None:
        self._jobs = Jobs(root, keep_hours)

    def create(
        self, manifest: Manifest, label: str, reader: str, n: int, evaluation: Evaluation | None = None
    ) -> ReaderStudy:
        """A new study.

        Args:
            manifest: Of the model that is shown.
            label: One of `questions_of(manifest)`.
            reader: One to four letters.
            n: Cases, 1 to MOST_CASES; of an evaluation no more than it has images.
            evaluation: Whose images are read; None = phantoms.

        Raises:
            UsageError: No such question, no initials, or no cases.
            OSError: See `Jobs.create`.
        """
        points = questions_of(manifest)
        if label not in points or not _INITIALS.fullmatch(reader) or not 1 <= n <= MOST_CASES:
            raise UsageError(f"a reader study of {n} cases needs a question of the model and one to four letters")
        seed = secrets.randbelow(2**31)
        cases = [] if evaluation is None else _choose(evaluation, manifest, label, n, seed)
        plan = Plan(
            task=manifest.task,
            model=manifest.model,
            version=manifest.version,
            weights_sha256=manifest.weights.sha256,
            label=label,
            point=points[label],
            reader=reader.upper(),
            source="phantoms" if evaluation is None else "evaluation",
            images="" if evaluation is None else str(evaluation.data),
            n=n if evaluation is None else len(cases),
            seed=seed,
            statement=DEMO_STATEMENT if evaluation is None else manifest.statement,
            created=time.time(),
        )
        made = ReaderStudy(self._jobs.create(plan, {}), plan)
        write_json(made.folder / CASES, cases)
        return made

    def find(self, token: str) -> ReaderStudy | None:
        """The study of a token, None where there is none. It counts as used now."""
        found = self._jobs.find(token, Plan)
        return None if found is None else ReaderStudy(*found)

    def delete(self, study: ReaderStudy) -> None:
        """Remove everything."""
        self._jobs.delete(study.folder)


def questions_of(manifest: Manifest) -> dict[str, str]:
    """Labels that an operating point with a threshold answers, each with the id of the first such point."""
    found: dict[str, str] = {}
    for point in manifest.operating_points:
        if point.threshold is not None or registry.task(manifest.task).kind == "segmenter":
            found.setdefault(point.label, point.id)
    return found


def call_of(result: ScreeningResult, label: str) -> tuple[bool | None, float | None]:
    """Whether the model calls the whole image positive for a label, and its highest score; None without an answer."""
    if result.prediction is None:
        return None, None
    own = [finding for finding in result.prediction.findings if finding.label == label]
    return any(bool(finding.positive) for finding in own), max((finding.probability for finding in own), default=0.0)


def _choose(evaluation: Evaluation, manifest: Manifest, label: str, n: int, seed: int) -> list[dict[str, object]]:
    """Images of a finished evaluation in random order; one is positive where any of its cases is.

    Raises:
        UsageError: It holds no answers of this model, or none of its images is left.
    """
    reference: dict[str, bool] = {}
    for question in read_questions(evaluation.folder, manifest, {}):
        if question.label == label:
            for own, is_positive in zip(question.pixel_hashes, question.table.is_positive, strict=True):
                reference[own] = reference.get(own, False) or bool(is_positive)
    files = evaluation.images_by_hash
    there = sorted(own for own in reference if own in files and (evaluation.data / files[own]["file"]).is_file())
    if not there:
        raise UsageError("the evaluation holds no image for this question any more")
    order = np.random.default_rng(seed).permutation(len(there))[:n]
    return [{"file": files[there[place]]["file"], "reference": reference[there[place]]} for place in order]
