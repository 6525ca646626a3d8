"""One score on its scale, and the scores of all cases around the operating point."""

import plotly.graph_objects as go
from numpy.typing import ArrayLike

from core.figures.style import (
    LIGHT,
    NEGATIVE,
    POSITIVE,
    TEXT_PX,
    cases_line,
    new_figure,
    number,
    percent,
    plain,
    score_words,
    template,
    theme,
    threshold_words,
    with_interval,
)
from core.i18n import Translator
from core.metrics.histogram import ScoreHistogram, score_histogram
from core.metrics.operating_point import OperatingPointMetrics, operating_point_metrics
from core.metrics.proportions import Interval

_BAR_HEIGHT_PX = 120
_BAR_STEPS = 200
_PALE, _INK = LIGHT.surface, LIGHT.text  # the bar looks the same in both themes: its pale middle needs dark marks
_VEIL = "rgba(19, 35, 58, 0.14)"
_EDGE = 0.18  # nearer to an end than this, a centred label would leave a figure 300 pixels wide


def score_bar_figure(score: float, threshold: float, interval: Interval | None, t: Translator, dark: bool) -> go.Figure:
    """The two-ended bar: green below, red above, palest at the operating point.

    Args:
        score: In [0, 1].
        threshold: In [0, 1], the operating point.
        interval: Uncertainty of the operating point on the score scale, drawn as a pale band; None draws none.
        t: The reader's words.
        dark: Theme.
    """
    x = [(i + 0.5) / _BAR_STEPS for i in range(_BAR_STEPS)]
    bar = go.Heatmap(
        x=x,
        y=[0],
        z=[x],
        zmin=0,
        zmax=1,
        colorscale=_two_ended(threshold),
        showscale=False,
        hoverinfo="skip",
    )
    marker = {"size": 20, "symbol": "diamond", "color": _INK, "line": {"color": _PALE, "width": 2}}
    words = [t("Score {score}", score=score_words(score)), _point_words(threshold, interval, t)]
    hover = "<br>".join(words) + "<extra></extra>"
    diamond = go.Scatter(
        x=[score], y=[0], mode="markers", marker=marker, cliponaxis=False, hovertemplate=hover, showlegend=False
    )
    figure = go.Figure([bar, diamond])
    figure.update_layout(
        template=template(dark),
        height=_BAR_HEIGHT_PX,
        margin={"l": 34, "r": 34, "t": 30, "b": 30},
        xaxis={"range": [0, 1], "visible": False, "fixedrange": True},
        yaxis={"range": [-0.5, 0.5], "visible": False, "fixedrange": True},
        dragmode=False,
    )
    if interval is not None:
        figure.add_vrect(x0=interval.low, x1=interval.high, fillcolor=_VEIL, line_width=0)
    figure.add_vline(x=threshold, line={"color": _INK, "width": 3, "dash": "dot"})
    label = t("operating point {threshold}", threshold=number(threshold))
    _label(figure, threshold, 1.0, "bottom", label, TEXT_PX - 1)
    _label(figure, score, 0.0, "top", f"<b>{plain(score_words(score))}</b>", TEXT_PX + 1)
    for end, anchor in ((0, "right"), (1, "left")):
        figure.add_annotation(x=end, y=0, text=str(end), xanchor=anchor, xshift=24 * end - 12, showarrow=False)
    return figure


def score_bar_alt(score: float, threshold: float, interval: Interval | None, t: Translator) -> str:
    """What `score_bar_figure` shows, in words."""
    values = {"score": score_words(score), "point": _point_words(threshold, interval, t)}
    if score >= threshold:
        return t("Score {score}, at or above the operating point. {point}.", **values)
    return t("Score {score}, below the operating point. {point}.", **values)


def score_distribution_figure(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float, t: Translator, dark: bool
) -> go.Figure:
    """Scores of negative and positive cases on one grid of bins, with the operating point: how far the classes overlap.

    Args:
        y_true: (n,), 0 or 1.
        y_score: (n,), finite.
        threshold: The operating point.
        t: The reader's words.
        dark: Theme.

    Raises:
        UsageError: See `core.metrics.cases.binary_cases`.
    """
    data = (score_histogram(y_true, y_score), operating_point_metrics(y_true, y_score, threshold))
    return score_histogram_figure(*data, t, dark)


def score_histogram_figure(
    histogram: ScoreHistogram, point: OperatingPointMetrics, t: Translator, dark: bool
) -> go.Figure:
    """As `score_distribution_figure`, of what was counted and measured before."""
    threshold = point.threshold
    traces = [
        _bars(histogram, is_positive=False, colour=NEGATIVE, name=t("Negative"), t=t),
        _bars(histogram, is_positive=True, colour=POSITIVE, name=t("Positive"), t=t),
    ]
    title = [
        t("Scores by reference"),
        t("Sensitivity {interval}", interval=with_interval(point.sensitivity, t)),
        t("Specificity {interval}", interval=with_interval(point.specificity, t)),
        cases_line(t, point.n_positive, point.n_negative),
    ]
    figure = new_figure(traces, dark, title, 440)
    figure.update_layout(barmode="overlay", bargap=0.04)
    figure.update_layout(margin={"t": figure.layout.margin.t + 20})  # room for the label above the plot
    figure.update_xaxes(title=t("Score"), range=[float(histogram.edges[0]), float(histogram.edges[-1])])
    figure.update_yaxes(title=t("Per cent of each class"), rangemode="tozero")
    figure.add_vline(x=threshold, line={"color": theme(dark).text, "width": 3, "dash": "dot"})
    label = t("operating point {threshold}", threshold=threshold_words(threshold))
    _label(figure, threshold, 1.0, "bottom", label, TEXT_PX - 1)
    return figure


def score_distribution_alt(y_true: ArrayLike, y_score: ArrayLike, threshold: float, t: Translator) -> str:
    """What `score_distribution_figure` shows, in words."""
    return score_histogram_alt(operating_point_metrics(y_true, y_score, threshold), t)


def score_histogram_alt(point: OperatingPointMetrics, t: Translator) -> str:
    """What `score_histogram_figure` shows, in words."""
    return t(
        "Scores of both classes. At or above {threshold}: {positives} of the positive and {negatives} of the negative cases, "
        "{cases}.",
        threshold=threshold_words(point.threshold),
        positives=percent(point.sensitivity.value),
        negatives=percent(1 - point.specificity.value),
        cases=cases_line(t, point.n_positive, point.n_negative),
    )


def _two_ended(threshold: float) -> list[list[float | str]]:
    """Colour scale from green to red with its pale middle at the operating point."""
    middle = min(max(threshold, 0.001), 0.999)
    return [[0.0, NEGATIVE], [middle, _PALE], [1.0, POSITIVE]]


def _point_words(threshold: float, interval: Interval | None, t: Translator) -> str:
    if interval is None:
        return t("Operating point {threshold}", threshold=number(threshold))
    return t(
        "Operating point {threshold} (95 % CI {low} to {high})",
        threshold=number(threshold),
        low=number(interval.low),
        high=number(interval.high),
    )


def _label(figure: go.Figure, x: float, y: float, yanchor: str, text: str, size: int) -> None:
    """A label above or below the plot at `x`, turned inwards near an end so that it is not cut."""
    low, high = figure.layout.xaxis.range
    place = (x - low) / (high - low)
    xanchor = "left" if place < _EDGE else "right" if place > 1 - _EDGE else "center"
    figure.add_annotation(
        x=x, y=y, yref="paper", text=text, showarrow=False, xanchor=xanchor, yanchor=yanchor, font={"size": size}
    )


def _bars(histogram: ScoreHistogram, *, is_positive: bool, colour: str, name: str, t: Translator) -> go.Bar:
    counts = histogram.positives if is_positive else histogram.negatives
    total = histogram.n_positive if is_positive else histogram.n_negative
    return go.Bar(
        x=(histogram.edges[:-1] + histogram.edges[1:]) / 2,
        y=100 * counts / total,
        width=histogram.edges[1] - histogram.edges[0],
        customdata=[
            [low, high, count]
            for low, high, count in zip(histogram.edges[:-1], histogram.edges[1:], counts, strict=True)
        ],
        marker={"color": colour, "opacity": 0.65, "line": {"width": 0}},
        name=f"{name} (n = {total})",
        hovertemplate="<br>".join(
            [
                name,
                t("Score") + " %{customdata[0]:.2f} \u2013 %{customdata[1]:.2f}",
                t("Cases") + ": %{customdata[2]} (%{y:.1f}\u202f%)<extra></extra>",
            ]
        ),
    )
