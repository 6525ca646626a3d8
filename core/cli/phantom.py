"""Write phantoms of a task as DICOM files, with their truth in truth.csv and, for hips, a DXA table in dexa.csv."""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--n", type=int, default=10, help="number of phantoms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--monochrome1", action="store_true", help="store inverted, low = bright")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="KEY=VALUE", help="e.g. view=pelvis implant=nail laterality=R"
    )


def _value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def run(options: argparse.Namespace) -> int:
    """Write the files and print their number."""
    from core.io.phantom_file import patient_id, write_dicom

    make = registry.part(options.task, "phantom").make_phantom
    dexa_rows = getattr(registry.part(options.task, "data"), "dexa_rows", None)
    extra = {key: _value(value) for key, _, value in (item.partition("=") for item in options.options)}
    options.out.mkdir(parents=True, exist_ok=True)
    truth: list[dict[str, object]] = []
    dexa: list[dict[str, str]] = []
    for index in range(options.n):
        rng = np.random.default_rng([options.seed, index])
        phantom = make(rng, **extra)
        name = f"phantom_{options.seed}_{index:04d}.dcm"
        (options.out / name).write_bytes(write_dicom(phantom, monochrome1=options.monochrome1))
        plain = {key: value for key, value in phantom.truth.items() if isinstance(value, (int, float, str))}
        truth.append({"file": name, **plain, **phantom.markers})
        if dexa_rows:
            dexa += dexa_rows(rng, patient_id(phantom), phantom)
    _write_table(options.out / "truth.csv", truth)
    if dexa:
        _write_table(options.out / "dexa.csv", dexa)
    print(f"{options.n} phantoms and their tables in {options.out}")
    return 0


def _write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
