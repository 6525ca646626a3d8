"""The sheet of paper: fonts of three languages, places in inches, text that never runs over its edge, and bytes at the end."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal
from unicodedata import east_asian_width

import pylopdf_fonts_ko
import pylopdf_fonts_zh_tw
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D

from core.figures.style import LIGHT
from core.i18n import Translator

INK, GRID, SURFACE, ACCENT = LIGHT.text, LIGHT.grid, LIGHT.surface, LIGHT.accent
TEXT_PT = 8.5  # of a figure of its own
TITLE = 1.2  # of a head, beside the text below it
LINE = 1.42  # height of a line beside its letters
LINE_WIDTH_PT = 1.6
_DPI = 200
_POINTS = 72  # an inch
_UNKNOWN = "\u25a1"  # in place of a letter that neither font has
_SPACES = {"\u202f": " ", "\u00a0": " ", "\t": " "}  # narrow spaces of the screen, which the fonts lack
# Neither file may name the program's version or the day: equal results give equal bytes.
_NO_DATE = {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}


@lru_cache(maxsize=2)
def _letters(path: Path) -> frozenset[int]:
    return frozenset(get_font(str(path)).get_charmap())


def _faces(language: str) -> tuple[Path, ...]:
    """Font files, the best for the language first; both hold the same Latin letters."""
    chinese, korean = pylopdf_fonts_zh_tw.sans_path(), pylopdf_fonts_ko.sans_path()
    return (korean, chinese) if language == "ko" else (chinese, korean)


def printable(text: str, language: str) -> tuple[Path, str]:
    """The font that has most letters of a text, and the text with a box in place of letters that it lacks."""
    plain = "".join(_SPACES.get(letter, letter) for letter in text if letter.isprintable() or letter in _SPACES)
    face = min(_faces(language), key=lambda path: sum(ord(letter) not in _letters(path) for letter in plain))
    return face, "".join(letter if ord(letter) in _letters(face) else _UNKNOWN for letter in plain)


def width_of(text: str, size_pt: float, language: str) -> float:
    """Width of a line in inches."""
    face, plain = printable(text, language)
    font = get_font(str(face))
    font.set_size(size_pt, _POINTS)
    font.set_text(plain, 0.0, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64 / _POINTS


def cut(text: str, width: float, size_pt: float, language: str) -> str:
    """The beginning of a text that is wider than `width` inches, with an ellipsis."""
    if width_of(text, size_pt, language) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        if width_of(text[:middle].rstrip() + "\u2026", size_pt, language) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "\u2026"


def wrapped(text: str, width: float, size_pt: float, language: str, most: int) -> list[str]:
    """A text in at most `most` lines, broken at spaces and between Chinese letters; the last line is cut."""
    lines: list[str] = []
    rest = text.strip()
    while rest and len(lines) < most - 1 and width_of(rest, size_pt, language) > width:
        ends = _breaks(rest)
        n_fitting = bisect_right(ends, width, key=lambda place: width_of(rest[:place].rstrip(), size_pt, language))
        if not n_fitting:
            break
        lines.append(rest[: ends[n_fitting - 1]].rstrip())
        rest = rest[ends[n_fitting - 1] :].lstrip()
    return [*lines, cut(rest, width, size_pt, language)] if rest else lines


def _breaks(text: str) -> list[int]:
    """Places where a line may end: after a space, and around a Chinese letter unless a mark follows."""
    found = []
    for place in range(1, len(text)):
        before, after = text[place - 1], text[place]
        is_between = "\u3400" <= before <= "\u9fff" and east_asian_width(after) == "W" and after.isalnum()
        if is_between or before in " \uff0c\u3002\uff1b\u3001\uff1a":
            found.append(place)
    return found


@dataclass(frozen=True)
class Panel:
    """A rectangle of a figure.

    Attributes:
        left, top, width, height: Inches; `top` from the upper edge of the figure.
        size_pt: Of its text.
    """

    figure: Figure
    t: Translator
    left: float
    top: float
    width: float
    height: float
    size_pt: float

    @property
    def line(self) -> float:
        """Height of a line, inches."""
        return LINE * self.size_pt / _POINTS

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        scale: float = 1.0,
        colour: str = INK,
        align: str = "left",
        width: float | None = None,
    ) -> None:
        """A line of text, cut where it is wider than `width`.

        Args:
            x, y: Of its upper edge, inches from the upper left corner of the panel.
            text: One line.
            scale: Of the letters.
            colour: Of the letters.
            align: "left", "right" or "center" of `x`.
            width: Inches there is room for; None = the panel.
        """
        size, language = self.size_pt * scale, self.t.language
        face, plain = printable(cut(text, self.width if width is None else width, size, language), language)
        across, down = self.figure.get_size_inches()
        self.figure.text(
            (self.left + x) / across,
            1 - (self.top + y) / down,
            plain,
            fontproperties=FontProperties(fname=str(face), size=size),
            color=colour,
            ha=align,
            va="top",
            parse_math=False,
        )

    def head(self, lines: Sequence[str]) -> float:
        """Title lines at the top, the first larger; the height they take, inches."""
        y = 0.0
        for place, text in enumerate(lines):
            scale = TITLE if place == 0 else 1.0
            self.write(0, y, text, scale=scale)
            y += self.line * scale
        return y

    def axes(self, *, left: float, top: float, right: float, bottom: float) -> Axes:
        """Empty axes with a quiet frame, `left` to `bottom` inches inside the panel."""
        across, down = self.figure.get_size_inches()
        width, height = self.width - left - right, self.height - top - bottom
        axes = self.figure.add_axes(
            ((self.left + left) / across, 1 - (self.top + top + height) / down, width / across, height / down)
        )
        for spine in axes.spines.values():
            spine.set_color(GRID)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, pad=3)
        return axes

    def ticks(self, axes: Axes, axis: str, values: Sequence[float], labels: Sequence[str]) -> None:
        """Ticks of an axis, "x" or "y", in the fonts of the panel."""
        drawn = axes.set_xticks(list(values)) if axis == "x" else axes.set_yticks(list(values))
        texts = [printable(label, self.t.language) for label in labels]
        made = (axes.set_xticklabels if axis == "x" else axes.set_yticklabels)([text for _, text in texts])
        assert len(drawn) == len(made)
        for label, (face, _) in zip(made, texts, strict=True):
            label.set_fontproperties(FontProperties(fname=str(face), size=0.9 * self.size_pt))
            label.set_color(INK)
            label.set_parse_math(False)

    def name_axes(self, axes: Axes, x: str, y: str) -> None:
        """Titles of both axes, cut to their length."""
        across, down = self.figure.get_size_inches()
        box = axes.get_position()
        for text, length, setter in ((x, box.width * across, axes.set_xlabel), (y, box.height * down, axes.set_ylabel)):
            face, plain = printable(cut(text, length, self.size_pt, self.t.language), self.t.language)
            words = setter(
                plain, fontproperties=FontProperties(fname=str(face), size=self.size_pt), color=INK, labelpad=3
            )
            words.set_parse_math(False)

    def label(self, axes: Axes, x: float, y: float, text: str, *, scale: float = 1.0, colour: str = INK) -> None:
        """Text in the middle of a place of the data."""
        face, plain = printable(text, self.t.language)
        font = FontProperties(fname=str(face), size=self.size_pt * scale)
        axes.text(x, y, plain, fontproperties=font, color=colour, ha="center", va="center", parse_math=False)

    def legend(self, y: float, entries: Sequence[tuple[str, str, str]]) -> None:
        """A row of marks with their names, `y` inches below the upper edge.

        Args:
            y: Inches.
            entries: Name, colour and style ("line", "dots", "area" or "diamond") each.
        """
        mark, gap = 2.2 * self.size_pt / _POINTS, 0.8 * self.size_pt / _POINTS
        widths = [width_of(name, 0.9 * self.size_pt, self.t.language) for name, _, _ in entries]
        starts = accumulate([mark + width + 2.2 * gap for width in widths], initial=0.0)
        across, down = self.figure.get_size_inches()
        middle = 1 - (self.top + y + self.line / 2.4) / down
        for (name, colour, style), start in zip(entries, starts, strict=False):
            x0, x1 = ((self.left + start) / across, (self.left + start + mark) / across)
            self.figure.add_artist(_mark((x0, x1), middle, colour, style, self.size_pt))
            self.write(start + mark + 0.7 * gap, y, name, scale=0.9, width=max(self.width - start - mark - gap, 0.1))


def _mark(x: tuple[float, float], y: float, colour: str, style: str, size_pt: float) -> Line2D:
    if style == "diamond":
        return Line2D([sum(x) / 2], [y], marker="D", color=colour, markeredgecolor=INK, markersize=0.7 * size_pt)
    width = size_pt if style == "area" else LINE_WIDTH_PT
    alpha = 0.65 if style == "area" else 1.0
    dashes: Literal[":", "-"] = ":" if style == "dots" else "-"
    return Line2D(x, [y, y], color=colour, linestyle=dashes, linewidth=width, alpha=alpha, solid_capstyle="butt")


def sheet(width: float, height: float) -> Figure:
    """An empty white figure of this size in inches."""
    return Figure(figsize=(width, height), facecolor="white", dpi=_DPI)


def to_png(figure: Figure) -> bytes:
    """The figure as a picture of 200 dots an inch."""
    buffer = BytesIO()
    canvas: Any = FigureCanvasAgg(figure)  # without types
    canvas.print_png(buffer, metadata={"Software": None}, pil_kwargs={"dpi": (_DPI, _DPI)})
    return buffer.getvalue()


def to_pdf(figures: Sequence[Figure], title: str) -> bytes:
    """A page a figure, with selectable text; `title` goes to the properties of the document."""
    buffer = BytesIO()
    with PdfPages(buffer, metadata={**_NO_DATE, "Title": title}) as pages:
        for figure in figures:
            canvas: Any = FigureCanvasPdf(figure)
            canvas.print_pdf(pages)
    return buffer.getvalue()
