"""An evaluation to take along: numbers, cases under numbers of their own, figures and summaries in one zip file, and back.

No pixel, no file name and no patient's id is in it; what a number stands for is known to `bundle_cases.key_table` alone.
"""

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core import __version__
from core.errors import BundleError
from core.evaluation.bundle_cases import COLUMNS, BundleCase, case_row, clean_command
from core.evaluation.bundle_schema import (
    FORMAT,
    MAX_ROWS,
    check_about,
    check_environment,
    check_rows,
    check_texts,
    json_bytes,
    parse_json,
)
from core.i18n import LANGUAGES, mark
from core.io.archive import SUMS, read_archive, write_archive
from core.io.tables import csv_bytes, plain_cell
from core.manifest import Manifest

_METRICS, _CASES, _ABOUT, _ENVIRONMENT, _README = (
    "metrics.json",
    "cases.csv",
    "configuration.json",
    "environment.json",
    "README.txt",
)
HOLDS = {
    _METRICS: mark("All numbers: one row a case and question, and the statistics of each question"),
    _CASES: mark(
        "One row a case and question: reference, score and group, under a number that is not that of the patient"
    ),
    _ABOUT: mark("Model, thresholds, settings, cases left out by reason, command and date"),
    _ENVIRONMENT: mark("Versions of Python and of the packages"),
    _README: mark("What each file is"),
    SUMS: mark("SHA-256 of every file"),
} | {f"summary_{language}.pdf": mark("Summary to print, one page a question") for language in LANGUAGES}
_SUMMARIES = {f"summary_{language}.pdf" for language in LANGUAGES}
_FIGURE = re.compile(r"figures/([a-z0-9_]+)_(roc|precision_recall|scores|confusion|calibration|groups)\.(png|pdf)")
_OF_FIGURES = {
    "roc": mark("Figure: ROC curve"),
    "precision_recall": mark("Figure: precision-recall curve"),
    "scores": mark("Figure: scores by reference"),
    "confusion": mark("Figure: confusion matrix"),
    "calibration": mark("Figure: calibration"),
    "groups": mark("Figure: AUROC of each group"),
}
_STARTS = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}
_PACKAGES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "torch")


@dataclass(frozen=True)
class Bundle:
    """What a bundle says.

    Attributes:
        about: See `describe`; JSON values.
        metrics: Statistics by question, see `core.evaluation.bundle_report.measure_cases`; JSON values.
        cases: By number and question.
    """

    about: dict[str, Any]
    metrics: dict[str, Any]
    cases: tuple[BundleCase, ...]

    @property
    def questions(self) -> tuple[str, ...]:
        """In the order of the operating points."""
        return tuple(self.about["operating_points"])


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle, for the eye before it is sent.

    Attributes:
        holds: Message id.
    """

    name: str
    n_bytes: int
    holds: str


def describe(
    manifest: Manifest | None,
    *,
    operating_points: Mapping[str, Mapping[str, Any]],
    configuration: Mapping[str, Any],
    excluded: Mapping[str, int],
    command: Sequence[str],
    date: str,
    data_sha256: str,
) -> dict[str, Any]:
    """What was measured, as `Bundle.about`.

    Args:
        manifest: Of the model; None where only its scores are known.
        operating_points: By question: origin ("model", "youden" or "hand"), threshold (not of "youden": `make_bundle` finds it)
            and, where predictive values are stated for another than that of the cases, prevalence.
        configuration: Mapping of labels and other settings, as JSON values.
        excluded: Cases left out by reason.
        command: Words of the command that gives the numbers again; paths in it are replaced.
        date: Of the evaluation, "2026-11-29" or "2026-11-29T08:15Z".
        data_sha256: Of the evaluated data.
    """
    return {
        "format": FORMAT,
        "task": manifest.task if manifest else "",
        "model": manifest.model if manifest else "",
        "model_version": manifest.version if manifest else "",
        "weights_sha256": manifest.weights.sha256 if manifest else "",
        "statement": manifest.statement if manifest else "",
        "operating_points": {name: {"prevalence": None, **point} for name, point in sorted(operating_points.items())},
        "configuration": dict(configuration),
        "excluded": dict(excluded),
        "command": clean_command(command),
        "date": date,
        "data_sha256": data_sha256,
    }


# --- zip file --------------------------------------------------------------------------------------------------------


def write_bundle(bundle: Bundle, figures: Mapping[str, bytes]) -> bytes:
    """The zip file; the same bytes for equal input on one installation.

    Args:
        bundle: What it says.
        figures: Files for readers, see `core.reports.evaluation_pdf.summary_files`: the summaries, and figures by
            "figures/<question>_<figure>.png" or ".pdf".

    Raises:
        BundleError: Something in it does not belong into a bundle: see `read_bundle`.
    """
    if len(bundle.cases) > MAX_ROWS:
        raise BundleError(f"{len(bundle.cases)} rows, at most {MAX_ROWS}")
    check_about(bundle.about)
    check_rows([case_row(case) for case in bundle.cases])
    _check(bundle)
    _check_figures(figures, bundle.questions)
    own = _own_files(bundle) | {_ENVIRONMENT: json_bytes(_environment())}
    names = [*own, *figures, _README, SUMS]
    return write_archive({**own, **figures, _README: _readme(bundle, names)})


def read_bundle(data: bytes) -> Bundle:
    """A bundle that `write_bundle` wrote, wherever that was.

    Args:
        data: The zip file.

    Raises:
        BundleError: A file is missing, unknown, changed or too large; a value is missing, unknown or of another kind; a text
            holds a path; or the files do not agree with each other.
    """
    files = read_archive(data)
    wanted = {_METRICS, _CASES, _ABOUT, _ENVIRONMENT, _README, *_SUMMARIES}
    if missing := sorted(wanted - files.keys()):
        raise BundleError(f"no {', '.join(missing)}")
    about, metrics = parse_json(files[_ABOUT], _ABOUT), parse_json(files[_METRICS], _METRICS)
    check_environment(parse_json(files[_ENVIRONMENT], _ENVIRONMENT))
    if not isinstance(metrics, dict) or metrics.keys() != {"case", "aggregates"}:
        raise BundleError(f"{_METRICS}: another form")
    check_about(about)
    check_rows(metrics["case"])
    cases = tuple(
        BundleCase(**{key: row[key] for key in row if key != "label"}, is_positive=row["label"] == 1)
        for row in metrics["case"]
    )
    bundle = Bundle(about, metrics["aggregates"], cases)
    _check(bundle)
    if wrong := [name for name, content in _own_files(bundle).items() if files[name] != content]:
        raise BundleError(f"{', '.join(wrong)}: not what this program writes of these cases")
    rest = {name: content for name, content in files.items() if name not in wanted - _SUMMARIES}
    _check_figures(rest, bundle.questions)
    return bundle


def list_files(data: bytes) -> list[BundleFile]:
    """Every file of a bundle with what it holds, for a review before it leaves the house.

    Raises:
        BundleError: See `read_archive`; or a file that no bundle has.
    """
    files = read_archive(data)
    if any(name not in HOLDS and not _FIGURE.fullmatch(name) for name in files):
        raise BundleError("a file that no bundle has")
    files[SUMS] = b"".join(b"%b  %b\n" % (b"0" * 64, name.encode()) for name in files)  # of this length
    return [BundleFile(name, len(files[name]), _holds(name)) for name in sorted(files)]


def _holds(name: str) -> str:
    figure = _FIGURE.fullmatch(name)
    return _OF_FIGURES[figure[2]] if figure else HOLDS[name]


def _own_files(bundle: Bundle) -> dict[str, bytes]:
    rows = [case_row(case) for case in bundle.cases]
    table = [[plain_cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows]
    return {
        _METRICS: json_bytes({"case": rows, "aggregates": bundle.metrics}),
        _CASES: csv_bytes(COLUMNS, table),
        _ABOUT: json_bytes(bundle.about),
    }


def _check(bundle: Bundle) -> None:
    """Whether the parts belong together and no text holds a path; each part was checked before."""
    asked = {case.question for case in bundle.cases}
    if not isinstance(bundle.metrics, dict) or not asked == set(bundle.questions) == bundle.metrics.keys():
        raise BundleError("operating points, statistics and cases are not of the same questions")
    check_texts((bundle.about, bundle.metrics, {text for case in bundle.cases for text in (case.group, case.note)}))


def _check_figures(files: Mapping[str, bytes], questions: Sequence[str]) -> None:
    if missing := sorted(_SUMMARIES - files.keys()):
        raise BundleError(f"no {', '.join(missing)}")
    for name, content in files.items():
        figure = _FIGURE.fullmatch(name)
        if name not in _SUMMARIES and (figure is None or figure[1] not in questions):
            raise BundleError("a file that is neither a summary nor a figure")
        if not content.startswith(_STARTS[name.rpartition(".")[2]]):
            raise BundleError("a summary or figure that is none")


def _environment() -> dict[str, Any]:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # scores alone need no torch
            continue
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "fivefold": __version__,
        "packages": packages,
    }


def _readme(bundle: Bundle, names: Sequence[str]) -> bytes:
    about = bundle.about
    model = " ".join(filter(None, (about["task"], about["model"], about["model_version"]))) or "scores of a table"
    lines = ["Fivefold evaluation: " + model, about["date"], "Research use, not a medical device."]
    lines += filter(None, [about["statement"]])
    lines += ["", "No pixels, no file names and no ids of patients are in this archive.", ""]
    lines += [f"{name}: {_holds(name)}" for name in sorted(names)]
    return ("\n".join(lines) + "\n").encode()
