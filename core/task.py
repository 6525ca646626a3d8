"""The declaration of a task: what a menu, a page and a command need before anything heavy is imported."""

from dataclasses import dataclass
from typing import Literal

from core.i18n import mark

Kind = Literal["classifier", "grader", "detector", "segmenter"]


@dataclass(frozen=True)
class Label:
    """A class the model can output.

    Attributes:
        id: Stable word in files and code.
        name: Message id of what people read.
    """

    id: str
    name: str


@dataclass(frozen=True)
class Reference:
    """A published source."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Task:
    """One screening task. All words are message ids.

    Attributes:
        id: Body part + finding; the same word in folders, URL and commands.
        order: Place in menus.
        title, image_kind, question: Card and page header.
        icon: Material icon name.
        kind: Shape of the answer.
        labels: In channel order.
        architectures: Names the task's network accepts, default first.
        region_name: What a region is called, or "" when the whole frame is used.
        has_sides: A finding belongs to the left or right of the body.
        takes_series: Several slices of a patient may come together, as a zip file or a folder.
        formats: Files that the task reads.
        references: Papers and sources.
        truth: What an explanation should mark on a phantom, and why: see `truth_mask` of its data.
    """

    id: str
    order: int
    title: str
    image_kind: str
    question: str
    icon: str
    kind: Kind
    labels: tuple[Label, ...]
    architectures: tuple[str, ...]
    region_name: str = ""
    has_sides: bool = False
    takes_series: bool = False
    formats: str = mark("DICOM, PNG, JPEG, TIFF or BMP")
    references: tuple[Reference, ...] = ()
    truth: str = ""
