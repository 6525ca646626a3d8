"""A page A4 in the making: what every printed report of this program shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from core import __version__, registry
from core.figures.printed.style import INK, Panel, sheet, wrapped
from core.figures.style import HIGHLIGHT
from core.i18n import Translator

A4 = (8.27, 11.69)  # inches
EDGE = 0.55
TEXT_PT, SMALL_PT = 8.8, 6.6
GAP = 0.3  # between two columns


def question_words(task_id: str, question: str, t: Translator) -> str:
    """What a reader calls a question: the name of its label, of grades with "or worse"; else the question as it is."""
    task = registry.tasks().get(task_id)
    labels = {} if task is None else {label.id: label.name for label in task.labels}
    if question not in labels:
        return question
    name = t(labels[question])
    is_between = question in list(labels)[1:-1]
    return t("{grade} or worse", grade=name) if task and task.kind == "grader" and is_between else name


class Paper:
    """One page.

    Attributes:
        figure: The page.
        width: Between its margins, inches.
        column: Width of one of two columns, inches.
    """

    def __init__(self, t: Translator) -> None:
        self.t = t
        self.figure: Figure = sheet(*A4)
        self.width = A4[0] - 2 * EDGE
        self.column = (self.width - GAP) / 2

    def panel(self, left: float, top: float, width: float, height: float = 0.0, size_pt: float = TEXT_PT) -> Panel:
        """A rectangle of the page."""
        return Panel(self.figure, self.t, left, top, width, height, size_pt)

    def box(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        """A coloured rectangle behind the text."""
        across, down = A4
        place = (left / across, 1 - (top + height) / down)
        self.figure.add_artist(Rectangle(place, width / across, height / down, color=colour, linewidth=0, zorder=-1))

    def banner(self, top: float, words: str) -> float:
        """A sentence nobody may overlook, at most two lines over the whole width; where it ends. Nothing for no words."""
        if not words:
            return top
        panel = self.panel(EDGE + 0.08, top + 0.05, self.width - 0.16)
        lines = wrapped(words, panel.width, 1.1 * TEXT_PT, self.t.language, 2)
        height = 1.1 * panel.line * len(lines) + 0.1
        self.box(EDGE, top, self.width, height, HIGHLIGHT)
        for place, text in enumerate(lines):
            panel.write(0, 1.1 * panel.line * place, text, scale=1.1)
        return top + height + 0.12

    def last_line(self, top: float) -> None:
        """Program, version and what it is for, at the lower edge."""
        words = f"Fivefold {__version__} \u00b7 " + self.t("research use, not a medical device")
        self.panel(EDGE, 0, self.width, size_pt=SMALL_PT).write(0, top, words, scale=1.3, colour=INK)


@dataclass
class Text:
    """Lines that are placed once their number is known.

    Attributes:
        width: Inches.
        size_pt: Of its letters.
        cells: Of every line: height above it in lines, and x in inches, text, width, scale and colour of its parts.
    """

    t: Translator
    width: float
    size_pt: float = TEXT_PT
    cells: list[tuple[float, list[tuple[float, str, float, float, str]]]] = field(default_factory=list)
    height: float = 0.0

    def _add(self, gap: float, scale: float, parts: list[tuple[float, str, float, float, str]]) -> None:
        line = Panel(Figure(), self.t, 0, 0, 0, 0, self.size_pt).line
        self.cells.append((self.height + gap * line, parts))
        self.height += (gap + scale) * line

    def head(self, words: str, colour: str = INK) -> None:
        """A title with room above it."""
        gap = 0.6 if self.cells else 0.0
        self._add(gap, 1.25, [(0.0, words, self.width, 1.15, colour)])

    def say(self, words: str, most: int = 2, x: float = 0.0, scale: float = 1.0, colour: str = INK) -> None:
        """A sentence in at most `most` lines, `x` inches from the left."""
        room = self.width - x
        for line in wrapped(words, room, scale * self.size_pt, self.t.language, most):
            self._add(0, scale, [(x, line, room + 0.02, scale, colour)])

    def row(self, parts: Sequence[tuple[float, str]], colour: str = INK, scale: float = 1.0) -> None:
        """Cells of a table; each is cut where the next begins.

        Args:
            parts: Left edge in inches and text of each, from left to right.
            colour: Of the letters.
            scale: Of the letters.
        """
        edges = [*[x for x, _ in parts][1:], self.width + 0.08]
        cells = [(x, words, edge - x - 0.08, scale, colour) for (x, words), edge in zip(parts, edges, strict=True)]
        self._add(0, 1.0, cells)

    def named(self, name: str, value: str, x: float, most: int = 2) -> None:
        """A name, and its value `x` inches from the left in at most `most` lines."""
        lines = wrapped(value, self.width - x, self.size_pt, self.t.language, most) or ["\u2013"]
        for place, line in enumerate(lines):
            self.row([(0.0, "" if place else name), (x, line)])

    def draw(self, page: Paper, left: float, top: float) -> float:
        """Write everything; where it ends."""
        panel = page.panel(left, top, self.width, size_pt=self.size_pt)
        for y, parts in self.cells:
            for x, words, width, scale, colour in parts:
                panel.write(x, y, words, width=width, scale=scale, colour=colour)
        return top + self.height
