"""Screen files with the installed model of a task; goes on after a bad file."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from core.errors import FileError, ScreeningError, WeightsError
from core.records import ScreeningResult


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
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write <stem>_<label>_overlay.png")


def run(options: argparse.Namespace) -> int:
    """Screen every file; exit code 1 when at least one could not be answered."""
    from core.io.reader import shared_reader
    from core.reports.result_json import error_json, to_json
    from core.screening import load, screen

    model = load(options.task, options.model)
    failed = False
    for path in options.files:
        try:
            started = time.perf_counter()
            study = shared_reader().read(_bytes(path))
            read_ms = round(1000 * (time.perf_counter() - started), 2)
            result = screen(
                study,
                model,
                laterality=options.laterality,
                confirmed=options.confirm,
                method=options.method,
                point=options.operating_point,
                read_ms=read_ms,
            )
            if options.overlay and result.explanation:
                _write_overlay(result, options.overlay, path.stem)
            record = to_json(result)
        except WeightsError:
            raise
        except ScreeningError as error:
            failed = True
            record = error_json(options.task, error)
        print(json.dumps(record, ensure_ascii=False) if options.json else _line(path, record), flush=True)
    return 1 if failed else 0


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError("E_NOT_IMAGE", f"cannot be opened: {type(error).__name__}") from error


def _write_overlay(result: ScreeningResult, folder: Path, stem: str) -> None:
    from core.imaging.display import to_display
    from core.io.weights_file import write_atomically
    from core.reports.overlay_png import overlay_png

    assert result.explanation is not None
    folder.mkdir(parents=True, exist_ok=True)
    content = overlay_png(result, to_display(result.study.frame), 0.6)
    write_atomically(folder / f"{stem}_{result.explanation.target}_overlay.png", content)


def _finding_words(finding: dict[str, Any]) -> str:
    side = f"{finding['laterality']} " if finding["laterality"] else ""
    place = "at or above" if finding["positive"] else "below"
    return f"{side}{finding['label']} {finding['probability']:.3f}, {place} the operating point"


def _line(path: Path, record: dict[str, Any]) -> str:
    """One readable line."""
    if "error" in record:
        return f"{path.name}: {record['error']['code']}: {record['error']['message']}"
    parts = [
        f"{path.name}: {record['gate']['outcome']}",
        *(_finding_words(finding) for finding in record["findings"]),
        *(reason["message"] for reason in record["gate"]["reasons"]),
        record["provenance"]["statement"],
    ]
    return "; ".join(part for part in parts if part)
