"""Pascal VOC files, one image each, as LabelImg reads and writes them: boxes as XML. Hostile XML is refused, not resolved.

VOC counts pixels from 1 and names the last pixel inside; the boxes here count edges from 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from core.i18n import mark
from core.records import Box

MAX_XML_BYTES = 2**20
MAX_XML_DEPTH = 16
TOO_LARGE, TOO_DEEP = mark("XML that is too large"), mark("XML that is nested too deeply")
DOCUMENT_TYPE, UNREADABLE = mark("XML with a document type"), mark("XML that cannot be read")
REASONS = (TOO_LARGE, TOO_DEEP, DOCUMENT_TYPE, UNREADABLE)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_MAX_NAME = 100


class VocError(ValueError):
    """Why a file cannot be used, in a few words of this program."""


@dataclass(frozen=True)
class VocFile:
    """What one file says.

    Attributes:
        file: Name of the image.
        size: Columns and rows of the image, None where it does not tell.
        is_verified: LabelImg's mark that a person looked at the boxes and agreed.
        objects: Name and box_xyxy of each object; None in place of corners that are no numbers.
    """

    file: str
    size: tuple[int, int] | None
    is_verified: bool
    objects: tuple[tuple[str, Box | None], ...]


def parse_voc(data: bytes) -> VocFile:
    """Parse one file. A document type, and with it every entity, is refused.

    Raises:
        VocError: Too large, nested too deeply, with a document type, or no XML.
    """
    if len(data) > MAX_XML_BYTES:
        raise VocError(TOO_LARGE)
    found = _Parts()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = found.refuse
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler = found.add
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise error if isinstance(error, VocError) else VocError(UNREADABLE) from error
    return VocFile(
        found.file.strip(),
        _size(found.size),
        found.is_verified,
        tuple((one.get("name", ""), _box(one)) for one in found.objects),
    )


def describe_voc(data: bytes) -> dict[str, Any]:
    """What the reader process says about one file, as JSON values: the attributes of `VocFile`, or why it cannot be used."""
    try:
        return asdict(parse_voc(data))
    except VocError as error:
        return {"unusable": str(error)}


def voc_of(values: Mapping[str, Any]) -> VocFile:
    """The other way round; nothing in `values` is trusted.

    Raises:
        VocError: The file cannot be used.
        ValueError, TypeError, KeyError: The reader process never says so.
    """
    if "unusable" in values:
        raise VocError(REASONS[REASONS.index(values["unusable"])])
    size = None if values["size"] is None else (int(values["size"][0]), int(values["size"][1]))
    objects = tuple((str(name)[:_MAX_NAME], _trusted(box)) for name, box in values["objects"])
    return VocFile(str(values["file"])[:_MAX_NAME], size, values["is_verified"] is True, objects)


def _trusted(values: Sequence[float] | None) -> Box | None:
    if values is None:
        return None
    x0, y0, x1, y1 = map(float, values)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError("an edge that is no number")
    return x0, y0, x1, y1


def write_voc(
    file: str, size: tuple[int, int], objects: Sequence[tuple[str, Box]], *, is_verified: bool = False
) -> bytes:
    """One file for LabelImg.

    Args:
        file: Name of the image.
        size: Columns and rows of the image.
        objects: Name and box_xyxy of each; rounded to pixels and cut at the edges of the image.
        is_verified: With LabelImg's mark that a person looked at the boxes and agreed.
    """
    columns, rows = size
    lines = [
        '<annotation verified="yes">' if is_verified else "<annotation>",
        f"  <filename>{escape(file)}</filename>",
        f"  <size><width>{columns}</width><height>{rows}</height><depth>1</depth></size>",
        "  <segmented>0</segmented>",
    ]
    for name, (x0, y0, x1, y1) in objects:
        corners = (max(0, round(x0)) + 1, max(0, round(y0)) + 1, min(columns, round(x1)), min(rows, round(y1)))
        box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(_CORNERS, corners, strict=True))
        lines += [
            "  <object>",
            f"    <name>{escape(name)}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>",
            f"    <bndbox>{box}</bndbox>",
            "  </object>",
        ]
    return ("\n".join((*lines, "</annotation>")) + "\n").encode()


def _box(found: dict[str, str]) -> Box | None:
    try:
        x0, y0, x1, y1 = (float(found[key]) for key in _CORNERS)
    except (KeyError, ValueError, OverflowError):
        return None
    box = (x0 - 1, y0 - 1, x1, y1)
    return box if all(map(math.isfinite, box)) else None


def _size(found: dict[str, str]) -> tuple[int, int] | None:
    try:
        return int(found["width"]), int(found["height"])
    except (KeyError, ValueError):
        return None


class _Parts:
    """What is wanted of a file, gathered while it is parsed."""

    def __init__(self) -> None:
        self.file, self.is_verified = "", False
        self.size: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self._path: list[str] = []

    def refuse(self, *_: object) -> None:
        raise VocError(DOCUMENT_TYPE)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        if len(self._path) > MAX_XML_DEPTH:
            raise VocError(TOO_DEEP)
        if len(self._path) == 1:
            self.is_verified = attributes.get("verified") == "yes"
        if self._path[1:] == ["object"]:
            self.objects.append({})

    def end(self, _: str) -> None:
        self._path.pop()

    def add(self, text: str) -> None:
        match self._path[1:]:
            case ["filename"]:
                self.file += text
            case ["size", key]:
                self.size[key] = self.size.get(key, "") + text
            case ["object", "name"] | ["object", "bndbox", _]:
                key = self._path[-1]
                self.objects[-1][key] = self.objects[-1].get(key, "") + text
