"""Slides for a talk: one figure each, with what it rests on below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR
from pptx.slide import Slide as Page
from pptx.util import Inches, Pt

WIDTH, HEIGHT = 13.333, 7.5  # inches
FIGURE = (11.6, 5.2)  # inches that a figure has
_EDGE, _TITLE, _CAPTION = 0.6, 0.75, 1.1
_colour: Any = RGBColor  # without types
_STATEMENT = _colour(0xB4, 0x53, 0x09)
_TITLE_PT, _CAPTION_PT = 26, 12
_BLANK = 6  # place of the empty layout among those of the library's template


@dataclass(frozen=True)
class Slide:
    """One figure.

    Attributes:
        title: One line.
        picture: PNG of FIGURE's shape.
        alt: What it shows, in words.
        caption: Lines: on whom, how, and by which command.
        statement: What the numbers are worth; stands on every slide.
    """

    title: str
    picture: bytes
    alt: str
    caption: Sequence[str]
    statement: str


def slides_pptx(slides: Sequence[Slide], title: str) -> bytes:
    """A presentation of 16 to 9, one slide a figure.

    Args:
        slides: In order.
        title: For the properties of the file.
    """
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    deck.core_properties.title, deck.core_properties.author = title, "Fivefold"
    for own in slides:
        page = deck.slides.add_slide(deck.slide_layouts[_BLANK])
        lines = [(own.title, _TITLE_PT, None)]
        _write(page, _EDGE / 2, _TITLE, lines)
        x, y = (WIDTH - FIGURE[0]) / 2, _EDGE / 2 + _TITLE
        shown = page.shapes.add_picture(
            BytesIO(own.picture), Inches(x), Inches(y), Inches(FIGURE[0]), Inches(FIGURE[1])
        )
        shown.name = own.title
        shown._element.nvPicPr.cNvPr.set("descr", own.alt)
        below = [*((line, _CAPTION_PT, None) for line in own.caption), (own.statement, _CAPTION_PT + 2, _STATEMENT)]
        _write(page, HEIGHT - _CAPTION - 0.1, _CAPTION, below)
    buffer = BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def _write(page: Page, top: float, height: float, lines: Sequence[tuple[str, int, RGBColor | None]]) -> None:
    """Lines of text over the whole width; a colour makes a line bold."""
    box = page.shapes.add_textbox(Inches(_EDGE), Inches(top), Inches(WIDTH - 2 * _EDGE), Inches(height))
    frame = box.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    for place, (text, size, colour) in enumerate(lines):
        paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
        run = paragraph.add_run()
        run.text, run.font.size = text, Pt(size)
        if colour is not None:
            run.font.bold, run.font.color.rgb = True, colour
