"""What DICOM objects are made from: all the server tells the reader process, and how it travels there."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records import Box, Laterality


@dataclass(frozen=True)
class Number:
    """One measured number: a key of codes.NUMBERS and its value, in the unit that is given there."""

    key: str
    value: float


@dataclass(frozen=True)
class Reported:
    """One measurement group of the structured report.

    Attributes:
        label: Id of the label, its finding.
        name: What people read, English, for a label without a standard code.
        box_xyxy: Pixels of the frame; None where the group is about the whole image.
        is_called: At or above the operating point; None where nothing was compared.
        grade: Id and name of the most probable grade, where labels are grades.
        numbers: Score and whatever was measured.
        probabilities: Of every grade: name and value.
    """

    label: str
    name: str
    numbers: tuple[Number, ...]
    box_xyxy: Box | None = None
    laterality: Laterality | None = None
    is_called: bool | None = None
    grade: tuple[str, str] | None = None
    probabilities: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Plan:
    """A result, as far as DICOM objects hold it. No name, id or date of a patient is in it.

    Attributes:
        task, model, version, weights_sha256, file_sha256: Where the result comes from.
        pseudonym: Keyed hash that becomes the patient id; None without one.
        made_at: Time of the result, UTC.
        statement: What the numbers are worth, English; "" for models trained on real labels.
        caption: One line for comments: phantom, model, statement, use.
        is_phantom: The image is a phantom.
        has_burned_in: The source says that text is burned into its pixels.
        spacing_mm: Row and column spacing of the frame, None when unknown.
        reported: Groups of the structured report.
        image: Display values of the frame, uint8 (H, W) or (H, W, 3).
        overlay: Picture with a caption burned in, uint8 (h, w, 3).
        masks: Label and name of each mask with its boolean (H, W).
        document: The report as PDF.
    """

    task: str
    model: str
    version: str
    weights_sha256: str
    file_sha256: str
    pseudonym: str | None
    made_at: datetime
    statement: str
    caption: str
    is_phantom: bool
    has_burned_in: bool
    spacing_mm: tuple[float, float] | None
    reported: tuple[Reported, ...]
    image: NDArray[np.uint8]
    overlay: NDArray[np.uint8]
    document: bytes
    masks: Mapping[tuple[str, str], NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it: equal results of one moment give objects of equal UIDs."""
        header, body = pack_plan(self)
        return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + body).hexdigest()


def pack_plan(plan: Plan) -> tuple[dict[str, Any], bytes]:
    """The plan as JSON values and the bytes of its arrays and of the document, in this order."""
    facts = {name: getattr(plan, name) for name in _FACTS}
    header = {
        **facts,
        "made_at": plan.made_at.isoformat(),
        "reported": [asdict(own) for own in plan.reported],
        "image": plan.image.shape,
        "overlay": plan.overlay.shape,
        "masks": list(plan.masks),
        "document": len(plan.document),
    }
    arrays = [plan.image, plan.overlay, *(mask.astype(np.uint8) for mask in plan.masks.values())]
    return header, b"".join([*(np.ascontiguousarray(array).tobytes() for array in arrays), plan.document])


_FACTS = (
    *("task", "model", "version", "weights_sha256", "file_sha256", "pseudonym", "statement", "caption"),
    *("is_phantom", "has_burned_in", "spacing_mm"),
)


def unpack_plan(header: Mapping[str, Any], body: bytes) -> tuple[Plan, bytes]:
    """The plan, and what follows it in the body: the bytes of the source file, or none."""
    start = 0

    def take(n_bytes: int) -> bytes:
        nonlocal start
        start += n_bytes
        return body[start - n_bytes : start]

    def array(shape: tuple[int, ...]) -> NDArray[np.uint8]:
        return np.frombuffer(take(int(np.prod(shape))), np.uint8).reshape(shape)

    image, overlay = array(header["image"]), array(header["overlay"])
    masks = {(label, name): array(image.shape[:2]) != 0 for label, name in header["masks"]}
    facts = {name: header[name] for name in _FACTS}
    plan = Plan(
        **facts,
        made_at=datetime.fromisoformat(header["made_at"]),
        reported=tuple(_reported(own) for own in header["reported"]),
        image=image,
        overlay=overlay,
        masks=masks,
        document=take(header["document"]),
    )
    return plan, body[start:]


def _reported(own: Mapping[str, Any]) -> Reported:
    box, grade = own["box_xyxy"], own["grade"]
    changed = {
        "numbers": tuple(Number(**number) for number in own["numbers"]),
        "probabilities": tuple((name, value) for name, value in own["probabilities"]),
        "box_xyxy": None if box is None else tuple(box),
        "grade": None if grade is None else tuple(grade),
    }
    return Reported(**{**own, **changed})
