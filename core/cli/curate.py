"""Make a labelled data set of a hospital's own films and tables: `train --data` and `evaluate --data` read it.

Hips: every film (DICOM) in or below the folder is paired with the nearest DXA scan of its patient that is strictly less than six
calendar months away. The folder of --out then holds headers.csv, pairs.csv, excluded.csv with the reason of every film left
out, labels.csv, curation.json, images/ (PNG of 16 bits without a header) and boxes/ (pictures and proposed boxes for LabelImg).
No name, id or day is written: a film is named by the hash of its file, a patient by a keyed hash. The key is
FIVEFOLD_PSEUDONYM_KEY; without one every run has its own.

Boxes of hips: accept, redraw or reject them on the page "Box review" of the app, which writes down who decided and when; or open
boxes/ in LabelImg (Pascal VOC), correct them, press space where one is right, save. Then call again with --reviewed: boxes go
into labels.csv, and films that were rejected are taken out of it.

Retinas: photographs of several time points with a mask a kind of lesion beside each, PATIENT/t1.jpg and
PATIENT/t1_haemorrhage.png, or PATIENT_t1.jpg and PATIENT_t1_haemorrhage.png; the folder of --out holds pictures and label maps
without a header. `core/curation/retina_names.py` lists all names that are understood.

Of the other tasks the files stay where they are, and --out gets a table that `train --data DIR --labels TABLE` reads: knees with
the grades of their own .mat files and every conflict (knees.csv), CT slices with one label a patient, chest films with boxes as
COCO.

--phantoms N makes a hospital of N phantom patients in the folder of --out first, and curates that.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.curation.output import prepare_folder
from core.errors import UsageError
from core.io.progress import Progress

if TYPE_CHECKING:  # loads what a machine for training need not have
    from core.curation.report import Report, Tell

HOSPITAL = "hospital"
_NEEDS = {
    "hip_osteoporosis": ("dicom", "dexa"),
    "ct_osteoporosis": ("data", "labels"),
    "chest_lesions": ("data",),
    "knee_djd": ("mat",),
    "retina_lesions": ("data",),
}
_FOLDERS = ("dicom", "mat", "data", "marks")  # options that may name a zip file where there is a --job
_SAY_EVERY = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task", choices=sorted(_TASKS))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the data set; empty before")
    parser.add_argument("--phantoms", type=int, default=0, metavar="N", help="curate a hospital of N phantom patients")
    parser.add_argument(
        "--job",
        type=Path,
        metavar="DIR",
        help="tell the progress in DIR; folders may be zip files, and are unpacked there",
    )
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
    ct = parser.add_argument_group("ct_osteoporosis, chest_lesions and retina_lesions")
    ct.add_argument("--data", type=Path, metavar="DIR", help="folder of slices, films, or photographs with their masks")
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
    if options.reviewed:
        return _boxes(options)
    with Progress(options.job, "starting") as progress:
        tell = _teller(progress)
        if options.phantoms:
            prepare_folder(options.out)
            _make_hospital(options, tell)
        else:
            _check(options)
            prepare_folder(options.out)
            _unpack(options, tell)
        _print(_TASKS[options.task](options, tell), options)
    return 0


def _teller(progress: Progress) -> "Tell":
    """Tells a page, and now and then the terminal."""
    phases: list[str] = []

    def tell(phase: str, done: int, total: int) -> None:
        progress.step(done, total, None if phase in phases[-1:] else phase)
        phases.append(phase)
        if done and done % _SAY_EVERY == 0:
            print(f"{phase}: {done} of {total}", file=sys.stderr, flush=True)

    return tell


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError where an option is missing."""
    if missing := [name for name in _NEEDS[options.task] if not getattr(options, name)]:
        also = ", or --reviewed" if options.task == "hip_osteoporosis" else ""
        raise UsageError(f"curate {options.task} needs --{missing[0]}, or --phantoms{also}")
    if options.task == "chest_lesions" and not (options.table or options.marks):
        raise UsageError("curate chest_lesions needs --table or --marks")


def _make_hospital(options: argparse.Namespace, tell: "Tell") -> None:
    from core.curation.hospitals import SOURCES, write_hospital

    write_hospital(options.task, options.out / HOSPITAL, options.phantoms, 0, tell)
    for name, place in SOURCES[options.task].items():
        path = options.out / HOSPITAL / place
        setattr(options, name, str(path) if name == "dexa" else path)


def _unpack(options: argparse.Namespace, tell: "Tell") -> None:
    """Zip files become folders of the job.

    Raises:
        UsageError: There is no job.
    """
    from core.io.image_archive import unpack_zip

    for name in _FOLDERS:
        path: Path | None = getattr(options, name)
        if path is None or not path.is_file():
            continue
        if not options.job:
            raise UsageError(f"--{name} is a file: a zip file needs --job, where it is unpacked")
        tell("unpacking", 0, 0)
        shutil.rmtree(options.job / name, ignore_errors=True)
        unpack_zip(path, options.job / name)
        setattr(options, name, options.job / name)


def _knee(options: argparse.Namespace, tell: "Tell") -> "Report":
    from core.curation.knee_djd import curate
    from core.io.reader import shared_reader

    return curate(shared_reader(), options.mat, options.out, tell)


def _ct(options: argparse.Namespace, tell: "Tell") -> "Report":
    from core.curation.ct_osteoporosis import curate, read_grades
    from core.io.reader import shared_reader

    grades = read_grades(shared_reader(), options.labels)
    return curate(shared_reader(), options.data, grades, options.out, tell)


def _chest(options: argparse.Namespace, tell: "Tell") -> "Report":
    from core.curation.chest_lesions import curate, read_colours
    from core.io.reader import shared_reader

    colours = read_colours(options.colours)
    return curate(shared_reader(), options.data, options.table, options.marks, colours, options.out, tell)


def _retina(options: argparse.Namespace, tell: "Tell") -> "Report":
    from core.curation.retina_lesions import curate
    from core.io.reader import shared_reader

    return curate(shared_reader(), options.data, options.out, tell)


def _hip(options: argparse.Namespace, tell: "Tell") -> "Report":
    from core.curation.data_set import write_data_set
    from core.curation.dexa import read_dexa
    from core.curation.hip_osteoporosis import curate
    from core.io.reader import shared_reader

    columns = dict(item.partition("=")[::2] for item in options.columns)
    dexa = read_dexa(shared_reader(), options.dexa, options.dexa_table, columns)
    curated = curate(shared_reader(), options.dicom, dexa, options.test_year, tell)
    return write_data_set(shared_reader(), options.dicom, dexa, curated, options.out, tell)


def _print(report: "Report", options: argparse.Namespace) -> None:
    """Counts, a line each, and how to go on."""
    from core.curation.usage import commands

    print(f"{report.files} files" + (f". {report.statement}" if report.statement else ""))
    for split, share in report.splits.items():
        people = f" of {share.patients} patients" if share.patients else ""
        labels = ", ".join(f"{n} {label}" for label, n in share.labels.items())
        print(f"{split}: {share.images} {report.unit}{people} ({labels})")
    for reason, n in report.excluded.items():
        print(f"left out: {n}, {reason}")
    for remark, n in report.remarks.items():
        print(f"worth a look: {n}, {remark}")
    for name, value in report.facts.items():
        print(f"{name.replace('_', ' ')}: {value}")
    print(f"everything in {options.out}; go on with")
    for command in commands(report.task, _images(options), options.out):
        print(f"  {command}")


def _images(options: argparse.Namespace) -> Path:
    """The folder of the images as they came."""
    found: Path = getattr(options, _NEEDS[options.task][0])
    return found


def _boxes(options: argparse.Namespace) -> int:
    from core.curation.boxes import adopt_reviewed, read_reviewed
    from core.io.reader import shared_reader

    reviewed = read_reviewed(shared_reader(), options.reviewed, is_marked=not options.all)
    n = adopt_reviewed(options.out, reviewed, options.reviewer, options.reviewed_on)
    print(f"{n} reviewed boxes in {options.out}; training cuts these instead of its own proposals")
    for reason, number in reviewed.left_out.items():
        print(f"left out: {number} files, {reason}")
    return 0


_TASKS = {
    "hip_osteoporosis": _hip,
    "ct_osteoporosis": _ct,
    "chest_lesions": _chest,
    "knee_djd": _knee,
    "retina_lesions": _retina,
}
