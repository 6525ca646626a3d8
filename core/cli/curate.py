"""Make a labelled data set of a hospital's own films and tables: `train --data` and `evaluate --data` read it.

Hips: every film (DICOM) in or below the folder is paired with the nearest DXA scan of its patient that is strictly less than six
calendar months away. The folder of --out then holds headers.csv, pairs.csv, excluded.csv with the reason of every film left
out, labels.csv, curation.json, images/ (PNG of 16 bits without a header) and boxes/ (pictures and proposed boxes for LabelImg).
No name, id or day is written: a film is named by the hash of its file, a patient by a keyed hash. The key is
FIVEFOLD_PSEUDONYM_KEY; without one every run has its own.

Boxes of hips: accept, redraw or reject them on the page "Box review" of the app, which writes down who decided and when; or open
boxes/ in LabelImg (Pascal VOC), correct them, press space where one is right, save. Then call again with --reviewed: boxes go
into labels.csv, and films that were rejected are taken out of it.

Of the other tasks the files stay where they are, and --out gets a table that `train --data DIR --labels TABLE` reads: knees with
the grades of their own .mat files and every conflict (knees.csv), CT slices with one label a patient, chest films with boxes as
COCO.
"""

import argparse
from collections import Counter
from pathlib import Path

from core.curation.output import prepare_folder
from core.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task", choices=sorted(_TASKS))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the data set; empty before")
    source = parser.add_argument_group("hip_osteoporosis")
    source.add_argument("--dicom", type=Path, metavar="DIR", help="folder of films")
    source.add_argument(
        "--dexa",
        metavar="TABLE",
        help="CSV, XLSX, or the SQLAlchemy URL of a database: sqlite:///FILE, postgresql+psycopg://USER@HOST/NAME, "
        "oracle+oracledb://USER@HOST/?service_name=NAME (the last two need their driver; leave the password to its own file)",
    )
    source.add_argument("--dexa-table", default="dexa", metavar="NAME", help="table of the database (default dexa)")
    source.add_argument(
        "--columns",
        nargs="*",
        default=[],
        metavar="KEY=NAME",
        help="columns of the DXA table where they are not found by name: patient, date, t_score, neck_bmd",
    )
    source.add_argument(
        "--test-year",
        type=int,
        metavar="YEAR",
        help="films of this year or later are for testing, older ones of the same patients are left out; default: the last year",
    )
    boxes = parser.add_argument_group("hip_osteoporosis: reviewed boxes")
    boxes.add_argument(
        "--reviewed", type=Path, metavar="DIR", help="read boxes back from XML files, usually DIR/boxes, into --out"
    )
    boxes.add_argument("--all", action="store_true", help="take boxes that are not marked as verified too")
    boxes.add_argument(
        "--reviewer", default="", metavar="WHO", help="goes into boxes.csv where the page did not write it down"
    )
    boxes.add_argument("--reviewed-on", default="", metavar="DATE", help="goes with --reviewer")
    _add_other_tasks(parser)


def _add_other_tasks(parser: argparse.ArgumentParser) -> None:
    """Options of the tasks whose files stay where they are."""
    knee = parser.add_argument_group("knee_djd")
    knee.add_argument("--mat", type=Path, metavar="DIR", help="folder of .mat files that name their grades")
    ct = parser.add_argument_group("ct_osteoporosis and chest_lesions")
    ct.add_argument("--data", type=Path, metavar="DIR", help="folder of slices or films")
    ct.add_argument(
        "--labels", type=Path, metavar="TABLE", help="CT: PatientID and T_score, or PatientID and label (0 to 2)"
    )
    ct.add_argument("--table", type=Path, metavar="CSV", help="chest: file, label and box (train.csv)")
    ct.add_argument(
        "--marks", type=Path, metavar="DIR", help="chest: copies of films with rectangles or ellipses drawn in colour"
    )
    ct.add_argument(
        "--colours", nargs="*", default=[], metavar="COLOUR=LABEL", help="chest: what the colours of marks mean"
    )


def run(options: argparse.Namespace) -> int:
    """Curate the files of one task, or read boxes back."""
    return _TASKS[options.task](options)


def _knee(options: argparse.Namespace) -> int:
    from core.curation.knee_djd import curate
    from core.io.reader import shared_reader

    if not options.mat:
        raise UsageError("curate knee_djd needs --mat")
    prepare_folder(options.out)
    _print_counts(curate(shared_reader(), options.mat, options.out), "knees")
    return 0


def _ct(options: argparse.Namespace) -> int:
    from core.curation.ct_osteoporosis import curate, read_grades
    from core.io.reader import shared_reader

    if not (options.data and options.labels):
        raise UsageError("curate ct_osteoporosis needs --data and --labels")
    prepare_folder(options.out)
    grades = read_grades(shared_reader(), options.labels)
    _print_counts(curate(shared_reader(), options.data, grades, options.out), "slices")
    return 0


def _chest(options: argparse.Namespace) -> int:
    from core.curation.chest_lesions import COCO, curate, read_colours
    from core.io.reader import shared_reader

    if not (options.data and (options.table or options.marks)):
        raise UsageError("curate chest_lesions needs --data, and --table or --marks")
    prepare_folder(options.out)
    colours = read_colours(options.colours)
    n_films, n_boxes, left_out = curate(
        shared_reader(), options.data, options.table, options.marks, colours, options.out
    )
    print(f"{n_films} films with {n_boxes} boxes in {options.out / COCO}")
    _print_counts(left_out, "entries")
    return 0


def _print_counts(counts: Counter[str], unit: str) -> None:
    """What is used by split, then what is left out by reason."""
    for split in ("train", "test"):
        if split in counts:
            print(f"{split}: {counts.pop(split)} {unit}")
    for reason, n in counts.most_common():
        print(f"left out: {n}, {reason}")


def _hip(options: argparse.Namespace) -> int:
    if options.reviewed:
        return _boxes(options)
    if not (options.dicom and options.dexa):
        raise UsageError("curate hip_osteoporosis needs --dicom and --dexa, or --reviewed")
    from core.curation.data_set import write_data_set
    from core.curation.dexa import read_dexa
    from core.curation.hip_osteoporosis import curate
    from core.io.reader import shared_reader

    columns = dict(item.partition("=")[::2] for item in options.columns)
    prepare_folder(options.out)
    dexa = read_dexa(shared_reader(), options.dexa, options.dexa_table, columns)
    curated = curate(shared_reader(), options.dicom, dexa, options.test_year)
    _print(write_data_set(shared_reader(), options.dicom, dexa, curated, options.out), options.out)
    return 0


def _print(summary: dict[str, object], out: Path) -> None:
    """Counts, a line each."""
    print(f"{summary['films']} films, {summary['dexa_rows']} DXA rows")
    for name, words in (("dexa_rows_left_out", "DXA rows"), ("excluded", "films")):
        counts = summary[name]
        assert isinstance(counts, dict)
        for reason, n in counts.items():
            print(f"left out: {n} {words}, {reason}")
    for split in ("train", "test"):
        counts = summary[split]
        assert isinstance(counts, dict)
        print(f"{split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    print(f"test from {summary['test_year']} on; everything in {out}")


def _boxes(options: argparse.Namespace) -> int:
    from core.curation.boxes import adopt_reviewed, read_reviewed
    from core.io.reader import shared_reader

    reviewed = read_reviewed(shared_reader(), options.reviewed, is_marked=not options.all)
    n = adopt_reviewed(options.out, reviewed, options.reviewer, options.reviewed_on)
    print(f"{n} reviewed boxes in {options.out}; training cuts these instead of its own proposals")
    for reason, number in reviewed.left_out.items():
        print(f"left out: {number} files, {reason}")
    return 0


_TASKS = {"hip_osteoporosis": _hip, "knee_djd": _knee, "ct_osteoporosis": _ct, "chest_lesions": _chest}
