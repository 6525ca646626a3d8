"""The summary of an evaluation to print and to file: one page A4 a question, in the reader's language."""

from collections.abc import Mapping
from typing import Any

from core import registry
from core.figures.printed.question import Question, draw, question_files
from core.figures.printed.style import SURFACE, to_pdf, wrapped
from core.figures.style import HIGHLIGHT, cases_line, number, threshold_words
from core.i18n import LANGUAGES, Translator, mark
from core.metrics.proportions import Interval
from core.reports.paper import A4, EDGE, GAP, SMALL_PT, TEXT_PT, Paper, question_words

_NAME_WIDTH = 1.5  # of what a number is called
_MOST_EXCLUDED = 4  # reasons that are named; the others are summed
# Where the threshold of the operating point comes from.
ORIGINS = {
    "model": mark("Operating point of the model, fixed before these cases were seen."),
    "youden": mark(
        "Youden's threshold was chosen on these very cases: sensitivity and specificity look better than they are."
    ),
    "hand": mark("A threshold set by hand. It counts only if it was fixed before these cases were seen."),
}


def summary_pdf(about: Mapping[str, Any], questions: Mapping[str, Question], language: str) -> bytes:
    """The summary; the same bytes for the same input.

    Args:
        about: What was measured: see `core.evaluation.bundle.Bundle.about`.
        questions: Measured questions by name, at least one.
        language: One of `core.i18n.LANGUAGES`.
    """
    t = Translator(language)
    pages = [_Page(about, name, question, t).drawn() for name, question in questions.items()]
    return to_pdf(pages, t("Evaluation summary"))


def summary_files(about: Mapping[str, Any], questions: Mapping[str, Question]) -> dict[str, bytes]:
    """What a bundle holds for readers: a summary in every language, and every figure in English.

    Args:
        about, questions: As for `summary_pdf`.
    """
    files = {f"summary_{language}.pdf": summary_pdf(about, questions, language) for language in LANGUAGES}
    for name, question in questions.items():
        files |= {f"figures/{name}_{file}": data for file, data in question_files(question, Translator("en"))}
    return files


class _Page(Paper):
    """A page in the making."""

    def __init__(self, about: Mapping[str, Any], name: str, question: Question, t: Translator) -> None:
        super().__init__(t)
        self.about, self.name, self.question = about, name, question

    def drawn(self) -> Any:
        """The figure with everything on it."""
        top = self.banner(self._head(EDGE), self.t(self.about["statement"]) if self.about["statement"] else "")
        left = self._rows(EDGE, top, self._facts())
        right = self._rows(EDGE + self.column + GAP, top, self._numbers())
        top = self._origin(max(left, right))
        foot = self._foot()
        self._figures(top + 0.12, foot - 0.1)
        return self.figure

    def _head(self, top: float) -> float:
        t, about = self.t, self.about
        panel, line = self.panel(EDGE, top, self.width), self.panel(0, 0, 0).line
        task = registry.tasks().get(about["task"])
        panel.write(0, 0, t("Evaluation summary"), scale=1.9)
        panel.write(self.width, 0.1, about["date"].replace("T", " ").replace("Z", " UTC"), align="right")
        names = [t(task.title) if task else about["task"], question_words(about["task"], self.name, t)]
        panel.write(0, 2.1 * line, " \u00b7 ".join(filter(None, names)), scale=1.3)
        model = t("Model {model}", model=" ".join(filter(None, (about["model"], about["model_version"]))) or "\u2013")
        if about["weights_sha256"]:
            model += " \u00b7 " + t("weights {sha256}", sha256=about["weights_sha256"][:12])
        panel.write(0, 3.5 * line, model)
        return top + 4.9 * line

    def _facts(self) -> list[tuple[str, str]]:
        t, own, excluded = self.t, self.question, self.about["excluded"]
        named = sorted(excluded.items(), key=lambda item: (-item[1], item[0]))
        reasons = [f"{reason} {n}" for reason, n in named[:_MOST_EXCLUDED]]
        if rest := sum(n for _, n in named[_MOST_EXCLUDED:]):
            reasons.append(t("other reasons {n}", n=rest))
        left_out = f"{sum(excluded.values())} ({'; '.join(reasons)})" if excluded else "0"
        return [
            (t("Cases"), cases_line(t, own.roc.n_positive, own.roc.n_negative)),
            (t("Patients"), "\u2013" if own.n_patients is None else f"{own.n_patients:,}"),
            (t("Left out"), left_out),
            (t("Data (SHA-256)"), self.about["data_sha256"][:12]),
            (t("Brier score"), "\u2013" if own.calibration is None else number(own.calibration.brier_score, 3)),
        ]

    def _numbers(self) -> list[tuple[str, str]]:
        t, point = self.t, self.question.point
        called, passed = point.n_true_positive + point.n_false_positive, point.n_true_negative + point.n_false_negative
        # At a stated prevalence the counts of these cases give another share.
        ppv, npv = (
            ((), ())
            if point.is_prevalence_stated
            else ((point.n_true_positive, called), (point.n_true_negative, passed))
        )
        share = number(100 * point.prevalence, 1)
        stated = t("{prevalence} %, stated", prevalence=share)
        of_cases = t("{prevalence} %, of these cases", prevalence=share)
        return [
            ("", t("value (95 % CI)")),
            (t("AUROC"), self._interval(self.question.roc.auroc)),
            (t("Average precision"), self._interval(self.question.precision_recall.average_precision)),
            (t("Sensitivity"), self._interval(point.sensitivity, point.n_true_positive, point.n_positive)),
            (t("Specificity"), self._interval(point.specificity, point.n_true_negative, point.n_negative)),
            (t("Prevalence"), stated if point.is_prevalence_stated else of_cases),
            (t("PPV at this prevalence"), self._interval(point.ppv, *ppv)),
            (t("NPV at this prevalence"), self._interval(point.npv, *npv)),
        ]

    def _interval(self, own: Interval | None, part: int | None = None, whole: int = 0) -> str:
        if own is None:
            return "\u2013"
        words = f"{number(own.value, 3)} ({number(own.low, 3)}\u2013{number(own.high, 3)})"
        return (
            words if part is None else f"{words}, " + self.t("{part} of {whole}", part=f"{part:,}", whole=f"{whole:,}")
        )

    def _rows(self, left: float, top: float, rows: list[tuple[str, str]]) -> float:
        """Names with their values, at most three lines each; where they end."""
        y = 0.0
        panel = self.panel(left, top, self.column)
        for name, value in rows:
            room = self.column - _NAME_WIDTH
            panel.write(0, y, name, width=_NAME_WIDTH - 0.08)
            for text in wrapped(value, room, TEXT_PT, self.t.language, 3):
                panel.write(_NAME_WIDTH, y, text, width=room + 0.02)
                y += panel.line
        return top + y

    def _origin(self, top: float) -> float:
        """The threshold and what it is worth, over the whole width."""
        t, point = self.t, self.question.point
        origin = self.about["operating_points"][self.name]["origin"]
        words = (
            t("Operating point {threshold}", threshold=threshold_words(point.threshold))
            + " \u00b7 "
            + t(ORIGINS[origin])
        )
        panel = self.panel(EDGE + 0.12, top + 0.12, self.width - 0.2)
        lines = wrapped(words, panel.width, TEXT_PT, t.language, 2)
        height = panel.line * len(lines) + 0.08
        self.box(EDGE, top + 0.08, self.width, height, SURFACE)
        if origin == "youden":
            self.box(EDGE, top + 0.08, 0.05, height, HIGHLIGHT)
        for place, text in enumerate(lines):
            panel.write(0, panel.line * place, text)
        return top + 0.08 + height

    def _figures(self, top: float, bottom: float) -> None:
        """ROC curve, calibration, counts and scores in two columns; without a calibration the precision-recall curve."""
        height = (bottom - top) / 2
        names = (
            "roc",
            "precision_recall" if self.question.calibration is None else "calibration",
            "confusion",
            "scores",
        )
        for place, name in enumerate(names):
            left, own_top = EDGE + (place % 2) * (self.column + GAP), top + (place // 2) * height
            draw(name, self.question, self.panel(left, own_top, self.column, height - 0.12, SMALL_PT))

    def _foot(self) -> float:
        """How the numbers were made, and what they are for; where it begins."""
        t = self.t
        auroc = t("95 % interval of the AUROC: DeLong, clustered by patient (Obuchowski 1997).")
        if self.question.n_patients is None:
            auroc = t("95 % interval of the AUROC: DeLong, every row another patient.")
        others = t(
            "Sensitivity and specificity: Wilson, by patient. Average precision: logit. Predictive values: Wilson, or Mercaldo "
            "at a stated prevalence. Band of the ROC curve: bootstrap."
        )
        lines = wrapped(f"{auroc} {others}", self.width, SMALL_PT, t.language, 3)
        panel = self.panel(EDGE, 0, self.width, size_pt=SMALL_PT)
        top = A4[1] - EDGE - panel.line * len(lines) - 1.5 * panel.line
        for place, text in enumerate(lines):
            panel.write(0, top + panel.line * place, text)
        self.last_line(top + panel.line * (len(lines) + 0.2))
        return top
