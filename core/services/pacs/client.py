"""DICOMweb (PS3.18): QIDO-RS to search, WADO-RS to fetch, STOW-RS to store."""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

from core.errors import FileError, PacsError
from core.io import vocabulary
from core.io.reader import shared_reader
from core.io.series import File, Series, read_files
from core.records import Study
from core.services.pacs.matches import (
    Instance,
    Item,
    Query,
    SeriesMatch,
    StudyMatch,
    answers,
    instance_match,
    items,
    sequence,
    series_match,
    study_match,
    values,
)
from core.services.pacs.settings import PacsSettings
from core.services.pacs.web import StatusError, Web

SEARCH_S, FETCH_S, STORE_S = 20.0, 120.0, 120.0
_MAX_SEARCH_BYTES, _MAX_STORE_REPLY_BYTES = 8 * 2**20, 2**20
_PAGE = 100
_JSON, _DICOM = "application/dicom+json", "application/dicom"
_BOUNDARY = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70}?)"?\s*(;|$)')
_OBJECT_REFUSED = (400, 404, 410, 413, 415, 422)
_HEAD_BYTES = 4096  # of the one part around a file
_REFERENCED, _FAILED, _REASON = "00081199", "00081198", "00081197"
Match = TypeVar("Match")


class Pacs:
    """The PACS of an installation.

    Args:
        settings: Of the installation.

    Raises:
        PacsError: The settings do not fit together. All calls raise it too: see `Web.exchange`.
    """

    def __init__(self, settings: PacsSettings) -> None:
        self._web = Web(settings)

    def ping(self) -> None:
        """Whether it answers a search."""
        self._search("/studies", {"limit": "1"}, study_match, vocabulary.MAX_FILES)

    def studies(self, query: Query, most: int) -> list[StudyMatch]:
        """Studies that answer a query, the newest first, `most` at most.

        Raises:
            PacsError: There are more, or others than those that were asked for.
        """
        parameters = {**query.parameters, "includefield": "00081030"}
        found: dict[str, StudyMatch] = {}
        for modality in query.modalities or ("",):
            asked = {**parameters, "ModalitiesInStudy": modality} if modality else parameters
            for study in self._pages("/studies", asked, study_match, most):
                found[study.study_uid] = study
        if not all(answers(query, study) for study in found.values()):
            raise PacsError("it names studies that were not asked for")
        return sorted(found.values(), key=lambda study: (study.day, study.study_uid), reverse=True)

    def series(self, study: StudyMatch, modalities: tuple[str, ...] = ()) -> list[SeriesMatch]:
        """The series of a study, without those that this program stored; with modalities those of one of them."""
        path = f"/studies/{study.study_uid}/series"
        found = self._pages(path, {}, lambda item: series_match(item, study), vocabulary.MAX_FILES)
        return [own for own in found if not own.is_ours and (not modalities or own.modality in modalities)]

    def instances(self, series: SeriesMatch) -> list[Instance]:
        """The instances of a series by their number."""
        path = f"/studies/{series.study.study_uid}/series/{series.series_uid}/instances"
        found = self._pages(path, {}, lambda item: instance_match(item, series), vocabulary.MAX_FILES)
        return sorted(found, key=lambda own: (own.number, own.instance_uid))

    def images(self, query: Query, most_studies: int) -> Iterator[Instance]:
        """All instances that answer a query, study by study.

        Raises:
            PacsError: See `studies`.
        """
        for study in self.studies(query, most_studies):
            for series in self.series(study, query.modalities):
                yield from self.instances(series)

    def fetch(self, instance: Instance) -> bytes:
        """The file of an instance as the archive has it, not decoded. Foreign bytes: for the reader process.

        Raises:
            FileError: E_PACS_OBJECT or E_TOO_LARGE.
        """
        most = shared_reader().max_bytes + 2 * _HEAD_BYTES
        accept = {"Accept": f'multipart/related; type="{_DICOM}"; transfer-syntax=*'}
        try:
            reply = self._web.exchange(instance.path, accept, most, FETCH_S, expected=(200,))
        except StatusError as error:
            if error.status in _OBJECT_REFUSED:
                raise FileError("E_PACS_OBJECT", error.got) from error
            raise
        return reply.content if reply.kind.startswith(_DICOM) else _only_part(reply.kind, reply.content)

    def read(self, instance: Instance) -> tuple[Study, bytes]:
        """Fetch an instance and read it in the reader process.

        Raises:
            FileError: See `fetch` and `Reader.read`; E_PACS_OBJECT where the file names another patient than the search did.
        """
        content = self.fetch(instance)
        return _read(instance.series.study, content), content

    def read_series(self, images: Sequence[Instance]) -> tuple[Series, dict[str, Instance]]:
        """Fetch and read the images of a series; what cannot be fetched or read is listed in it.

        Args:
            images: Of one study.

        Returns:
            The series, and its images by the hash of their files.

        Raises:
            FileError: See `core.io.series.read_files`.
        """
        places: dict[str, Instance] = {}

        def files() -> Iterator[File]:
            for image in images:
                try:
                    content = self.fetch(image)
                except FileError as error:
                    yield str(image.number), error.code
                else:
                    places[hashlib.sha256(content).hexdigest()] = image
                    yield str(image.number), content

        return read_files(files(), partial(_read, images[0].series.study)), places

    def store(self, study_uid: str, files: Mapping[str, bytes]) -> None:
        """Add objects to a study. An object that is there already stays as it is.

        Args:
            study_uid: Of the study they belong to.
            files: DICOM files of it; their names are not sent.

        Raises:
            FileError: E_PACS_OBJECT where not all of them were accepted.
        """
        boundary = secrets.token_hex(16)
        part = f"--{boundary}\r\nContent-Type: {_DICOM}\r\n\r\n".encode()
        body = b"".join([*(part + content + b"\r\n" for content in files.values()), f"--{boundary}--\r\n".encode()])
        headers = {
            "Content-Type": f'multipart/related; type="{_DICOM}"; boundary={boundary}',
            "Accept": _JSON,
        }
        target, expected = f"/studies/{study_uid}", (200, 202, 409)
        try:
            reply = self._web.exchange(target, headers, _MAX_STORE_REPLY_BYTES, STORE_S, body, expected)
        except StatusError as error:
            if error.status in _OBJECT_REFUSED:
                raise FileError("E_PACS_OBJECT", error.got) from error
            raise
        told = _only_item(reply.content)
        n_stored = len(sequence(told, _REFERENCED))
        if n_stored != len(files) or sequence(told, _FAILED):
            raise FileError("E_PACS_OBJECT", f"{n_stored} of {len(files)} objects were stored{_reasons(told)}")

    def _pages(
        self, path: str, parameters: Mapping[str, str], match: Callable[[Item], Match], most: int
    ) -> list[Match]:
        """All that is found, page by page until one brings nothing new: servers have their own largest page."""
        found: dict[Match, None] = {}
        while len(found) <= most:
            page = self._search(
                path, {**parameters, "limit": str(_PAGE), "offset": str(len(found))}, match, most + _PAGE
            )
            n_before = len(found)
            found.update(dict.fromkeys(page))
            if len(found) == n_before:
                return list(found)
        raise PacsError(f"more than {most} answers: ask for fewer")

    def _search(
        self, path: str, parameters: Mapping[str, str], match: Callable[[Item], Match], most: int
    ) -> list[Match]:
        target = f"{path}?{urlencode(parameters, quote_via=quote)}"
        reply = self._web.exchange(target, {"Accept": _JSON}, _MAX_SEARCH_BYTES, SEARCH_S)
        found = items(reply.content)
        if len(found) > most:
            raise PacsError(f"more than {most} answers: ask for fewer")
        return [match(item) for item in found]


def _read(match: StudyMatch, content: bytes) -> Study:
    study = shared_reader().read(content)
    (asked,) = shared_reader().hash_keys([match.patient_id], "patient")
    if study.container != "dicom" or (asked and study.pseudonym != asked):
        raise FileError("E_PACS_OBJECT", "the file is of another patient than the study in the search")
    return study


def _only_part(kind: str, content: bytes) -> bytes:
    """The one file in a multipart reply (RFC 2387).

    Raises:
        FileError: E_PACS_OBJECT when it is something else.
    """
    found = _BOUNDARY.search(kind)
    if not kind.startswith("multipart/related") or found is None:
        raise FileError("E_PACS_OBJECT", "the answer is no DICOM file")
    line = b"--" + found[1].encode()
    start = content.find(line)
    head = content.find(b"\r\n\r\n", start, start + _HEAD_BYTES)
    end = content.rfind(b"\r\n" + line + b"--")
    if start < 0 or head < 0 or end < head + 4 or b"\r\n" + line + b"\r\n" in content[head + 4 : end]:
        raise FileError("E_PACS_OBJECT", "the answer does not hold one whole DICOM file")
    return content[head + 4 : end]


def _only_item(content: bytes) -> Item:
    """The object in the reply to a store request; some servers put it into a list."""
    text = content.strip()
    found = items(text if text.startswith(b"[") else b"[" + text + b"]")
    return found[0] if len(found) == 1 else {}


def _reasons(told: Item) -> str:
    codes = {value for item in sequence(told, _FAILED) for value in values(item, _REASON)}
    found = sorted(f"0x{code:04X}" for code in codes if isinstance(code, int))[:4]
    return f", failure {', '.join(found)}" if found else ""
