"""What `screen` writes beside its answer: the report of a case and its DICOM objects."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.records import ScreeningResult

if TYPE_CHECKING:  # loads pydantic, which training from prepared arrays need not have
    from core.manifest import Manifest


def report_path(report: Path, files: list[Path], stem: str) -> Path:
    """Where the report of a file goes: FILE.pdf of a single file, else a folder.

    Raises:
        UsageError: Several files and one name.
    """
    if report.suffix.lower() != ".pdf":
        return report / f"{stem}_report.pdf"
    if len(files) > 1:
        raise UsageError("--report FILE.pdf takes one image; name a folder for several")
    return report


def check_dicom_options(dicom_out: Path | None, is_identified: bool, slices: list[int] | None) -> None:
    """Refuse what cannot be done before anything is screened.

    Raises:
        UsageError: `--identified` without a folder, or with slices of a series.
    """
    if is_identified and dicom_out is None:
        raise UsageError("--identified goes with --dicom-out DIR")
    if is_identified and slices:
        raise UsageError("--identified takes one file of one image; screen the slice alone")


def write_report(
    path: Path, result: ScreeningResult, manifest: "Manifest", language: str, *, has_patient: bool
) -> None:
    """The report of one case as a file; the folder is made."""
    _write(path, _report(result, manifest, language, datetime.now(UTC), has_patient=has_patient))


def write_dicom(
    folder: Path, stem: str, result: ScreeningResult, manifest: "Manifest", language: str, source: bytes
) -> None:
    """DICOM objects of one case; without a score there are none, and that is said.

    Args:
        folder: Is made.
        stem: Beginning of the file names.
        result: Of the case.
        manifest: Of the model that answered.
        language: Of the report.
        source: The file that was screened, to copy its patient and study; b"" = de-identified objects.

    Raises:
        ScreeningError: See `core.io.reader.Reader.derive`.
        UsageError: The source is no DICOM file.
    """
    from core.imaging.display import to_display
    from core.io.reader import shared_reader
    from core.reports.dicom_objects import plan_objects

    if source and result.study.container != "dicom":
        raise UsageError("--identified: only a DICOM file has a patient and a study to copy")
    if not result.gate.shows_score:
        print(f"{stem}: no DICOM objects, because the checks left no score", file=sys.stderr)
        return
    now, display = datetime.now(UTC), to_display(result.study.frame)
    report = _report(result, manifest, language, now, has_patient=False)
    plan = plan_objects(result, manifest, display=display, report=report, made_at=now)
    for name, content in shared_reader().derive(plan, source).items():
        _write(folder / f"{stem}_{name}", content)


def _report(
    result: ScreeningResult, manifest: "Manifest", language: str, made_at: datetime, *, has_patient: bool
) -> bytes:
    from core.imaging.display import to_display
    from core.reports.case_pdf import case_pdf

    display = to_display(result.study.frame)
    return case_pdf(result, manifest, display=display, made_at=made_at, language=language, has_patient=has_patient)


def _write(path: Path, content: bytes) -> None:
    from core.io.weights_file import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
