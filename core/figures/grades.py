"""Ordered classes: the probabilities of one image, and how many cases of each class are found."""

from collections.abc import Sequence
from unicodedata import east_asian_width

import plotly.graph_objects as go
from plotly.colors import unlabel_rgb

from core.errors import UsageError
from core.figures.bars import bar_with_intervals_alt, bar_with_intervals_figure
from core.figures.confusion import ink
from core.figures.style import TEXT_PX, class_colours, new_figure, plain, probability_words, theme
from core.i18n import Translator
from core.metrics.grades import expected_grade
from core.metrics.grading import GradingReport
from core.metrics.proportions import Interval

_ROW_PX = 92
_LABEL_PX = TEXT_PX + 2
_NARROWEST_PX = 420  # plot width on half a projector 1024 pixels wide: what fits there fits everywhere
_LETTER_EM = 0.6  # mean width of a bold Latin letter; a Chinese or Korean one takes a full em

Row = tuple[str, Sequence[float]]


def class_probabilities_figure(rows: Sequence[Row], class_names: Sequence[str], t: Translator, dark: bool) -> go.Figure:
    """One bar a row, cut into the probabilities of its classes from the lowest on the left; the most probable one is bold.

    Args:
        rows: What the row is, and its probabilities; first row on top.
        class_names: What the reader calls each class, lowest first.
        t: The reader's words.
        dark: Theme.

    Raises:
        UsageError: No row, as many probabilities as classes are missing, or see `expected_grade`.
    """
    _check(rows, class_names)
    colours = class_colours(len(class_names), dark)
    names = [plain(name) for name, _ in rows]
    traces = []
    for i, class_name in enumerate(class_names):
        shares = [probabilities[i] for _, probabilities in rows]
        is_most = [share == max(probabilities) for share, (_, probabilities) in zip(shares, rows, strict=True)]
        traces.append(
            go.Bar(
                x=[100 * share for share in shares],
                y=names,
                orientation="h",
                width=0.72,
                name=plain(class_name),
                marker={"color": colours[i], "line": {"color": theme(dark).surface, "width": 2}},
                text=[_label(class_name, share, most) for share, most in zip(shares, is_most, strict=True)],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                constraintext="none",
                insidetextfont={"size": _LABEL_PX, "color": ink(unlabel_rgb(colours[i]))},
                customdata=[plain(probability_words(share)) for share in shares],
                hovertemplate="%{y}<br>" + plain(class_name) + " %{customdata}<extra></extra>",
            )
        )
    figure = new_figure(traces, dark, [t("Probability of each class")], 170 + _ROW_PX * len(rows))
    figure.update_layout(barmode="stack", legend={"traceorder": "normal", "y": -70 / (40 + _ROW_PX * len(rows))})
    figure.update_xaxes(title=t("Probability (per cent)"), range=[0, 100], showgrid=False)
    figure.update_yaxes(
        autorange="reversed", type="category", showgrid=False, tickfont={"size": _LABEL_PX}, ticklabelstandoff=6
    )
    return figure


def class_probabilities_alt(rows: Sequence[Row], class_names: Sequence[str], t: Translator) -> str:
    """What `class_probabilities_figure` shows, in words; errors as there."""
    _check(rows, class_names)
    lines = []
    for name, probabilities in rows:
        shares = [f"{c} {probability_words(p)}" for c, p in zip(class_names, probabilities, strict=True)]
        lines.append(f"{name}: {', '.join(shares)}.")
    return " ".join([t("Probability of each class") + ".", *lines])


def class_recall_figure(report: GradingReport, class_names: Sequence[str], t: Translator, dark: bool) -> go.Figure:
    """Recall of every class that has cases, with its interval and how many cases it has.

    Args:
        report: Of a grader.
        class_names: What the reader calls each class, lowest first.
        t: The reader's words.
        dark: Theme.
    """
    names, recalls = _recalls(report, class_names)
    figure = bar_with_intervals_figure(
        names,
        [recall.value for recall in recalls],
        [recall.low for recall in recalls],
        [recall.high for recall in recalls],
        title=t("Recall of each class"),
        axis_title=t("Recall (share of the class that is found)"),
        n_cases=report.n,
        t=t,
        dark=dark,
    )
    figure.update_xaxes(range=[0, 1.02])
    return figure


def class_recall_alt(report: GradingReport, class_names: Sequence[str], t: Translator) -> str:
    """What `class_recall_figure` shows, in words."""
    names, recalls = _recalls(report, class_names)
    return bar_with_intervals_alt(
        names,
        [recall.value for recall in recalls],
        [recall.low for recall in recalls],
        [recall.high for recall in recalls],
        title=t("Recall of each class"),
        n_cases=report.n,
        t=t,
    )


def _check(rows: Sequence[Row], class_names: Sequence[str]) -> None:
    if not rows or any(len(probabilities) != len(class_names) for _, probabilities in rows):
        raise UsageError(f"{len(rows)} rows of probabilities for {len(class_names)} classes")
    expected_grade([probabilities for _, probabilities in rows])  # refuses what is no probability


def _label(class_name: str, share: float, is_most: bool) -> str:
    """Name and per cent where they fit into the piece, else the per cent alone, else nothing."""
    words = probability_words(share)
    for lines in ([class_name, words], [words]):
        if max(map(_width_px, lines)) < share * _NARROWEST_PX:
            text = "<br>".join(map(plain, lines))
            return f"<b>{text}</b>" if is_most else text
    return ""


def _width_px(line: str) -> float:
    """Width of a line, estimated."""
    return sum(1.0 if east_asian_width(letter) in "WF" else _LETTER_EM for letter in line) * (_LABEL_PX + 1)


def _recalls(report: GradingReport, class_names: Sequence[str]) -> tuple[list[str], list[Interval]]:
    found = [
        (f"{name} (n = {metrics.support})", metrics.recall)
        for name, metrics in zip(class_names, report.per_class, strict=True)
        if metrics.recall is not None
    ]
    return [name for name, _ in found], [recall for _, recall in found]
