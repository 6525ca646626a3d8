"""The cases behind a figure: those of one cell, one range of scores or one group, the most surprising first."""

from dataclasses import dataclass
from typing import Literal

from core.evaluation.questions import Question

Cell = Literal["true_positive", "false_positive", "true_negative", "false_negative"]
CELLS: tuple[Cell, ...] = ("false_negative", "false_positive", "true_positive", "true_negative")


@dataclass(frozen=True)
class CaseRow:
    """One case.

    Attributes:
        place: Row of the question's table, from 0.
        case: Its id.
        pixel_hash: Of its image.
        cell: Of the confusion matrix, at the threshold in force.
        group: "" without groups.
    """

    place: int
    case: str
    pixel_hash: str
    is_positive: bool
    score: float
    cell: Cell
    group: str


def list_cases(question: Question, threshold: float) -> list[CaseRow]:
    """All cases, those on the wrong side first, the farthest from the threshold before all others."""
    table = question.table
    rows = [
        CaseRow(
            place=place,
            case=case,
            pixel_hash=question.pixel_hashes[place],
            is_positive=bool(table.is_positive[place]),
            score=float(table.score[place]),
            cell=cell_of(bool(table.is_positive[place]), float(table.score[place]) >= threshold),
            group=table.group.known[table.group.place[place]] if table.group else "",
        )
        for place, case in enumerate(question.cases)
    ]
    return sorted(rows, key=lambda row: (not row.cell.startswith("false"), -abs(row.score - threshold), row.place))


def cell_of(is_positive: bool, is_called: bool) -> Cell:
    """Where a case stands in the confusion matrix."""
    if is_called:
        return "true_positive" if is_positive else "false_positive"
    return "false_negative" if is_positive else "true_negative"
