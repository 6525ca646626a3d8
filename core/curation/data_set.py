"""Writes a curated data set: headers.csv, pairs.csv, excluded.csv, labels.csv, curation.json, images and boxes.

No file of it holds a name, an id, a day or the name of a file. `train --data` and `evaluate --data` read labels.csv and images/.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from core import registry
from core.curation.boxes import FOLDER as BOXES
from core.curation.boxes import write_proposal
from core.curation.dexa import DexaTable
from core.curation.films import OLDEST_YEARS, Film, files_below
from core.curation.hip_osteoporosis import TASK_ID, Curated, Pair, short_patient
from core.curation.report import (
    EXCLUDED,
    EXCLUDED_COLUMNS,
    HEADERS,
    PAIRS,
    Report,
    Tell,
    by_number,
    shares,
    tell_nobody,
    write_report,
)
from core.curation.reviews import BOX_COLUMNS
from core.errors import UsageError
from core.io.labelled_folder import FACTS, LABEL_COLUMNS, LABELS, facts_of
from core.io.reader import Reader
from core.io.tables import csv_bytes
from core.io.weights_file import write_atomically
from core.records import Frame, Study

PAIR_COLUMNS = ("film", "dexa_row", "days", "t_score", "source", "label", "split")
IMAGES = "images"
OTHER = "other"  # neither osteoporosis nor a name of its own: low bone mass and normal together
_HEADER_COLUMNS = ("rows", "columns", "bits_stored", "photometric", "sharpness", "brightness_gap", "edge_steepness")
_WHITE = 65535


def write_data_set(
    reader: Reader, dicom: Path, dexa: DexaTable, curated: Curated, out: Path, tell: Tell = tell_nobody
) -> Report:
    """Write all tables, then a picture and a proposed box of each film that is used.

    Args:
        reader: Of the films.
        dicom: Folder of films, unchanged since it was curated.
        dexa: That the films were paired with.
        curated: From `curate`.
        out: Folder to write to, empty.
        tell: Gets the progress.

    Returns:
        What curation.json says: counts and the test year.

    Raises:
        UsageError: A film has changed in the meantime.
    """
    _write(out / HEADERS, *headers(curated.films))
    _write(out / PAIRS, PAIR_COLUMNS, [pair_row(pair) for pair in curated.pairs])
    _write(
        out / EXCLUDED,
        EXCLUDED_COLUMNS,
        [(film.film, film.number, film.reason) for film in curated.films if film.reason],
    )
    paths = files_below(dicom)
    for folder in (IMAGES, BOXES):
        (out / folder).mkdir()
    rows = []
    for done, pair in enumerate(curated.pairs, start=1):
        rows.append(_export(reader.read(paths[pair.film.number - 1].read_bytes()), pair, out))
        tell("writing", done, len(curated.pairs))
    _write(out / LABELS, (*LABEL_COLUMNS, "laterality", *FACTS, *BOX_COLUMNS), rows)
    report = summarise(curated, dexa)
    write_report(out, report)
    return report


def headers(films: Sequence[Film]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Head and rows of headers.csv: every film that could be read, with its year in place of the day."""
    head = ("film", "file_number", "patient", "year", "laterality", *FACTS, *_HEADER_COLUMNS)
    rows: list[tuple[object, ...]] = [
        (
            *(
                film.film,
                film.number,
                short_patient(film),
                film.examined.year if film.examined else "",
                film.laterality,
            ),
            *(film.facts[name] for name in FACTS),
            *(film.header[name] for name in _HEADER_COLUMNS),
        )
        for film in films
        if film.header
    ]
    return head, rows


def pair_row(pair: Pair) -> tuple[object, ...]:
    """One row of pairs.csv; `days` counts from the film to the scan."""
    scan = pair.scan
    return pair.film.film, scan.row, pair.days, f"{scan.t_score:.3f}", scan.source, pair.label, pair.split


def _export(study: Study, pair: Pair, out: Path) -> tuple[object, ...]:
    """Write the picture and the proposed box of one film; its row of labels.csv, whose box stays empty until it is reviewed.

    Raises:
        UsageError: It is another film by now.
    """
    film = pair.film
    if not study.file_sha256.startswith(film.film):
        raise UsageError("a film has changed while its folder was curated")
    stored = sixteen_bits(study)
    name = Path(IMAGES) / f"{film.film}.png"
    write_atomically(out / name, png(stored.frame))
    (region,) = registry.part(TASK_ID, "locate").locate(stored)
    write_proposal(out / BOXES, film.film, stored.frame, region.box_xyxy)
    own = (name.as_posix(), short_patient(film), pair.label, pair.split, film.laterality)
    return *own, *facts_of(stored, OLDEST_YEARS).values(), *("" for _ in BOX_COLUMNS)


def sixteen_bits(study: Study) -> Study:
    """The study with whole grey values from 0 to 65535: its own where they are that, else stretched, the window with them."""
    values = study.frame.pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= _WHITE and np.array_equal(values, np.rint(values)):
        return study
    factor = _WHITE / max(high - low, 1e-9)
    window = study.frame.window and ((study.frame.window[0] - low) * factor, study.frame.window[1] * factor)
    pixels = np.rint((values - low) * factor).astype(np.float32)
    return replace(study, frames=(replace(study.frame, pixels=pixels, window=window),))


def png(frame: Frame) -> bytes:
    """A picture of 16 bits, from whole grey values, with no text in it."""
    buffer = BytesIO()
    Image.fromarray(frame.pixels.astype(np.uint16)).save(buffer, "png")
    return buffer.getvalue()


def summarise(curated: Curated, dexa: DexaTable) -> Report:
    """Counts of films, reasons, patients and labels by split."""
    return Report(
        task=TASK_ID,
        unit="films",
        files=len(curated.films),
        splits=shares(
            TASK_ID,
            [(one.split, str(one.film.patient), ("osteoporosis" if one.label else OTHER,)) for one in curated.pairs],
        ),
        excluded=by_number(Counter(film.reason for film in curated.films if film.reason)),
        is_phantom=any(pair.film.facts["ImageType"] for pair in curated.pairs),
        facts={
            "dexa_rows": dexa.n_rows,
            "dexa_rows_left_out": by_number(dexa.left_out),
            "test_year": curated.test_year,
        },
    )


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_atomically(path, csv_bytes(head, rows))
