"""The picture of a result: image and overlay on one black sheet, as bytes small enough to send."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from PIL import Image

from core.figures.style import LABEL_COLOURS
from core.imaging.agreement_map import agreement_map
from core.imaging.boxes import draw_boxes
from core.imaging.corners import hide_corners
from core.imaging.display import regions_window, to_display, to_grey
from core.imaging.overlay import as_rgb, blend, draw_regions, paint_masks
from core.imaging.resample import fit_within
from core.imaging.sheets import TALL, crop_pictures, readable, scaled, tall_sheet
from core.imaging.views import VIEWS
from core.io.reader import shared_reader
from core.manifest import Manifest
from core.records import Frame, Heatmap, ScreeningResult
from core.reports.case_pdf import case_pdf
from core.reports.case_pictures import marked_and_overlay
from core.reports.dicom_objects import plan_objects, zip_files
from core.reports.overlay_png import drawn_boxes, overlay_png
from pages.parts.corners import corners_hidden

_GAP_PX = 6
_MAX_PNG_BYTES = 900_000
_JPEG_QUALITY = 90
_WIDE = 1.25  # wider than this, image and overlay stand one above the other
_CROP_PX = 420

Layout = Literal["auto", "beside", "stacked", "overlay"]


@dataclass(frozen=True)
class Look:
    """How an image is shown; nothing here changes the score.

    Attributes:
        window: Center and width in the frame's units, None = as the file asks.
        view: One of VIEWS in place of a window, "" = through the window.
        inverted: Dark for bright.
        strength: Opacity of the strongest evidence, 0 to 1.
        layout: How image and overlay stand together.
        hidden: Labels whose masks are not shown.
        fill: Opacity of masks, 0 to 1.
        has_lines: With the lines of what was measured.
        hides_corners: With black corners, as the reader chose for the whole session.
    """

    window: tuple[float, float] | None = None
    view: str = ""
    inverted: bool = False
    strength: float = 0.55
    layout: Layout = "auto"
    hidden: tuple[str, ...] = ()
    fill: float = 0.5
    has_lines: bool = True
    hides_corners: bool = field(default_factory=corners_hidden)


def sheet_bytes(result: ScreeningResult, look: Look) -> bytes:
    """PNG or JPEG of the image, with its masks, beside its overlay; of the image alone while no score is shown."""
    frame = result.study.frame
    picture, factor = readable(_display(frame, look))
    regions = tuple(scaled(region, factor) for region in result.regions)
    outlined = draw_regions(picture, regions)
    rows, columns = picture.shape[:2]
    if rows > TALL * columns and look.layout == "auto":
        sheet = tall_sheet(Image.fromarray(outlined), _region_display(result, look), result, look.strength, _GAP_PX)
        return _encoded(sheet)
    if not result.gate.shows_score:
        return _encoded(_sheet([Image.fromarray(outlined)], look.layout, parts=2))
    marked, overlay = marked_and_overlay(
        result,
        picture,
        factor,
        strength=look.strength,
        fill=look.fill,
        hidden=look.hidden,
        has_lines=look.has_lines,
    )
    parts = [overlay] if look.layout == "overlay" else [marked, overlay]
    return _encoded(_sheet([Image.fromarray(part) for part in parts], look.layout, parts=len(parts)))


def boxes_picture(result: ScreeningResult, together: Heatmap, look: Look) -> bytes:
    """The image with one map made of those of all boxes, each box drawn."""
    picture, factor = readable(_display(result.study.frame, look))
    placed = replace(together, region=scaled(together.region, factor))
    blended = blend(picture, (placed,), look.strength)
    return _encoded(Image.fromarray(draw_boxes(blended, drawn_boxes(result, factor))))


def overlay_picture(result: ScreeningResult, strength: float, longest_px: int) -> bytes:
    """The image with map and boxes, small."""
    small, factor = fit_within(_display(result.study.frame, Look()), longest_px)
    placed = tuple(replace(heatmap, region=scaled(heatmap.region, factor)) for heatmap in heatmaps(result))
    return _encoded(Image.fromarray(draw_boxes(blend(as_rgb(small), placed, strength), drawn_boxes(result, factor))))


def small_pictures(result: ScreeningResult, look: Look, longest_px: int) -> tuple[bytes, bytes]:
    """The image alone, and with its masks whatever the gate says: the page shows the second only with a score."""
    small, _ = fit_within(_display(result.study.frame, look), longest_px)
    picture = as_rgb(small)
    marked = paint_masks(picture, _masks(result, look), look.fill)
    return _encoded(Image.fromarray(picture)), _encoded(Image.fromarray(marked))


def agreement_picture(result: ScreeningResult, masks: tuple[Any, Any], look: Look) -> bytes:
    """Where two masks of the frame agree."""
    picture, _ = readable(_display(result.study.frame, look))
    return _encoded(Image.fromarray(agreement_map(picture, *masks)))


def region_sheet(result: ScreeningResult, look: Look, index: int) -> bytes:
    """One region enlarged: alone, and with its map; for results that show a score."""
    display = _region_display(result, look)
    pictures = crop_pictures(display, result.regions[index], heatmaps(result)[index], _CROP_PX, look.strength)
    return _encoded(_sheet(pictures, "beside", parts=len(pictures)))


def branch_sheet(result: ScreeningResult, look: Look, branch: str) -> bytes:
    """The first region with the map of one branch, of all together for ""; for results that show a score."""
    assert result.explanation is not None
    maps = result.explanation.branches[branch] if branch else result.explanation.heatmaps
    display = _region_display(result, look)
    picture = crop_pictures(display, result.regions[0], maps[0], _CROP_PX, look.strength)[-1]
    return _encoded(picture)


def overlay_to_save(result: ScreeningResult, look: Look) -> bytes:
    """The overlay at the size of the frame, without losses, as PNG."""
    return overlay_png(result, _display(result.study.frame, look), look.strength)


def frame_picture(frame: Frame) -> tuple[Image.Image, float]:
    """A frame alone, and the factor from its pixels to those of the frame."""
    picture, factor = readable(_display(frame, Look()))
    return Image.fromarray(picture), factor


def report_to_save(
    result: ScreeningResult, manifest: Manifest, look: Look, language: str, *, has_patient: bool
) -> bytes:
    """The report as PDF, with the image as it is shown."""
    return case_pdf(
        result,
        manifest,
        display=_display(result.study.frame, look),
        made_at=datetime.now(UTC),
        language=language,
        strength=look.strength,
        has_patient=has_patient,
    )


def objects_to_save(result: ScreeningResult, manifest: Manifest, look: Look, language: str) -> bytes:
    """A zip file of de-identified DICOM objects, with the image as it is shown."""
    now, display = datetime.now(UTC), _display(result.study.frame, look)
    report = case_pdf(
        result, manifest, display=display, made_at=now, language=language, strength=look.strength, has_patient=False
    )
    plan = plan_objects(result, manifest, display=display, report=report, made_at=now, strength=look.strength)
    return zip_files(shared_reader().derive(plan))


def plain_picture(result: ScreeningResult, look: Look) -> tuple[Image.Image, float]:
    """The image alone, and the factor from its pixels to those of the frame; for drawing a region on it."""
    picture, factor = readable(_display(result.study.frame, look))
    return Image.fromarray(picture), factor


def heatmaps(result: ScreeningResult) -> tuple[Heatmap, ...]:
    """The maps of a result, none where it has no explanation."""
    return result.explanation.heatmaps if result.explanation else ()


def _masks(result: ScreeningResult, look: Look) -> list[tuple[Any, str]]:
    """Masks that are shown, each with the colour of its label."""
    findings = result.prediction.findings if result.prediction else ()
    return [
        (finding.mask, LABEL_COLOURS[finding.label])
        for finding in findings
        if finding.mask is not None and finding.label not in look.hidden
    ]


def _display(frame: Frame, look: Look) -> Any:
    shown = VIEWS[look.view](to_grey(frame)) if look.view else to_display(frame, look.window)
    shown = 1 - shown if look.inverted else shown
    return hide_corners(shown) if look.hides_corners else shown


def _region_display(result: ScreeningResult, look: Look) -> Any:
    """Display values for enlarged regions: counts get a window of their own, because the bladder outshines every knee."""
    frame = result.study.frame
    if frame.unit == "counts" and look.window is None:
        look = replace(look, window=regions_window(frame, [region.box_xyxy for region in result.regions]))
    return _display(frame, look)


def _sheet(pictures: Sequence[Image.Image], layout: Layout, parts: int) -> Image.Image:
    """`pictures` centred on a black sheet with room for `parts` of them, so that nothing moves when the overlay appears."""
    width, height = pictures[0].size
    is_stacked = layout == "stacked" or (layout == "auto" and width > _WIDE * height)
    across, down = (1, parts) if is_stacked else (parts, 1)
    size = (across * width + (across - 1) * _GAP_PX, down * height + (down - 1) * _GAP_PX)
    sheet = Image.new("RGB", size)
    if len(pictures) < parts:
        sheet.paste(pictures[0], ((size[0] - width) // 2, (size[1] - height) // 2))
        return sheet
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (0, index * (height + _GAP_PX)) if is_stacked else (index * (width + _GAP_PX), 0))
    return sheet


def _encoded(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=3)
    if buffer.tell() > _MAX_PNG_BYTES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
