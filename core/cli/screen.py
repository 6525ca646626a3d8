"""Screen files with the installed model of a task; goes on after a bad file."""

import argparse
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import registry
from core.cli.screen_files import check_dicom_options, report_path, write_dicom, write_report
from core.errors import FileError, HistoryError, ScreeningError, UsageError, WeightsError
from core.i18n import LANGUAGES
from core.records import ScreeningResult

if TYPE_CHECKING:  # loads torch
    from core.engine.loader import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("task")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", help="installed model; default: the first")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, one line a file, in order")
    parser.add_argument(
        "--confirm", action="store_true", help="record that a person saw the checks and wants the score"
    )
    parser.add_argument("--laterality", choices=("L", "R"), help="side, where the header does not tell")
    parser.add_argument("--method", help="explanation method")
    parser.add_argument("--operating-point", help="id from the manifest")
    parser.add_argument(
        "--box", type=int, metavar="N", help="explain box N of the list, from 1; default: the highest score"
    )
    parser.add_argument(
        "--slices",
        nargs="+",
        type=int,
        metavar="N",
        help="of a series (a folder or a zip file of slices): places from 1, lowest first; one answer from their mean",
    )
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write <stem>_<label>_overlay.png, and masks")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.pdf|DIR",
        help="write a one-page report, into a folder as <stem>_report.pdf",
    )
    parser.add_argument("--language", choices=tuple(LANGUAGES), default="en", help="of the report")
    parser.add_argument(
        "--dicom-out",
        type=Path,
        metavar="DIR",
        help="write DICOM objects, de-identified: image, overlay, masks, structured report, printed report",
    )
    parser.add_argument(
        "--identified", action="store_true", help="copy patient and study of the file into the DICOM objects"
    )
    parser.add_argument(
        "--with-patient", action="store_true", help="write pseudonym, age and sex into the report, as the file tells"
    )
    parser.add_argument("--history", action="store_true", help="keep every result in the history, as numbers")


def run(options: argparse.Namespace) -> int:
    """Screen every file; exit code 1 when at least one could not be answered."""
    from core.reports.result_json import error_json
    from core.screening import load

    if options.slices and not registry.task(options.task).takes_series:
        raise UsageError(f"--slices: {options.task} takes one image")
    check_dicom_options(options.dicom_out, options.identified, options.slices)
    if options.report:
        report_path(options.report, [*options.files, *(options.slices or ())[1:]], "")
    model = load(options.task, options.model)
    options.token = secrets.token_hex(16)  # of this run: in the history the same file is another screening next time
    failed = False
    for path in options.files:
        try:
            record = _screen_series(path, model, options) if options.slices else _screen_file(path, model, options)
        except (WeightsError, UsageError, HistoryError):
            raise
        except ScreeningError as error:
            failed = True
            record = error_json(options.task, error)
        print(json.dumps(record, ensure_ascii=False) if options.json else _line(path, record), flush=True)
    return 1 if failed else 0


def _screen_file(path: Path, model: "Model", options: argparse.Namespace) -> dict[str, Any]:
    from core.io.reader import shared_reader
    from core.reports.result_json import to_json
    from core.screening import screen

    started = time.perf_counter()
    data = _bytes(path)
    study = shared_reader().read(data)
    read_ms = round(1000 * (time.perf_counter() - started), 2)
    result = screen(
        study,
        model,
        laterality=options.laterality,
        confirmed=options.confirm,
        method=options.method,
        point=options.operating_point,
        box=None if options.box is None else options.box - 1,
        read_ms=read_ms,
    )
    _keep([result], options)
    masks: dict[str, str] = {}
    if options.overlay and result.prediction:
        _write_overlay(result, options.overlay, path.stem)
        masks = _write_masks(result, options.overlay, path.stem)
    _write_case(result, model, path.stem, data if options.identified else b"", options)
    return to_json(result, masks)


def _write_case(result: ScreeningResult, model: "Model", stem: str, source: bytes, options: argparse.Namespace) -> None:
    if options.report:
        path = report_path(options.report, options.files, stem)
        write_report(path, result, model.manifest, options.language, has_patient=options.with_patient)
    if options.dicom_out:
        write_dicom(options.dicom_out, stem, result, model.manifest, options.language, source)


def _screen_series(path: Path, model: "Model", options: argparse.Namespace) -> dict[str, Any]:
    """One answer from the chosen slices of a folder or zip file."""
    from core.io.reader import shared_reader
    from core.reports.result_json import patient_json
    from core.screening import screen_slices

    series = shared_reader().read_folder(path) if path.is_dir() else shared_reader().read_series(_bytes(path))
    n = len(series.studies)
    if not all(1 <= place <= n for place in options.slices):
        raise UsageError(f"--slices outside 1 to {n}")
    patient = screen_slices(
        [series.studies[place - 1] for place in options.slices],
        model,
        confirmed=options.confirm,
        method=options.method,
        point=options.operating_point,
    )
    _keep(patient.slices, options)
    for place, result in zip(options.slices, patient.slices, strict=True):
        if options.overlay and result.explanation:
            _write_overlay(result, options.overlay, f"{path.stem}_{place:04d}")
        _write_case(result, model, f"{path.stem}_{place:04d}", b"", options)
    return patient_json(patient, options.slices, n, len(series.failures))


def _keep(results: Sequence[ScreeningResult], options: argparse.Namespace) -> None:
    """In the history, where asked for."""
    if options.history:
        from core.services.history import open_history

        for result in results:
            open_history().add(result, "command line", "command line", options.token)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError("E_NOT_IMAGE", f"cannot be opened: {type(error).__name__}") from error


def _write_overlay(result: ScreeningResult, folder: Path, stem: str) -> None:
    from core.imaging.display import to_display
    from core.io.weights_file import write_atomically
    from core.reports.overlay_png import overlay_png

    name = f"{stem}_{result.explanation.target}" if result.explanation else stem  # a film without a box explains none
    folder.mkdir(parents=True, exist_ok=True)
    content = overlay_png(result, to_display(result.study.frame), 0.6)
    write_atomically(folder / f"{name}_overlay.png", content)


def _write_masks(result: ScreeningResult, folder: Path, stem: str) -> dict[str, str]:
    """One file a label that has a mask; their names by label."""
    from core.io.weights_file import write_atomically
    from core.reports.overlay_png import mask_png

    findings = result.prediction.findings if result.prediction else ()
    names = {finding.label: f"{stem}_{finding.label}_mask.png" for finding in findings if finding.mask is not None}
    for finding in findings:
        if finding.label in names:
            write_atomically(folder / names[finding.label], mask_png(finding))
    return names


def _finding_words(finding: dict[str, Any]) -> str:
    side = f"{finding['laterality']} " if finding["laterality"] else ""
    place = {True: "at or above the", False: "below the", None: "no"}[finding["positive"]]
    words = f"{finding['probability']:.3f}, {place} operating point"
    if finding["threshold"] is not None:
        words += f" {finding['threshold']:.3f}, box {' '.join(f'{value:.0f}' for value in finding['box_xyxy'])}"
    if finding["probabilities"] is None:
        return f"{side}{finding['label']} {words}"
    grade = list(finding["probabilities"])[finding["grade"]]
    return f"{side}{grade} ({finding['label']} or worse {words})"


def _box_words(record: dict[str, Any]) -> list[str]:
    """What is said of an image on which boxes are looked for, beside the boxes."""
    if (
        "gate" not in record
        or record["gate"]["outcome"] == "refused"
        or registry.task(record["task"]).kind != "detector"
    ):
        return []
    n_called = sum(finding["positive"] for finding in record["findings"])
    words = [] if n_called else ["no box: called normal"]
    if n_below := len(record["findings"]) - n_called:
        words.append(f"boxes below their thresholds: {n_below}")
    ratio = record["measures"].get("cardiothoracic_ratio", [None])[0]
    if ratio is not None:
        enlarged = record["measures"]["heart_enlarged"][0]
        judged = {None: "not judged on an AP film", 1.0: "above 0.50", 0.0: "not above 0.50"}[enlarged]
        words.append(f"cardiothoracic ratio {ratio:.2f}, {judged}")
    return words


def _line(path: Path, record: dict[str, Any]) -> str:
    """One readable line."""
    if "error" in record:
        return f"{path.name}: {record['error']['code']}: {record['error']['message']}"
    gates = [result["gate"] for result in record.get("slices", [record])]
    parts = [
        f"{path.name}: {', '.join(sorted({gate['outcome'] for gate in gates}))}",
        *(
            _finding_words(finding)
            for finding in record["findings"]
            if finding["positive"] or finding["threshold"] is None
        ),
        *_box_words(record),
        *dict.fromkeys(reason["message"] for gate in gates for reason in gate["reasons"]),
        record["provenance"]["statement"],
    ]
    return "; ".join(part for part in parts if part)
