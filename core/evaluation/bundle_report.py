"""Statistics of the cases of a bundle: the same whether they were just answered or come from a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import BundleError
from core.evaluation.bundle import Bundle
from core.evaluation.bundle_cases import BundleCase, SourceCase, number_cases
from core.evaluation.score_report import confusion_of, report_scores
from core.evaluation.scores import measure_scores
from core.figures.forest import ForestRow
from core.figures.printed.question import Question
from core.io.score_table import Names, ScoreTable
from core.metrics.thresholds import threshold_by_youden

_MOST_GROUPS = 30  # of a drawing


def make_bundle(about: Mapping[str, Any], sources: Sequence[SourceCase]) -> Bundle:
    """Number the cases, find Youden's thresholds where they are asked for, and measure every question.

    Args:
        about: See `core.evaluation.bundle.describe`.
        sources: One a case and question.

    Raises:
        BundleError: See `number_cases`.
        UsageError: See `measure_scores`.
    """
    cases = number_cases(sources)
    points = {}
    for question, point in about["operating_points"].items():
        table = table_of(cases, question)
        found = {"threshold": threshold_by_youden(table.is_positive, table.score).threshold}
        points[question] = point | found if point["origin"] == "youden" else point
    whole = {**about, "operating_points": points}
    return Bundle(whole, measure_cases(whole, cases), cases)


def measure_cases(about: Mapping[str, Any], cases: Sequence[BundleCase]) -> dict[str, Any]:
    """What `measure_scores` says of every question at its operating point.

    Args:
        about: With the operating points.
        cases: Of all questions.

    Raises:
        BundleError, UsageError: See `table_of` and `measure_scores`.
    """
    found = {}
    for question, point in about["operating_points"].items():
        threshold = None if point["origin"] == "youden" else point["threshold"]
        table = table_of(cases, question)
        found[question] = measure_scores(table, threshold=threshold, prevalence=point["prevalence"])
    return found


def score_table(bundle: Bundle, question: str) -> ScoreTable:
    """The table of scores of one question.

    Raises:
        BundleError: Nobody asked it.
    """
    return table_of(bundle.cases, question)


def table_of(cases: Sequence[BundleCase], question: str) -> ScoreTable:
    """As `score_table`, of cases."""
    own = [case for case in cases if case.question == question]
    if not own:
        raise BundleError("a question that no case answers")
    groups, places = np.unique([case.group for case in own], return_inverse=True)
    has_groups = any(case.group for case in own)
    return ScoreTable(
        is_positive=np.array([case.is_positive for case in own], bool),
        score=np.array([case.score for case in own], np.float64),
        patient=np.array([case.patient for case in own], np.int64) if own[0].patient else None,
        group=Names(tuple(map(str, groups)), places.astype(np.int64)) if has_groups else None,
        model=None,
    )


def printed_questions(bundle: Bundle) -> dict[str, Question]:
    """Every question measured for paper, at the operating point in force.

    Raises:
        TableError: See `report_scores`.
    """
    found = {}
    for question, point in bundle.about["operating_points"].items():
        table = score_table(bundle, question)
        model = report_scores(table).models[""]
        rows = [
            ForestRow(own.name, own.n_positive, own.n - own.n_positive, own.is_few, own.auroc)
            for own in model.subgroups
        ]
        rows.sort(key=lambda row: (row.auroc is None, row.is_few, row.auroc.value if row.auroc else 0))
        at = model.at(point["threshold"], point["prevalence"])
        found[question] = Question(
            n_patients=None if table.patient is None else model.n_patients,
            roc=model.roc,
            precision_recall=model.precision_recall,
            histogram=model.histogram,
            calibration=model.calibration,
            groups=tuple(rows[:_MOST_GROUPS]),
            point=at,
            confusion=confusion_of(at),
        )
    return found
