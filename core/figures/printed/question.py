"""All figures of one yes/no question, as files."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.figures.forest import ForestRow
from core.figures.printed.counts import draw_confusion, draw_forest, forest_height
from core.figures.printed.curves import draw_calibration, draw_histogram, draw_precision_recall, draw_roc
from core.figures.printed.style import LINE, TEXT_PT, Panel, sheet, to_pdf, to_png
from core.i18n import Translator
from core.metrics.calibration import CalibrationReport
from core.metrics.confusion import ConfusionMatrix
from core.metrics.histogram import ScoreHistogram
from core.metrics.operating_point import OperatingPointMetrics
from core.metrics.precision_recall import PrecisionRecallCurve
from core.metrics.proportions import Interval
from core.metrics.roc import RocCurve

FIGURES = ("roc", "precision_recall", "scores", "confusion", "calibration", "groups")
_WIDTH, _HEIGHT, _EDGE = 5.0, 4.7, 0.12  # inches


@dataclass(frozen=True)
class Question:
    """A measured yes/no question.

    Attributes:
        n_patients: None where they are not known.
        calibration: None where the scores are no probabilities.
        groups: Empty where there are none.
        point: The operating point in force.
        confusion: Of the point, negative class first.
    """

    n_patients: int | None
    roc: RocCurve
    precision_recall: PrecisionRecallCurve
    histogram: ScoreHistogram
    calibration: CalibrationReport | None
    groups: tuple[ForestRow, ...]
    point: OperatingPointMetrics
    confusion: ConfusionMatrix

    @property
    def accuracy(self) -> Interval | None:
        """With an interval that knows patients; None where every case is another patient."""
        return None if self.n_patients in (None, self.point.n_cases) else self.point.accuracy


def question_files(question: Question, t: Translator) -> Iterator[tuple[str, bytes]]:
    """Every figure that the question has, as "roc.png", "roc.pdf" and so on.

    Args:
        question: Measured.
        t: The reader's words.
    """
    for name in FIGURES:
        height = _HEIGHT
        if name == "groups":
            height = forest_height(question.groups, LINE * TEXT_PT / 72) + 2 * _EDGE
        if (name == "calibration" and question.calibration is None) or (name == "groups" and not question.groups):
            continue
        figure = sheet(_WIDTH, height)
        size = (_WIDTH - 2 * _EDGE, height - 2 * _EDGE)
        draw(name, question, Panel(figure, t, _EDGE, _EDGE, *size, TEXT_PT))
        yield f"{name}.png", to_png(figure)
        yield f"{name}.pdf", to_pdf([figure], name)


def draw(name: str, question: Question, panel: Panel) -> None:
    """One of `FIGURES` into a panel."""
    if name == "roc":
        draw_roc(panel, question.roc, question.point)
    elif name == "precision_recall":
        draw_precision_recall(panel, question.precision_recall, question.point)
    elif name == "scores":
        draw_histogram(panel, question.histogram, question.point)
    elif name == "confusion":
        names = [panel.t("Negative"), panel.t("Positive")]
        draw_confusion(panel, question.confusion, names, question.accuracy)
    elif name == "calibration":
        assert question.calibration is not None
        draw_calibration(panel, question.calibration)
    else:
        draw_forest(panel, question.groups, question.roc.auroc)
