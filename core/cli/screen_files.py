"""What `screen` writes beside its answer: the report of a case."""

from datetime import UTC, datetime
from pathlib import Path

from core.errors import UsageError
from core.manifest import Manifest
from core.records import ScreeningResult


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


def write_report(path: Path, result: ScreeningResult, manifest: Manifest, language: str, *, has_patient: bool) -> None:
    """The report of one case as a file; the folder is made."""
    from core.imaging.display import to_display
    from core.io.weights_file import write_atomically
    from core.reports.case_pdf import case_pdf

    content = case_pdf(
        result,
        manifest,
        display=to_display(result.study.frame),
        made_at=datetime.now(UTC),
        language=language,
        has_patient=has_patient,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
