"""Many files to one series of slices: one consistent group, sorted by position; what does not belong to it is listed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import FileError
from core.io import vocabulary
from core.records import Study

MAX_SERIES_BYTES = 2**30
"""Pixels of a whole series in memory: 1024 slices of 512 x 512."""
_MAX_STOPS = 3
# Two series of one patient differ in these.
_SERIES_TAGS = ("Modality", "ConvolutionKernel", "SliceThickness")

File = tuple[str, bytes | str]
"""Display name, and content, or the error code that tells why there is none."""


@dataclass(frozen=True)
class Series:
    """The slices of one acquisition.

    Attributes:
        studies: At least one; sorted by the tag SlicePosition, those without it after those with it, in the order of names.
        failures: Display name and error code of each file that is not among them, in the order of names.
    """

    studies: tuple[Study, ...]
    failures: tuple[tuple[str, str], ...]


def looks_zip(data: bytes) -> bool:
    """Whether `data` starts like a zip file."""
    return data.startswith(b"PK\x03\x04")


def display_name(name: str) -> str:
    """The end of a file name, with what cannot be printed escaped. It is for the eye alone and may hold a patient's name."""
    return printable(name)[-vocabulary.MAX_TAG_CHARS :]


def printable(name: str) -> str:
    """A file name with what cannot be printed escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in name
    )


def folder_files(folder: Path, max_bytes: int) -> Iterator[File]:
    """The files that lie directly in a folder, in the order of names, each read when it is asked for; hidden ones are left out.

    Raises:
        FileError: E_SERIES when the folder cannot be opened, E_BOMB when it holds more than MAX_FILES.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise FileError("E_SERIES", f"the folder cannot be opened: {type(error).__name__}") from error
    if len(paths) > vocabulary.MAX_FILES:
        raise FileError("E_BOMB", f"{len(paths)} files, at most {vocabulary.MAX_FILES}")
    for path in paths:
        content: bytes | str
        try:
            content = path.read_bytes() if path.stat().st_size <= max_bytes else "E_TOO_LARGE"
        except OSError:
            content = "E_NOT_IMAGE"
        yield display_name(path.name), content


def read_files(files: Iterable[File], read: Callable[[bytes], Study]) -> Series:
    """Read all files and keep the largest group of studies that may be one series.

    One series has one patient, modality, frame size, spacing, unit, slice thickness and convolution kernel. A file that comes
    twice is kept once.

    Args:
        files: Consumed one by one.
        read: Reader.read.

    Raises:
        FileError: E_SERIES when no file is a readable image; E_BOMB when the pixels are too many; E_CRASH or E_TIMEOUT when the
            reader had to be stopped three times.
    """
    outcomes: list[tuple[str, Study | str]] = []
    seen: set[str] = set()
    n_bytes = n_stops = 0
    for name, content in files:
        outcome: Study | str = content if isinstance(content, str) else _outcome(read, content)
        if isinstance(outcome, Study):
            if outcome.file_sha256 in seen:
                outcome = "E_SERIES"
            else:
                seen.add(outcome.file_sha256)
                n_bytes += outcome.frame.pixels.nbytes
        if outcome in ("E_CRASH", "E_TIMEOUT"):
            n_stops += 1
        if n_stops == _MAX_STOPS:
            raise FileError(str(outcome), f"{_MAX_STOPS} files")
        if n_bytes > MAX_SERIES_BYTES:
            raise FileError("E_BOMB", f"more than {MAX_SERIES_BYTES} bytes of pixels")
        outcomes.append((name, outcome))
    return _largest_group(outcomes)


def _outcome(read: Callable[[bytes], Study], content: bytes) -> Study | str:
    try:
        return read(content)
    except FileError as error:
        return error.code


def _largest_group(outcomes: list[tuple[str, Study | str]]) -> Series:
    groups: dict[object, list[Study]] = {}
    for _, outcome in outcomes:
        if isinstance(outcome, Study):
            groups.setdefault(_kind(outcome), []).append(outcome)
    if not groups:
        codes = sorted({str(code) for _, code in outcomes})
        raise FileError("E_SERIES", f"no readable image in {len(outcomes)} files ({', '.join(codes) or 'none'})")
    largest = max(groups, key=lambda kind: len(groups[kind]))
    failures = [
        (name, outcome if isinstance(outcome, str) else "E_SERIES")
        for name, outcome in outcomes
        if isinstance(outcome, str) or _kind(outcome) != largest
    ]
    return Series(tuple(sorted(groups[largest], key=_place)), tuple(failures))


def _kind(study: Study) -> object:
    frame = study.frame
    tags = tuple(study.tags.get(keyword) for keyword in _SERIES_TAGS)
    return frame.pixels.shape, frame.unit, frame.spacing_mm, study.container, study.pseudonym, tags


def _place(study: Study) -> tuple[bool, float]:
    position = study.tags.get("SlicePosition")
    return position is None, float(position or 0)
