"""Write phantoms of a task as files, with their truth in truth.csv and, for hips, a DXA table in dexa.csv.

`phantom hospital TASK --patients N --out DIR` writes what a hospital would hand over to `curate`, faults included: images of N
patients and the table that belongs to them. Of hips that is a folder dicom/ and a DXA table full of decoys, dexa.csv; truth.csv
beside them is the pairs.csv that a right curation writes.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core import registry
from core.errors import UsageError
from core.io.options import read_options
from core.phantom import Phantom

HOSPITAL = "hospital"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "task", nargs="+", metavar="[hospital] TASK", help="task id, after `hospital` for a whole hospital"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--n", type=int, default=10, help="number of phantom patients")
    parser.add_argument("--patients", type=int, default=400, help="of a hospital (default 400)")
    parser.add_argument("--slices", type=int, default=1, help="slices of each patient (CT)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--format", choices=("dicom", "mat5", "mat7.3"), default="dicom", help="file format; MATLAB for bone scans only"
    )
    parser.add_argument("--monochrome1", action="store_true", help="store a radiograph inverted, low = bright")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="KEY=VALUE", help="e.g. view=pelvis implant=nail laterality=R"
    )


def run(options: argparse.Namespace) -> int:
    """Write the files and print their number."""
    if options.task[0] == HOSPITAL:
        return _hospital(options)
    if len(options.task) > 1:
        raise UsageError(f"one task, or {HOSPITAL} and a task")
    (options.task,) = options.task
    return _files(options)


def _hospital(options: argparse.Namespace) -> int:
    """Images and tables of many patients."""
    from core.curation.hospitals import SOURCES, write_hospital
    from core.curation.report import tell_nobody

    if len(options.task) != 2 or options.task[1] not in SOURCES:
        raise UsageError(f"{HOSPITAL} and one task of {', '.join(SOURCES)}")
    if options.patients < 1:
        raise UsageError("--patients must be 1 or more")
    write_hospital(options.task[1], options.out, options.patients, options.seed, tell_nobody)
    print(f"{options.patients} phantom patients in {options.out}: {', '.join(SOURCES[options.task[1]].values())}")
    return 0


def _files(options: argparse.Namespace) -> int:
    from core.io.phantom_file import patient_id

    if options.slices > 1 and not registry.task(options.task).takes_series:
        raise UsageError(f"--slices: {options.task} takes one image")
    make = registry.part(options.task, "phantom").make_phantom
    dexa_rows = getattr(registry.part(options.task, "data"), "dexa_rows", None)
    extra = read_options(options.options)
    options.out.mkdir(parents=True, exist_ok=True)
    truth: list[dict[str, object]] = []
    dexa: list[dict[str, str]] = []
    for index in range(options.n):
        rng = np.random.default_rng([options.seed, index])
        first: Phantom = make(rng, **extra)
        slices = [first, *(make(rng, like=first) for _ in range(options.slices - 1))]
        for place, phantom in enumerate(slices):
            name = f"phantom_{options.seed}_{index:04d}" + (f"_{place}" if options.slices > 1 else "")
            content, suffix = _file(phantom, options)
            (options.out / f"{name}{suffix}").write_bytes(content)
            plain = {key: value for key, value in phantom.truth.items() if isinstance(value, (int, float, str))}
            truth.append({"file": f"{name}{suffix}", "patient": patient_id(first), **plain, **phantom.markers})
        if dexa_rows:
            dexa += dexa_rows(rng, patient_id(first), first)
    _write_table(options.out / "truth.csv", truth)
    if dexa:
        _write_table(options.out / "dexa.csv", dexa)
    print(f"{len(truth)} phantoms and their tables in {options.out}")
    return 0


def _file(phantom: Phantom, options: argparse.Namespace) -> tuple[bytes, str]:
    """Content and ending of the file."""
    if options.format == "dicom":
        from core.io.phantom_file import write_dicom

        return write_dicom(phantom, monochrome1=options.monochrome1), ".dcm"
    if phantom.posterior is None:
        raise UsageError("--format: only a bone scan can be a MATLAB file")
    from core.io.phantom_matlab import write_matlab

    return write_matlab(phantom, "5" if options.format == "mat5" else "7.3"), ".mat"


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
