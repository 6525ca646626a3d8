"""The score of one patient over several screenings, with the operating point of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import plotly.graph_objects as go

from core.figures.labels import hover
from core.figures.style import NEGATIVE, POSITIVE, new_figure, number, plain, theme
from core.i18n import Translator

_HEIGHT_PX = 400
_TIME = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class CoursePoint:
    """One screening.

    Attributes:
        time: When it was screened, UTC.
        score: In [0, 1].
        threshold: Of the operating point in force then; None where the result does not say it.
        positive: At or above it; None where nobody has chosen one.
    """

    time: datetime
    score: float
    threshold: float | None
    positive: bool | None


def score_course_figure(points: Sequence[CoursePoint], name: str, t: Translator, dark: bool) -> go.Figure:
    """Scores as diamonds at or above their operating point and as circles below it, and the operating point as a dotted line.

    Args:
        points: At least one, by time.
        name: Of the finding.
        t: The reader's words.
        dark: Theme.
    """
    times = [point.time for point in points]
    traces = [
        go.Scatter(
            x=times,
            y=[point.score for point in points],
            mode="lines+markers",
            line={"color": theme(dark).accent, "width": 2},
            marker={
                "size": 14,
                "color": [POSITIVE if point.positive else NEGATIVE for point in points],
                "symbol": ["diamond" if point.positive else "circle" for point in points],
            },
            cliponaxis=False,  # a score of 1 lies on the edge
            name=t("Score"),
            hovertemplate=hover("%{x|%Y-%m-%d %H:%M}", t("Score") + " %{y:.3f}"),
        )
    ]
    if any(point.threshold is not None for point in points):
        traces.append(
            go.Scatter(
                x=times,
                y=[point.threshold for point in points],
                mode="lines+markers" if len(points) == 1 else "lines",
                line={"color": theme(dark).text, "width": 2, "dash": "dot", "shape": "hv"},
                name=t("Operating point"),
                hovertemplate=hover(t("Operating point") + " %{y:.3f}"),
            )
        )
    figure = new_figure(traces, dark, [plain(name), f"n = {len(points)}"], _HEIGHT_PX)
    figure.update_xaxes(title=t("Time of the screening (UTC)"), tickformat="%Y-%m-%d", nticks=4)
    figure.update_yaxes(title=t("Score"), range=[-0.03, 1.03])
    figure.update_layout(showlegend=True, legend={"y": -0.3})
    return figure


def score_course_alt(points: Sequence[CoursePoint], name: str, t: Translator) -> str:
    """What `score_course_figure` shows, in words."""
    readings = ", ".join(f"{point.time:{_TIME}}: {number(point.score, 3)}" for point in points)
    return t("{label}, score at each screening: {values}.", label=name, values=readings)
