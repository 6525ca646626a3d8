"""What a reader answered without and then with the model, case by case, and what changed.

Sequential reading (Beiden et al., Acad Radiol 2002;9:1036): each case is answered blind, then at once again beside the model.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from core.errors import UsageError
from core.evaluation.json_values import interval_json
from core.metrics.agreement import weighted_kappa_interval
from core.metrics.paired import McNemarTest, mcnemar_test
from core.metrics.proportions import Interval, wilson_interval

SCHEMA = "fivefold-reader-study/1"
_DIGITS = 4


@dataclass(frozen=True)
class Reading:
    """One case.

    Attributes:
        case: From 1, in the order of reading.
        reference: What it is judged against.
        blind, blind_s: The answer without the model, and the seconds it took.
        model: Whether the model calls it positive; None where it gave no answer, or the case is not yet read with it.
        score: That was compared with the operating point.
        aided, aided_s: The answer with the model, and the further seconds; None until it is given.
    """

    case: int
    reference: bool
    blind: bool
    blind_s: float
    model: bool | None = None
    score: float | None = None
    aided: bool | None = None
    aided_s: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether both answers are given."""
        return self.aided is not None


@dataclass(frozen=True)
class Answers:
    """How one set of yes-or-no answers compares with the reference.

    Attributes:
        n: Cases with an answer.
        accuracy: Share called right.
        sensitivity, specificity: None where no case is of that class.
        kappa: Cohen's; None where all answers or all references are one class, or too few resamples have both.
    """

    n: int
    accuracy: Interval
    sensitivity: Interval | None
    specificity: Interval | None
    kappa: Interval | None


@dataclass(frozen=True)
class Summary:
    """What the model changed.

    Attributes:
        blind, aided: Of the reader.
        model: Of the model alone; None where it answered no case.
        blind_s, added_s: Median seconds a case without the model, and the further ones with it.
        n_to_right, n_to_wrong: Answers that were changed, to the reference and away from it.
        test: McNemar's, of the shares called right: a = with the model, b = without.
    """

    blind: Answers
    aided: Answers
    model: Answers | None
    blind_s: float
    added_s: float
    n_to_right: int
    n_to_wrong: int
    test: McNemarTest


def summarise(readings: Sequence[Reading]) -> Summary:
    """Of the cases that were read both ways.

    Raises:
        UsageError: There is none.
    """
    done = [reading for reading in readings if reading.is_done]
    if not done:
        raise UsageError("no case was read with the model")
    reference = [reading.reference for reading in done]
    blind, aided = [reading.blind for reading in done], [bool(reading.aided) for reading in done]
    is_right_blind, is_right_aided = np.array(blind) == np.array(reference), np.array(aided) == np.array(reference)
    answered = [reading for reading in done if reading.model is not None]
    by_model = [bool(reading.model) for reading in answered]
    test = mcnemar_test(is_right_aided, is_right_blind)
    return Summary(
        blind=compare(reference, blind),
        aided=compare(reference, aided),
        model=compare([reading.reference for reading in answered], by_model) if answered else None,
        blind_s=median(reading.blind_s for reading in done),
        added_s=median(reading.aided_s or 0.0 for reading in done),
        n_to_right=test.n_only_a,
        n_to_wrong=test.n_only_b,
        test=test,
    )


def compare(reference: Sequence[bool], answers: Sequence[bool]) -> Answers:
    """Answers beside the reference, case by case; at least one."""
    pairs = list(zip(reference, answers, strict=True))
    positive = [given for is_positive, given in pairs if is_positive]
    negative = [not given for is_positive, given in pairs if not is_positive]
    try:
        kappa = weighted_kappa_interval([int(own) for own in reference], [int(own) for own in answers], 2)
    except UsageError:
        kappa = None
    n_right = sum(is_positive == given for is_positive, given in pairs)
    return Answers(
        n=len(pairs),
        accuracy=wilson_interval(n_right, len(pairs)),
        sensitivity=wilson_interval(sum(positive), len(positive)) if positive else None,
        specificity=wilson_interval(sum(negative), len(negative)) if negative else None,
        kappa=kappa,
    )


def readings_csv(readings: Sequence[Reading], reader: str, statement: str) -> str:
    """A row a case; every row carries reader and statement.

    Args:
        readings: In order.
        reader: Initials.
        statement: About simulated data, "" for others.
    """
    text = io.StringIO()
    names = [*Reading.__dataclass_fields__, "changed", "reader", "statement"]
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    for reading in readings:
        changed = reading.is_done and reading.aided != reading.blind
        row = {**asdict(reading), "changed": changed, "reader": reader, "statement": statement}
        table.writerow({name: int(value) if isinstance(value, bool) else value for name, value in row.items()})
    return text.getvalue()


def study_json(readings: Sequence[Reading], facts: Mapping[str, object], statement: str) -> dict[str, Any]:
    """Everything, as JSON values.

    Args:
        readings: In order, at least one of them done.
        facts: What was read, by whom, and beside which model.
        statement: About simulated data, "" for others.

    Raises:
        UsageError: See `summarise`.
    """
    summary = summarise(readings)
    return {
        "schema": SCHEMA,
        "statement": statement,
        **facts,
        "summary": {
            **{name: _answers_json(getattr(summary, name)) for name in ("blind", "aided", "model")},
            "median_blind_s": summary.blind_s,
            "median_added_s": summary.added_s,
            "changed_to_right": summary.n_to_right,
            "changed_to_wrong": summary.n_to_wrong,
            "mcnemar_p": summary.test.p_value,
            "mcnemar_exact": summary.test.is_exact,
        },
        "cases": [asdict(reading) for reading in readings],
    }


def _answers_json(answers: Answers | None) -> dict[str, Any] | None:
    if answers is None:
        return None
    names = ("accuracy", "sensitivity", "specificity", "kappa")
    return {"n": answers.n, **{name: interval_json(getattr(answers, name), _DIGITS) for name in names}}
