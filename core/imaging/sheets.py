"""Pictures for screen and paper: the image at a readable size, and regions cut out of it with their explanation on them."""

from dataclasses import replace
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from core.imaging.overlay import as_rgb, blend
from core.imaging.resample import crop_resize, fit_within
from core.records import Heatmap, Region, ScreeningResult

LONGEST_PX = 1100
SMALLEST_PX = 880  # smaller images are enlarged, so that lines drawn on them stay sharp
TALL = 2.5  # higher than this, the regions stand enlarged beside the image


def readable(display: Any) -> tuple[Any, float]:
    """RGB bytes of a copy of a size to look at, and the factor from its pixels to those of the frame.

    Args:
        display: Display values in [0, 1], (H, W) or (H, W, 3).
    """
    rows, columns = display.shape[:2]
    if display.ndim == 2 and max(rows, columns) < SMALLEST_PX:
        factor = max(rows, columns) / SMALLEST_PX
        size = (round(rows / factor), round(columns / factor))
        return as_rgb(crop_resize(display, (0, 0, columns, rows), size)), factor
    small, factor = fit_within(display, LONGEST_PX)
    return as_rgb(small), factor


def scaled(region: Region, factor: float) -> Region:
    """The region in a copy of the frame of which a pixel is `factor` pixels of the frame."""
    x0, y0, x1, y1 = region.box_xyxy
    return replace(region, box_xyxy=(x0 / factor, y0 / factor, x1 / factor, y1 / factor))


def crop_pictures(
    display: Any, region: Region, heatmap: Heatmap | None, side: int, strength: float
) -> list[Image.Image]:
    """The region alone, and below its map where there is one.

    Args:
        display: Display values of the grey frame.
        region: What to cut.
        heatmap: Map of the region, None while no score is shown.
        side: Height and width of a picture, pixels.
        strength: Opacity of the strongest evidence, 0 to 1.
    """
    plain = as_rgb(crop_resize(display, region.box_xyxy, (side, side)).clip(0, 1))
    pictures = [plain]
    if heatmap is not None:
        whole = replace(region, box_xyxy=(0.0, 0.0, float(side), float(side)))
        pictures.append(blend(plain, (replace(heatmap, region=whole),), strength))
    return [_marked(Image.fromarray(picture), region) for picture in pictures]


def _marked(picture: Image.Image, region: Region) -> Image.Image:
    """The side of the body in the corner."""
    if region.laterality:
        size = max(12, picture.height // 14)
        ImageDraw.Draw(picture).text((size // 2, size // 3), region.laterality, "white", ImageFont.load_default(size))
    return picture


def tall_sheet(body: Image.Image, display: Any, result: ScreeningResult, strength: float, gap: int) -> Image.Image:
    """A whole-body picture on the left, and a row for each region on the right: alone, and with its map.

    The sheet has the same size with and without maps, so that nothing moves when the score appears.
    """
    maps: list[Heatmap | None] = [None] * len(result.regions)
    if result.gate.shows_score and result.explanation:
        maps = list(result.explanation.heatmaps)
    rows = max(1, len(result.regions))
    side = (body.height - (rows - 1) * gap) // rows
    sheet = Image.new("RGB", (body.width + 2 * (side + gap), body.height))
    sheet.paste(body, (0, 0))
    for row, (region, heatmap) in enumerate(zip(result.regions, maps, strict=True)):
        for column, picture in enumerate(crop_pictures(display, region, heatmap, side, strength)):
            sheet.paste(picture, (body.width + gap + column * (side + gap), row * (side + gap)))
    return sheet
