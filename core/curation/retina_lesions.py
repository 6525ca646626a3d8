"""Photographs of retinas at several time points, and a mask a kind of lesion beside them, become a labelled data set.

Names: see `retina_names`. Rules, in this order; the first that applies is the reason why a photograph is left out:

1. It cannot be read, or the gate refuses it (another kind of image, blank, tiny).
2. Its header and its name tell of different patients, as far as the header tells: then no photograph of theirs is used.
3. Another photograph has the same pixels: of one patient the first by hash stays, of two patients none. Another one has the same
   place (patient, eye and time point): then neither is used.
4. It has no mask at all. A photograph without a lesion has a mask that is black: nothing tells a missing file from a healthy eye.
5. A mask cannot be read, has another size, more than two grey values, or marks everything. The other masks of the photograph
   are no complete truth.

All photographs of a patient are on one side of the split. The folder holds pictures without a header under names that say
nothing, so that `train retina_lesions --data DIR` and `evaluate` read it as it is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core import registry
from core.curation.films import ID_DIGITS, OLDEST_YEARS, Film, Judge, named_files, read_film
from core.curation.report import (
    EXCLUDED,
    EXCLUDED_COLUMNS,
    REMARKS,
    Report,
    Tell,
    by_number,
    shares,
    tell_nobody,
    write_report,
)
from core.curation.retina_masks import EMPTY, Masks, read_masks
from core.curation.retina_names import KINDS, NAMES, Name, read_name
from core.curation.splits import split_patients
from core.errors import UsageError
from core.io.labelled_folder import FACTS, LABELS, facts_of
from core.io.reader import Reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.records import Study

TASK_ID, IMAGES, MASKS = "retina_lesions", "images", "masks"
UNNAMED, UNKNOWN_KIND, NO_PHOTOGRAPH = "name tells no time point", "mask of an unknown kind", "mask of no photograph"
OTHER_PATIENT, NO_MASK, SAME_PLACE = "header tells another patient", "no mask", "time point twice"
COPY, TWO_PATIENTS = "copy of another photograph", "same pixels as of another patient"
MISSING = "time point missing"
NO_LESION = "none"
COLUMNS = ("file", "mask", "patient", "split", "time_point", "laterality", *FACTS)
Remark = tuple[str, str, str, str]
_REMARK_COLUMNS = ("patient", "laterality", "time_point", "remark")


@dataclass(frozen=True)
class Photograph:
    """One photograph, its name and its place on the disk."""

    film: Film
    name: Name
    path: Path


def curate(reader: Reader, folder: Path, out: Path, tell: Tell = tell_nobody) -> Report:
    """Write labels.csv, images/, masks/, excluded.csv, remarks.csv and curation.json.

    Args:
        reader: Of the files; its key hashes the patients' names.
        folder: Of photographs and masks, with everything below it.
        out: Folder to write to, empty.
        tell: Gets the progress.

    Raises:
        UsageError: No photograph can be used.
    """
    photographs, masks, strangers = _read(reader, folder, tell)
    judged = _without_copies(_without_strangers(photographs))
    keys = _keys(reader, judged)
    done: list[Photograph] = []
    rows: list[tuple[tuple[str, ...], Masks]] = []
    for place in (IMAGES, MASKS):
        (out / place).mkdir()
    for number, one in enumerate(judged, start=1):
        tell("writing", number, len(judged))
        one, found, study = _labelled(reader, one, masks.get(one.name.place, {}))
        if found is not None and study is not None:
            rows.append((_export(one, study, found, keys[one.name.patient], out), found))
        done.append(one)
    films = [*(one.film for one in done), *strangers]
    if not rows:
        raise UsageError("no photograph can be used: " + ", ".join(sorted({film.reason for film in films})))
    used = [one for one in done if not one.film.reason]
    splits = split_patients(_first_films(used, keys))
    left_out = sorted((film.film, film.number, film.reason) for film in films if film.reason)
    remarks = sorted([*_empty_masks(rows), *_gaps(used, keys)])
    write_atomically(out / LABELS, csv_bytes(COLUMNS, [(*row[:3], splits[row[2]], *row[3:]) for row, _ in rows]))
    write_atomically(out / EXCLUDED, csv_bytes(EXCLUDED_COLUMNS, left_out))
    write_atomically(out / REMARKS, csv_bytes(_REMARK_COLUMNS, remarks))
    report = Report(
        task=TASK_ID,
        unit="photographs",
        files=len(films) + sum(map(len, masks.values())),
        splits=shares(TASK_ID, [(splits[row[2]], row[2], own.kinds or (NO_LESION,)) for row, own in rows]),
        excluded=by_number(Counter(reason for *_, reason in left_out)),
        is_phantom=any(one.film.facts["ImageType"] for one in used),
        remarks=by_number(Counter(remark for *_, remark in remarks)),
    )
    write_report(out, report)
    return report


def _read(
    reader: Reader, folder: Path, tell: Tell
) -> tuple[list[Photograph], dict[tuple[str, str, int], dict[str, Path]], list[Film]]:
    """Photographs, paths of masks by place and kind, and files that are neither."""
    judge, files = _judge(), named_files(folder)
    photographs: list[Photograph] = []
    masks: dict[tuple[str, str, int], dict[str, Path]] = {}
    strangers: list[Film] = []
    numbers: dict[Path, int] = {}
    for number, (file, path) in enumerate(files, start=1):
        tell("reading", number, len(files))
        numbers[path], name = number, read_name(file)
        if name is None:
            strangers.append(Film("", number, UNNAMED))
        elif not name.kind:
            photographs.append(Photograph(read_film(reader, path, number, judge), name, path))
        elif name.kind not in KINDS or NAMES[KINDS[name.kind]] in masks.get(name.place, {}):
            strangers.append(Film("", number, UNKNOWN_KIND if name.kind not in KINDS else "mask twice"))
        else:
            masks.setdefault(name.place, {})[NAMES[KINDS[name.kind]]] = path
    places = {one.name.place for one in photographs}
    for place in set(masks) - places:
        strangers += [Film("", numbers[path], NO_PHOTOGRAPH) for path in masks.pop(place).values()]
    return photographs, masks, strangers


def _judge() -> Judge:
    manifest = registry.manifest_of(TASK_ID)
    if manifest is None:
        raise UsageError(f"no model of {TASK_ID} is installed, and its checks judge the photographs")
    check = registry.part(TASK_ID, "gate").check

    def judge(study: Study) -> str:
        return next((one.code for one in check(study, manifest, None) if one.outcome == "refused"), "")

    return judge


def _with_reason(one: Photograph, reason: str) -> Photograph:
    return replace(one, film=replace(one.film, reason=one.film.reason or reason))


def _without_strangers(photographs: Sequence[Photograph]) -> list[Photograph]:
    """Photographs with a reason where one name stands for several patients of the headers, or one of those has several names."""
    by_name: dict[str, set[str]] = {}
    by_header: dict[str, set[str]] = {}
    for one in photographs:
        if one.film.patient:
            by_name.setdefault(one.name.patient, set()).add(one.film.patient)
            by_header.setdefault(one.film.patient, set()).add(one.name.patient)
    wrong = {name for name, headers in by_name.items() if len(headers) > 1}
    wrong |= {name for names in by_header.values() if len(names) > 1 for name in names}
    return [_with_reason(one, OTHER_PATIENT if one.name.patient in wrong else "") for one in photographs]


def _without_copies(photographs: Sequence[Photograph]) -> list[Photograph]:
    """Photographs in the order of their hashes, with a reason where another one has the same pixels or the same place."""
    good = [one for one in photographs if not one.film.reason]
    patients: dict[str, set[str]] = {}
    for one in good:
        patients.setdefault(one.film.pixel_hash, set()).add(one.name.patient)
    seen: set[str] = set()
    single = []
    for one in sorted(photographs, key=lambda one: (one.film.film, one.film.number)):
        if not one.film.reason:
            is_shared, is_copy = len(patients[one.film.pixel_hash]) > 1, one.film.pixel_hash in seen
            seen.add(one.film.pixel_hash)
            one = _with_reason(one, TWO_PATIENTS if is_shared else COPY if is_copy else "")
        single.append(one)
    places = Counter(one.name.place for one in single if not one.film.reason)
    return [_with_reason(one, SAME_PLACE if places[one.name.place] > 1 else "") for one in single]


def _labelled(
    reader: Reader, one: Photograph, paths: Mapping[str, Path]
) -> tuple[Photograph, Masks | None, Study | None]:
    """The photograph with its masks, or with the reason why it has none."""
    if one.film.reason:
        return one, None, None
    if not paths:
        return _with_reason(one, NO_MASK), None, None
    study = reader.read(one.path.read_bytes())
    if not study.file_sha256.startswith(one.film.film):
        raise UsageError("a photograph has changed while its folder was curated")
    found = read_masks(reader, paths, study.frame.pixels.shape[:2])
    return (_with_reason(one, found), None, None) if isinstance(found, str) else (one, found, study)


def _keys(reader: Reader, photographs: Sequence[Photograph]) -> dict[str, str]:
    """Keyed hash by the patient's name; that of the header where it tells."""
    names = sorted({one.name.patient for one in photographs})
    keys = dict(zip(names, reader.hash_keys(names, "patient"), strict=True))
    keys |= {one.name.patient: one.film.patient for one in photographs if one.film.patient}
    return {name: key[:ID_DIGITS] for name, key in keys.items()}


def _export(one: Photograph, study: Study, masks: Masks, patient: str, out: Path) -> tuple[str, ...]:
    """Write photograph and label map without a header; their row of labels.csv, without the split."""
    file, mask = (f"{folder}/{one.film.film}.png" for folder in (IMAGES, MASKS))
    write_atomically(out / file, _png(study.frame.pixels.astype(np.uint8, copy=False)))
    write_atomically(out / mask, _png(masks.label_map))
    side = one.name.eye or study.laterality or ""
    return file, mask, patient, str(one.name.time_point), side, *facts_of(study, OLDEST_YEARS).values()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _first_films(photographs: Sequence[Photograph], keys: Mapping[str, str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for one in photographs:
        patient = keys[one.name.patient]
        first[patient] = min(first.get(patient, one.film.film), one.film.film)
    return first


def _empty_masks(rows: Sequence[tuple[tuple[str, ...], Masks]]) -> Iterator[Remark]:
    """A remark for every mask that marks nothing."""
    for (_, _, patient, point, eye, *_), masks in rows:
        yield from ((patient, eye, point, f"{EMPTY}: {name}") for name in masks.empty)


def _gaps(photographs: Sequence[Photograph], keys: Mapping[str, str]) -> list[Remark]:
    """A remark for every time point that other eyes have and this one lacks, or that was left out."""
    points: dict[tuple[str, str], set[int]] = {}
    for one in photographs:
        points.setdefault((keys[one.name.patient], one.name.eye or ""), set()).add(one.name.time_point)
    everywhere = {point for own in points.values() for point in own}
    return [
        (patient, eye, str(point), MISSING)
        for (patient, eye), own in sorted(points.items())
        for point in sorted(everywhere - own)
    ]
