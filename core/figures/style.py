"""One look for all figures: data colours, fonts, the plotly template of both themes, and how numbers are written."""

from dataclasses import dataclass
from functools import lru_cache
from html import escape
from math import floor, log10

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from core.i18n import Translator
from core.metrics.proportions import Interval

# Data colours: safe for colour-blind readers, the same in both themes and on every page (docs: PAGES).
NEGATIVE = "#2A9D8F"
POSITIVE = "#C1443C"
NEUTRAL = "#8A99A8"
HIGHLIGHT = "#E9A23B"
# Lesions by label, on a photograph and in every curve: far from each other and from an orange retina for every kind of colour
# vision, with a contrast of 3 to the page of either theme.
LABEL_COLOURS = {"haemorrhage": "#8B3DFF", "exudate": "#12A1B8"}
# Findings with boxes, on a grey film and beside a number that tells them apart for everybody (Okabe and Ito 2008).
BOX_COLOURS = {
    "cardiac_hypertrophy": "#E69F00",
    "aortic_atherosclerosis_calcification": "#F0E442",
    "aortic_curvature": "#D55E00",
    "intercostal_pleural_thickening": "#56B4E9",
    "lung_field_infiltration": "#009E73",
    "degenerative_joint_disease_of_the_thoracic_spine": "#CC79A7",
    "scoliosis": "#0072B2",
}
LINE_COLOUR = "#FFFFFF"  # of measured widths

FONTS = "Source Sans, Noto Sans TC, Noto Sans KR, sans-serif"
TEXT_PX = 15  # read from the back of a room on a projector 1024 pixels wide
TITLE_PX = 17
_TITLE_LINE_PX = 22
_TITLE_TOP_PX = 14
_CLASS_RANGE = {False: (0.0, 0.85), True: (0.3, 1.0)}  # light page, dark page
_NARROW_SPACE = "\u202f"
_MINUS = "\u2212"


@dataclass(frozen=True)
class Theme:
    """Colours that change with the theme.

    Attributes:
        text: Words, axes and markers.
        grid: Grid lines and borders.
        surface: Behind hover labels, and the pale end of colour scales.
        accent: Curves.
        band: `accent`, see-through, for intervals of curves.
    """

    text: str
    grid: str
    surface: str
    accent: str
    band: str


LIGHT = Theme("#13233A", "#D9E1E8", "#F3F6F8", "#0B7A75", "rgba(11, 122, 117, 0.18)")
DARK = Theme("#E6EDF5", "#2A3A4D", "#172230", "#3BB3AD", "rgba(59, 179, 173, 0.25)")


def theme(dark: bool) -> Theme:
    """The colours of one theme."""
    return DARK if dark else LIGHT


def class_colours(n_classes: int, dark: bool) -> list[str]:
    """Colours of ordered classes, lowest first, as "rgb(r, g, b)".

    Viridis rises evenly in lightness for every kind of colour vision (van der Walt & Smith 2015); the end that would vanish
    against the page is left out.

    Args:
        n_classes: At least two.
        dark: Theme.
    """
    first, last = _CLASS_RANGE[dark]
    return [
        str(colour)
        for colour in sample_colorscale(
            "Viridis", [first + (last - first) * i / (n_classes - 1) for i in range(n_classes)]
        )
    ]


@lru_cache(maxsize=2)
def template(dark: bool) -> go.layout.Template:
    """The plotly template: transparent, so that it lies on any page background; the legend below, so that it covers nothing."""
    colours = theme(dark)
    axis = {
        "gridcolor": colours.grid,
        "linecolor": colours.grid,
        "zerolinecolor": colours.grid,
        "automargin": True,
        "title": {"standoff": 10},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONTS, "size": TEXT_PX, "color": colours.text},
            "title": {"font": {"size": TITLE_PX}, "x": 0.0, "xref": "container", "xanchor": "left", "pad": {"l": 8}},
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "colorway": [colours.accent, HIGHLIGHT, NEGATIVE, POSITIVE, NEUTRAL],
            "hoverlabel": {
                "bgcolor": colours.surface,
                "bordercolor": colours.grid,
                "font": {"family": FONTS, "size": TEXT_PX, "color": colours.text},
                "align": "left",
            },
            "legend": {"orientation": "h", "x": 0.0, "y": -0.2, "yanchor": "top"},
            "margin": {"l": 60, "r": 20, "t": 100, "b": 60},
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def new_figure(traces: list[go.Scatter | go.Bar | go.Heatmap], dark: bool, title: list[str], height: int) -> go.Figure:
    """A figure with the template and a title of short lines, the first bold.

    Args:
        traces: What to draw.
        dark: Theme.
        title: Lines of at most some 45 characters: longer ones would be cut 480 pixels wide.
        height: In pixels, title included.
    """
    figure = go.Figure(traces)
    head, *rest = title
    figure.update_layout(
        template=template(dark),
        height=height,
        title={"text": "<br>".join([f"<b>{head}</b>", *rest]), "y": 1 - _TITLE_TOP_PX / height, "yanchor": "top"},
        margin={"t": 2 * _TITLE_TOP_PX + _TITLE_LINE_PX * len(title)},
    )
    return figure


def plain(text: str) -> str:
    """Text from a file or a person, so that plotly shows its tags instead of obeying them."""
    return escape(text, quote=False)


def number(value: float, digits: int = 2) -> str:
    """A number with fixed digits and a typographic minus; a value that rounds to zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", _MINUS)


def threshold_words(threshold: float) -> str:
    """A threshold with two digits after the point; one near 0, where that would say little, with two that count."""
    return number(threshold, 2 if threshold == 0 or abs(threshold) >= 0.1 else 1 - floor(log10(abs(threshold))))


def score_words(score: float) -> str:
    """A score in [0, 1] with two digits; one that would round to 0 or 1 is said to lie beside it, because no score is certain."""
    if score < 0.005:
        return "<\u202f0.01"
    return ">\u202f0.99" if score >= 0.995 else number(score)


def percent(share: float) -> str:
    """A share as whole per cent, with the thin space of the interface."""
    return f"{100 * share:.0f}{_NARROW_SPACE}%"


def probability_words(probability: float) -> str:
    """A probability as whole per cent; one that would round to 0 or 100 is said to lie beside it, because none is certain."""
    if probability < 0.005:
        return f"<{_NARROW_SPACE}1{_NARROW_SPACE}%"
    return f">{_NARROW_SPACE}99{_NARROW_SPACE}%" if probability >= 0.995 else percent(probability)


def with_interval(interval: Interval, t: Translator, digits: int = 2) -> str:
    """An estimate with its interval in brackets."""
    value, low, high = (number(x, digits) for x in (interval.value, interval.low, interval.high))
    return t("{value} (95 % CI {low} to {high})", value=value, low=low, high=high)


def cases_line(t: Translator, n_positive: int, n_negative: int) -> str:
    """How many cases, and of which class."""
    return t(
        "n = {n} ({n_positive} positive, {n_negative} negative)",
        n=n_positive + n_negative,
        n_positive=n_positive,
        n_negative=n_negative,
    )


def patients_line(t: Translator, n_cases: int, n_patients: int) -> str:
    """How many cases, and of how many patients where some have several."""
    if n_cases == n_patients:
        return f"n = {n_cases}"
    return t("n = {n} ({n_patients} patients)", n=n_cases, n_patients=n_patients)
