"""Pictures of an image with its explanation, region or mask on it."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from core.imaging.display import bands, to_bytes
from core.records import Heatmap, Region, Regions

# Control points of the inferno colour map (van der Walt and Smith 2015), 0 to 1
_INFERNO = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ],
    np.float32,
)
_REGION_COLOUR = (233, 162, 59)


def colour_map(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in [0, 1] to inferno RGB in [0, 255], float32 (H, W, 3)."""
    at = np.clip(values, 0, 1) * (len(_INFERNO) - 1)
    low = np.minimum(at.astype(int), len(_INFERNO) - 2)
    share = (at - low)[..., None]
    return _INFERNO[low] * (1 - share) + _INFERNO[low + 1] * share


def as_rgb(display: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Display values in [0, 1], grey or colour, as uint8 (H, W, 3)."""
    picture = to_bytes(display)
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _placed(heatmap: Heatmap, region: Region, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The map at its place in a frame of `shape`, zero elsewhere."""
    x0, y0, x1, y1 = region.box_xyxy
    left, top, right, bottom = round(x0), round(y0), round(x1), round(y1)
    size = (max(1, right - left), max(1, bottom - top))
    resized = np.asarray(Image.fromarray(heatmap.values).resize(size, Image.Resampling.BILINEAR))
    canvas = np.zeros(shape, np.float32)
    inner = (slice(max(0, top), min(shape[0], bottom)), slice(max(0, left), min(shape[1], right)))
    canvas[inner] = resized[inner[0].start - top : inner[0].stop - top, inner[1].start - left : inner[1].stop - left]
    return canvas


def blend(picture: NDArray[np.uint8], heatmaps: tuple[Heatmap, ...], strength: float) -> NDArray[np.uint8]:
    """Lay maps over a picture; transparency follows the map, so places without evidence stay as they are.

    Args:
        picture: uint8 (H, W, 3) in the geometry of the frame.
        heatmaps: Maps with their regions; maps without evidence are left out.
        strength: Opacity of the strongest evidence, 0 to 1.

    Returns:
        uint8 (H, W, 3).
    """
    placed = [_placed(heatmap, heatmap.region, picture.shape[:2]) for heatmap in heatmaps if heatmap.has_evidence]
    result = np.empty_like(picture)
    for rows in bands(len(picture)):
        part: NDArray[np.floating[Any]] = picture[rows].astype(np.float32)
        for values in placed:
            alpha = (strength * np.sqrt(values[rows]))[:, :, None]
            part = (1 - alpha) * part + alpha * colour_map(values[rows])
        result[rows] = np.rint(part)
    return result


def paint_masks(
    picture: NDArray[np.uint8], masks: Sequence[tuple[NDArray[np.bool_], str]], strength: float
) -> NDArray[np.uint8]:
    """Fill masks with their colours and outline them, so that a small one is seen at any opacity.

    Args:
        picture: uint8 (H, W, 3).
        masks: Boolean masks of any size that shows the same frame, each with a colour as "#rrggbb".
        strength: Opacity of the fill, 0 to 1; at 0 there is no outline either.
    """
    rows, columns = picture.shape[:2]
    result = picture.astype(np.float32)
    for mask, colour in masks:
        share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX))
        filled = share >= 0.5
        outline = (binary_dilation(filled) | (share > 0)) & ~filled  # of a piece smaller than a pixel, this is left
        rgb = np.array(ImageColor.getrgb(colour), np.float32)
        alpha = strength * filled + min(1.0, 2 * strength) * outline
        result += alpha[:, :, None] * (rgb - result)
    return np.rint(result).astype(np.uint8)


def draw_regions(picture: NDArray[np.uint8], regions: Regions) -> NDArray[np.uint8]:
    """Outline every region that is not the whole frame; line width follows the picture's size."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for region in (region for region in regions if region.source != "whole"):
        pen.rectangle(region.box_xyxy, outline=_REGION_COLOUR, width=max(1, round(max(picture.shape) / 300)))
    return np.asarray(image)


def add_caption(picture: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """The picture with lines of white text on black below it, as many as the width asks for.

    Args:
        picture: uint8 (H, W, 3).
        text: One sentence; broken between words.

    Returns:
        uint8 (H + strip, W, 3).
    """
    size = max(9, picture.shape[1] // 55)
    font = ImageFont.load_default(size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= picture.shape[1] - 12 or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    step = round(1.4 * size)
    strip = Image.new("RGB", (picture.shape[1], step * len(lines) + 8))
    pen = ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        pen.text((6, 4 + row * step), line, fill="white", font=font)
    return np.vstack([picture, np.asarray(strip)])


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """PNG file of a picture, without any text chunk."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
