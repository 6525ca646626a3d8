"""The area of lesions over several photographs of one eye."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from core.figures.labels import SYMBOLS, hover
from core.figures.style import LABEL_COLOURS, new_figure, number, plain
from core.i18n import Translator

_HEIGHT_PX = 420


@dataclass(frozen=True)
class AreaCourse:
    """One label over the photographs of one eye.

    Attributes:
        id: A key of `LABEL_COLOURS`.
        name: What the reader calls it.
        shares: Share of the field of view in [0, 1], one a photograph in their order; None where it was not scored.
    """

    id: str
    name: str
    shares: tuple[float | None, ...]


def area_course_figure(courses: Sequence[AreaCourse], t: Translator, dark: bool) -> go.Figure:
    """Area of each label at each time point; a photograph that was not scored leaves a gap.

    Args:
        courses: At least one, all of the same photographs.
        t: The reader's words.
        dark: Theme.
    """
    traces = [
        go.Scatter(
            x=list(range(1, len(course.shares) + 1)),
            y=[None if share is None else 100 * share for share in course.shares],
            mode="lines+markers",
            line={"color": LABEL_COLOURS[course.id], "width": 3},
            marker={"size": 11, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            name=plain(course.name),
            hovertemplate=hover(plain(course.name), t("Time point") + " %{x}", "%{y:.3f}\u202f%"),
        )
        for place, course in enumerate(courses)
    ]
    figure = new_figure(
        traces, dark, [t("Area of the lesions at each time point"), _photographs(courses, t)], _HEIGHT_PX
    )
    n = len(courses[0].shares)
    figure.update_xaxes(
        title=t("Time point (order of the photographs)"), tickvals=list(range(1, n + 1)), range=[0.7, n + 0.3]
    )
    figure.update_yaxes(title=t("Area (% of the field of view)"), rangemode="tozero")
    figure.update_layout(showlegend=True)
    return figure


def area_course_alt(courses: Sequence[AreaCourse], t: Translator) -> str:
    """What `area_course_figure` shows, in words."""
    head = t(
        "Area of the lesions in per cent of the field of view at each time point, {n}.", n=_photographs(courses, t)
    )
    lines = [
        t("{label}: {values}.", label=course.name, values=", ".join(map(_reading, course.shares))) for course in courses
    ]
    return " ".join([head, *lines])


def _photographs(courses: Sequence[AreaCourse], t: Translator) -> str:
    shares = courses[0].shares
    return t("n = {n} of {total} photographs scored", n=len(shares) - shares.count(None), total=len(shares))


def _reading(share: float | None) -> str:
    return "\u2013" if share is None else number(100 * share, 3)
