"""Display values, crops, discs and overlays, against pydicom, closed forms and plain loops."""

import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing

from core.imaging.circles import Circle, find_bright_disc, refine_radius
from core.imaging.display import apply_percentiles, apply_window, to_bytes, to_display, to_grey
from core.imaging.overlay import as_rgb, blend, colour_map, draw_regions, paint_masks, png_bytes
from core.imaging.resample import crop_resize, fit_within
from core.imaging.views import log_view, normalised_view
from core.records import Frame, Heatmap, Region


def smooth_picture(shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (np.sin(x / 9) + np.cos(y / 7)).astype(np.float32)


# --- display ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("center", "width"), [(2048, 4096), (40, 400), (-600, 1500), (127.5, 2), (1000.5, 1), (300, 77.5)]
)
def test_window_is_pydicoms(center: float, width: float) -> None:
    stored = np.arange(-1024, 3072, dtype=np.int16).reshape(64, 64)
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 16, 1
    dataset.WindowCenter, dataset.WindowWidth = center, width
    expected = apply_windowing(stored, dataset)
    expected = (expected + 2**15) / (2**16 - 1)  # its output spans the stored range
    ours = apply_window(stored.astype(np.float32), center, width)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() < 1e-5


def test_percentiles_stretch_and_clip() -> None:
    pixels = np.linspace(-50, 150, 10001, dtype=np.float32).reshape(1, -1)
    stretched = apply_percentiles(pixels, 10, 90)
    assert stretched == pytest.approx(np.clip((pixels + 30) / 160, 0, 1), abs=1e-5)


def test_constant_image_is_black_not_a_division_by_zero() -> None:
    assert not apply_percentiles(np.full((4, 4), 7, np.float32), 1, 99).any()


def test_chosen_window_comes_before_the_files_and_that_before_percentiles() -> None:
    pixels = np.linspace(0, 100, 10_000, dtype=np.float32).reshape(100, 100)
    frame = Frame(pixels, "relative", window=(50.0, 101.0))
    assert to_display(frame, (20.0, 11.0)) == pytest.approx(apply_window(pixels, 20, 11))
    assert to_display(frame) == pytest.approx(pixels / 100, abs=0.006)
    assert to_display(Frame(pixels * 5, "relative")) == pytest.approx(np.clip((pixels - 0.5) / 99, 0, 1), abs=1e-3)


def test_colour_is_shown_as_it_is_and_grey_by_its_luminance() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0], rgb[0, 1], rgb[1, 0], rgb[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    assert to_display(Frame(rgb, "rgb")) == pytest.approx(rgb / 255)
    expected = np.asarray(Image.fromarray(rgb).convert("L"))  # ITU-R BT.601 too
    assert to_grey(Frame(rgb, "rgb")) == pytest.approx(expected, abs=1)


def test_bytes_are_rounded_and_clipped() -> None:
    assert to_bytes(np.array([-0.2, 0, 0.001, 0.5, 0.9999, 1, 3], np.float32)).tolist() == [0, 0, 0, 128, 255, 255, 255]


# --- crops -----------------------------------------------------------------------------------------------------------


def test_crop_of_the_whole_frame_at_its_size_is_the_frame() -> None:
    pixels = smooth_picture()
    assert np.array_equal(crop_resize(pixels, (0, 0, 80, 60), (60, 80)), pixels)


def test_crop_at_whole_pixels_is_a_slice() -> None:
    pixels = smooth_picture()
    assert np.array_equal(crop_resize(pixels, (10, 20, 40, 50), (30, 30)), pixels[20:50, 10:40])


def test_crop_beyond_the_frame_continues_its_edge() -> None:
    pixels = smooth_picture()
    crop = crop_resize(pixels, (-15, -5, 95, 70), (75, 110))
    assert np.array_equal(crop, np.pad(pixels, ((5, 10), (15, 15)), mode="edge"))


def test_crop_shrinks_with_antialiasing() -> None:
    """The finest stripes become grey; picking every fourth pixel would keep them or lose them."""
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))
    shrunk = crop_resize(stripes, (0, 0, 64, 64), (16, 16))
    assert np.abs(shrunk - 0.5).max() < 0.1


def test_crop_keeps_places_and_means() -> None:
    pixels = np.zeros((120, 120), np.float32)
    pixels[60:72, 24:36] = 1
    shrunk = crop_resize(pixels, (0, 0, 120, 120), (40, 40))
    rows, columns = np.indices(shrunk.shape)
    assert (shrunk * rows).sum() / shrunk.sum() == pytest.approx(21.5, abs=0.02)
    assert (shrunk * columns).sum() / shrunk.sum() == pytest.approx(9.5, abs=0.02)
    assert shrunk.sum() * 9 == pytest.approx(pixels.sum(), rel=0.01)


def test_fit_within_tells_the_way_back() -> None:
    pixels = np.zeros((200, 500), np.float32)
    pixels[100:104, 400:404] = 1
    small, factor = fit_within(pixels, 100)
    row, column = np.unravel_index(small.argmax(), small.shape)
    assert small.shape == (40, 100)
    assert factor == 5
    assert (column + 0.5) * factor == pytest.approx(402, abs=factor)
    assert (row + 0.5) * factor == pytest.approx(102, abs=factor)
    same, factor = fit_within(pixels, 500)
    assert factor == 1
    assert np.array_equal(same, pixels)


# --- discs -----------------------------------------------------------------------------------------------------------


def disc_picture(x: float, y: float, radius: float, *, noise: float = 0.0, bright: bool = True) -> np.ndarray:
    """The shadow of a sphere, as a radiograph shows it, or a hole of that form."""
    rows, columns = np.mgrid[:120, :160]
    depth = np.sqrt(np.maximum(radius**2 - (columns - x) ** 2 - (rows - y) ** 2, 0)) / radius
    picture = depth if bright else 1 - depth
    return (picture + noise * np.random.default_rng(0).standard_normal(picture.shape)).astype(np.float32)


@pytest.mark.parametrize(("x", "y", "radius"), [(50.0, 40.0, 20.0), (110.0, 75.0, 31.0), (64.0, 62.0, 15.0)])
def test_bright_disc_is_found_with_its_radius(x: float, y: float, radius: float) -> None:
    picture = disc_picture(x, y, radius, noise=0.05)
    found = find_bright_disc(picture, np.geomspace(12, 40, 16), np.ones_like(picture))
    refined = refine_radius(picture, found)
    assert np.hypot(found.x - x, found.y - y) < 2
    assert refined.radius == pytest.approx(radius, abs=2)
    assert found.strength > 0.6


def test_disc_outside_the_prior_is_not_taken() -> None:
    picture = np.maximum(disc_picture(40, 60, 20), 0.5 * disc_picture(120, 60, 20))
    prior = np.zeros_like(picture)
    prior[:, 80:] = 1
    found = find_bright_disc(picture, np.geomspace(14, 28, 10), prior)
    assert np.hypot(found.x - 120, found.y - 60) < 2


def test_dark_disc_is_no_bright_one() -> None:
    picture = disc_picture(80, 60, 25, bright=False)
    radii = np.geomspace(20, 32, 8)
    assert find_bright_disc(picture, radii, np.ones_like(picture)).strength < 0.5
    assert find_bright_disc(1 - picture, radii, np.ones_like(picture)).strength > 0.8


def test_refined_radius_does_not_depend_on_the_start() -> None:
    picture = disc_picture(80, 60, 30, noise=0.02)
    radii = [refine_radius(picture, Circle(80, 60, 30 * start, 0.5)).radius for start in (0.85, 0.93, 1.0, 1.07, 1.15)]
    assert np.ptp(radii) < 0.1
    assert radii[0] == pytest.approx(30, abs=1.5)


def test_blank_image_gives_a_weak_disc_and_no_error() -> None:
    picture = np.zeros((60, 60), np.float32)
    found = refine_radius(picture, find_bright_disc(picture, np.array([10.0, 12.0]), np.ones_like(picture)))
    assert found.strength < 0.1
    assert np.isfinite([found.x, found.y, found.radius]).all()


# --- overlays --------------------------------------------------------------------------------------------------------


def spot(row: int, column: int, side: int = 20) -> np.ndarray:
    values = np.zeros((side, side), np.float32)
    values[row : row + 4, column : column + 4] = 1
    return values


def changed(before: np.ndarray, after: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box (x0, y0, x1, y1) of what differs."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


GREY = np.full((100, 150, 3), 90, np.uint8)


@pytest.mark.parametrize("values", [np.zeros((20, 20), np.float32), spot(2, 2)])
def test_without_positive_evidence_the_picture_stays_as_it_is(values: np.ndarray) -> None:
    heatmap = Heatmap(values, -0.1, Region((10, 10, 50, 50)))
    assert np.array_equal(blend(GREY, (heatmap,), 0.8), GREY)


def test_map_lies_at_the_place_of_its_region() -> None:
    heatmap = Heatmap(spot(8, 12), 2.0, Region((30.0, 40.0, 70.0, 80.0)))
    box = changed(GREY, blend(GREY, (heatmap,), 0.8))
    assert box == pytest.approx((30 + 24, 40 + 16, 30 + 32, 40 + 24), abs=2)  # two pixels of frame a pixel of the map


def test_region_that_leaves_the_frame_shows_its_visible_part() -> None:
    region = Region((-20.0, -20.0, 20.0, 20.0))
    hidden = blend(GREY, (Heatmap(spot(1, 1), 1.0, region),), 0.8)
    visible = blend(GREY, (Heatmap(spot(14, 12), 1.0, region),), 0.8)
    assert np.array_equal(hidden, GREY)
    x0, y0, x1, y1 = changed(GREY, visible)
    assert (x0, y0) >= (4 - 3, 8 - 3)
    assert (x1, y1) <= (12 + 3, 16 + 3)


def test_two_regions_get_their_own_maps() -> None:
    left = Heatmap(spot(8, 8), 1.0, Region((0, 0, 40, 40)))
    right = Heatmap(spot(8, 8), 1.0, Region((100, 50, 140, 90)))
    both = blend(GREY, (left, right), 0.8)
    assert np.array_equal(both[:, :75], blend(GREY, (left,), 0.8)[:, :75])
    assert np.array_equal(both[:, 75:], blend(GREY, (right,), 0.8)[:, 75:])


@pytest.mark.parametrize(("strength", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_strongest_evidence_has_the_chosen_opacity(strength: float, share: float) -> None:
    heatmap = Heatmap(np.ones((8, 8), np.float32), 1.0, Region((0, 0, 150, 100)))
    top = colour_map(np.array(1.0))
    assert blend(GREY, (heatmap,), strength)[50, 75] == pytest.approx((1 - share) * 90 + share * top, abs=1)


def test_colours_become_lighter_with_the_value() -> None:
    luminance = colour_map(np.linspace(0, 1, 256, dtype=np.float32)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()
    assert luminance[0] < 5
    assert luminance[-1] > 230


def test_colours_are_infernos() -> None:

    values = np.linspace(0, 1, 8, dtype=np.float32)
    assert colour_map(values) == pytest.approx(255 * colormaps["inferno"](values)[:, :3], abs=8)
    assert np.array_equal(colour_map(np.array([-1.0, 2.0])), colour_map(np.array([0.0, 1.0])))


def test_outline_runs_along_the_region() -> None:
    outlined = draw_regions(GREY, (Region((30, 20, 90, 70)),))
    assert changed(GREY, outlined) == (30, 20, 91, 71)
    assert np.array_equal(outlined[30:60, 40:80], GREY[30:60, 40:80])
    assert GREY.flags.writeable
    assert (GREY == 90).all()


def test_grey_display_becomes_rgb() -> None:
    picture = as_rgb(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert picture.tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]


def test_png_holds_the_picture_and_no_text() -> None:
    picture = as_rgb(apply_percentiles(smooth_picture(), 1, 99))
    data = png_bytes(picture)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened), picture)
    kinds, at = [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8].decode())
        at += 12 + length
    assert set(kinds) == {"IHDR", "IDAT", "IEND"}


def test_a_high_picture_is_blended_as_its_parts_are() -> None:
    """Pictures are worked on in bands of rows: no seam between them."""
    rng = np.random.default_rng(4)
    display = rng.random((700, 20)).astype(np.float32)
    picture = as_rgb(display)
    assert np.array_equal(picture, np.concatenate([as_rgb(part) for part in np.split(display, 7)]))
    values = np.linspace(0, 1, 700, dtype=np.float32)[:, None] * np.ones((1, 20), np.float32)
    whole = blend(picture, (Heatmap(values, 1.0, Region((0, 0, 20, 700))),), 0.6)
    parts = [
        blend(picture[rows], (Heatmap(values[rows], 1.0, Region((0, 0, 20, 100))),), 0.6)
        for rows in (slice(start, start + 100) for start in range(0, 700, 100))
    ]
    assert np.array_equal(whole, np.concatenate(parts))


def test_mask_is_filled_and_outlined_and_the_rest_stays() -> None:
    mask = np.zeros((100, 150), bool)
    mask[40:60, 50:80] = True
    painted = paint_masks(GREY, [(mask, "#ff0000")], 0.4)
    assert painted[50, 65] == pytest.approx(0.6 * GREY[50, 65] + 0.4 * np.array([255, 0, 0]), abs=1)
    assert painted[39, 65] == pytest.approx(0.2 * GREY[39, 65] + 0.8 * np.array([255, 0, 0]), abs=1)
    rest = np.ones(mask.shape, bool)
    rest[39:61, 49:81] = False
    assert np.array_equal(painted[rest], GREY[rest])
    assert np.array_equal(paint_masks(GREY, [(mask, "#ff0000")], 0.0), GREY)


def test_lesion_of_a_large_photograph_is_not_lost_in_a_small_picture() -> None:
    mask = np.zeros((400, 600), bool)
    mask[201:203, 301:303] = True  # a quarter of one pixel of the picture
    painted = paint_masks(GREY, [(mask, "#00ff00")], 0.5)
    assert (painted != GREY).any(axis=2).sum() >= 1


def test_other_views_of_a_radiograph() -> None:
    grey = np.exp(np.linspace(0, 8, 10_000)).reshape(100, 100).astype(np.float32)
    view = log_view(grey)
    assert (view.min(), view.max(), view.dtype) == (0, 1, np.float32)
    assert np.diff(view.ravel()).min() >= 0
    assert np.median(view) == pytest.approx(0.5, abs=0.1)  # an exponential ramp becomes a nearly even one
    assert log_view(grey - 50) == pytest.approx(view, abs=1e-4)
    symmetric = np.linspace(-1, 1, 10_000).reshape(100, 100).astype(np.float32)
    assert normalised_view(symmetric).mean() == pytest.approx(0.5, abs=1e-4)
    assert float(normalised_view(symmetric)[0, 0]) == pytest.approx(0.5 - np.sqrt(3) / 6, abs=1e-3)
    for constant in (log_view(np.full((9, 9), 4, np.float32)), normalised_view(np.full((9, 9), 4, np.float32)) - 0.5):
        assert not constant.any()
