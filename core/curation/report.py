"""What every curation says of itself in curation.json: counts by split, label and reason, and whether phantoms were curated."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core import registry
from core.io.weights_file import write_atomically
from core.manifest import DEMO_STATEMENT

SUMMARY, EXCLUDED, HEADERS, PAIRS, REMARKS = (
    "curation.json",
    "excluded.csv",
    "headers.csv",
    "pairs.csv",
    "remarks.csv",
)
ALL = "all"  # the split of a data set that training divides
EXCLUDED_COLUMNS = ("film", "file_number", "reason")

Tell = Callable[[str, int, int], None]
"""Gets the phase (reading, writing), and the numbers of files done and in all."""
UsedImage = tuple[str, str, Sequence[str]]  # split, patient, and labels of one image


def tell_nobody(phase: str, done: int, total: int) -> None:
    """For calls that nobody watches."""


@dataclass(frozen=True)
class Share:
    """One side of the split.

    Attributes:
        images: That are used.
        patients: Who have them; 0 where nothing tells patients apart.
        labels: Number of images by label; one image may have several.
    """

    images: int
    patients: int
    labels: Mapping[str, int]


@dataclass(frozen=True)
class Report:
    """Counts of one curation.

    Attributes:
        task: Id.
        unit: What is counted: "films", "knees", "slices" or "photographs".
        files: That were looked at.
        splits: Used images by split.
        excluded: Number of images, or of rows of a table of boxes, left out by reason.
        is_phantom: Some of the images say that they are phantoms.
        remarks: Number of what is used and still worth a look, by remark.
        facts: What only this task counts.
    """

    task: str
    unit: str
    files: int
    splits: Mapping[str, Share]
    excluded: Mapping[str, int]
    is_phantom: bool
    remarks: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statement(self) -> str:
        """What has to stand wherever these counts are shown, "" for images of patients."""
        return DEMO_STATEMENT if self.is_phantom else ""


def shares(task_id: str, used: Iterable[UsedImage]) -> dict[str, Share]:
    """Counts by split; labels in the order of the task, others after them.

    Args:
        task_id: Of the task.
        used: Every image that is used, "" for a patient who is not known.
    """
    order = [label.id for label in registry.task(task_id).labels]
    by_split: dict[str, list[UsedImage]] = {}

    def place(item: tuple[str, int]) -> tuple[int, str]:
        return (order.index(item[0]) if item[0] in order else len(order), item[0])

    for image in used:
        by_split.setdefault(image[0], []).append(image)
    return {
        split: Share(
            len(own),
            len({patient for _, patient, _ in own if patient}),
            dict(sorted(Counter(label for *_, labels in own for label in labels).items(), key=place)),
        )
        for split, own in sorted(by_split.items(), reverse=True)  # train before test
    }


def write_report(out: Path, report: Report) -> None:
    """Write curation.json."""
    content = {"statement": report.statement, **asdict(report)}
    write_atomically(out / SUMMARY, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def read_report(out: Path) -> Report | None:
    """What `write_report` wrote; None where a curation has not ended."""
    try:
        facts = json.loads((out / SUMMARY).read_bytes())
        facts.pop("statement")
        splits = {split: Share(**own) for split, own in facts.pop("splits").items()}
        return Report(splits=splits, **facts)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def by_number(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first."""
    return dict(Counter(counts).most_common())
