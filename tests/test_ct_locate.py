"""The vertebral body is found where a drawn slice, a phantom and real slices say, and its mask stays inside the shell."""

import csv
from pathlib import Path

import numpy as np
import pytest
from io_files import read
from scipy.ndimage import gaussian_filter

from core.imaging.contours import closed_paths, polar_samples
from core.records import Frame, Study
from core.tasks.ct_osteoporosis.locate import ANGLES, SIDE_MM, Body, find_body, locate, roi_mean, trabecular_mask
from core.tasks.ct_osteoporosis.phantom import make_phantom

HALF_MM = (21.0, 16.0)  # of the drawn body, shell included
SHELL_MM = 2.0


def grid(side: int, spacing: float, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances in mm from the place (x, y), given in mm from the middle of the frame."""
    at = (np.arange(side) - (side - 1) / 2) * spacing
    return (at - x)[None, :], (at - y)[:, None]


def draw(
    side: int = 256,
    spacing: float = 1.4,
    trabecular: float = 150.0,
    body_mm: tuple[float, float] = (4.0, 25.0),
    tilt: float = 0.0,
) -> np.ndarray:
    """A trunk with a vertebra, an aorta full of contrast medium, a table and an arm; body_mm from the middle of the frame."""
    x, y = grid(side, spacing, *body_mm)
    u, v = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)

    def ellipse(at_u: float, at_v: float, half_u: float, half_v: float) -> np.ndarray:
        return np.hypot((u - at_u) / half_u, (v - at_v) / half_v) <= 1

    hu = np.full((side, side), -1000.0, np.float32)
    hu[ellipse(0, -25, 160, 115)] = -100
    hu[ellipse(0, -25, 145, 98)] = 45
    hu[ellipse(-205, -25, 18, 18)] = 45
    hu[ellipse(-205, -25, 9, 9)] = 800
    hu[(y > 105) & (y < 109) & np.isfinite(x)] = 300
    hu[ellipse(12, -30, 11, 11)] = 280
    hu[(np.abs(u) < 3.5) & (v > 34) & (v < 56)] = 350  # spinous process
    hu[ellipse(0, 26, 14, 12)] = 400  # arch and pedicles
    hu[ellipse(0, 0, *HALF_MM)] = 450
    hu[ellipse(0, 0, HALF_MM[0] - SHELL_MM, HALF_MM[1] - SHELL_MM)] = trabecular
    hu[ellipse(0, 26, 10.5, 8.5)] = 25
    hu[ellipse(0, 0, *HALF_MM) & ~ellipse(0, 0, HALF_MM[0] - SHELL_MM, HALF_MM[1] - SHELL_MM)] = 450
    noise = gaussian_filter(np.random.default_rng(3).standard_normal(hu.shape, np.float32), 0.7)
    return gaussian_filter(hu, 0.7 / spacing) + 15 * noise / noise.std()


def off_mm(body: Body | None, side: int, spacing: float, body_mm: tuple[float, float]) -> float:
    """Distance of the found centre from the drawn one."""
    assert body is not None
    middle = (side - 1) / 2
    return float(np.hypot((body.x - middle) * spacing - body_mm[0], (body.y - middle) * spacing - body_mm[1]))


@pytest.mark.parametrize("trabecular", [250.0, 130.0, 55.0])
@pytest.mark.parametrize("tilt", [0.0, 0.25])
def test_drawn_body_is_found_dense_or_porotic_straight_or_turned(trabecular: float, tilt: float) -> None:
    body = find_body(draw(trabecular=trabecular, tilt=tilt), (1.4, 1.4))
    assert off_mm(body, 256, 1.4, (4.0, 25.0)) < 4


def test_body_is_found_far_from_the_middle_of_a_wide_field() -> None:
    for place in [(-60.0, 40.0), (70.0, -30.0)]:
        hu = draw(side=400, spacing=1.7, body_mm=place)
        assert off_mm(find_body(hu, (1.7, 1.7)), 400, 1.7, place) < 4


def test_resolution_does_not_move_the_body() -> None:
    places = []
    for side, spacing in [(256, 1.4), (512, 0.7), (768, 0.4667)]:
        body = find_body(draw(side, spacing), (spacing, spacing))
        assert body is not None
        places.append([(body.x - (side - 1) / 2) * spacing, (body.y - (side - 1) / 2) * spacing, *body.radii_mm])
    assert np.ptp(np.array(places), axis=0)[:2].max() < 1.5
    assert np.ptp(np.array(places), axis=0)[2:].mean() < 1.5


def test_rows_and_columns_have_their_own_spacing() -> None:
    square = draw(side=512, spacing=0.7)
    body, flat = find_body(square, (0.7, 0.7)), find_body(square[::2], (1.4, 0.7))
    assert body is not None
    assert flat is not None
    assert (flat.x, 2 * flat.y + 0.5) == pytest.approx((body.x, body.y), abs=2)


@pytest.mark.parametrize("trabecular", [200.0, 55.0])
def test_mask_holds_the_roi_and_nothing_but_trabecular_bone(trabecular: float) -> None:
    hu, spacing = draw(side=512, spacing=0.7, trabecular=trabecular), (0.7, 0.7)
    body = find_body(hu, spacing)
    assert body is not None
    mask = trabecular_mask(body, hu.shape, spacing)
    x, y = grid(512, 0.7, 4.0, 25.0)
    assert mask.dtype == np.float32
    assert mask.shape == hu.shape
    assert mask[np.hypot(x / 8.5, y / 6.5) <= 1].min() == 1
    trabecular_bone = np.hypot(x / (HALF_MM[0] - SHELL_MM), y / (HALF_MM[1] - SHELL_MM)) <= 1
    assert mask[np.hypot(x / HALF_MM[0], y / HALF_MM[1]) > 1].max() == 0
    assert mask[~trabecular_bone].sum() < 0.01 * mask.sum()
    assert mask[trabecular_bone].mean() > 0.75


def test_edge_of_the_mask_is_soft() -> None:
    mask = trabecular_mask(Body(50.0, 40.0, np.full(len(ANGLES), 12.0), 1.0), (80, 100), (0.5, 0.5))
    profile = mask[40, 50:]
    assert profile[:22] == pytest.approx(1)  # 12 mm less 1.5 mm is 21 pixels
    assert profile[21:25] == pytest.approx([1, 2 / 3, 1 / 3, 0], abs=1e-5)
    assert mask.sum() * 0.25 == pytest.approx(np.pi * 11.25**2, rel=0.02)


def test_roi_is_an_ellipse_of_17_by_13_mm() -> None:
    hu = np.zeros((41, 41), np.float32)
    hu[20, 12:29] = 100  # 8 mm each side of the centre: the whole widest row
    hu[14:27, 20] += 10
    n_pixels = sum((x / 8.5) ** 2 + (y / 6.5) ** 2 <= 1 for x in range(-9, 10) for y in range(-7, 8))
    assert roi_mean(hu, (1.0, 1.0), 20.0, 20.0) == pytest.approx((17 * 100 + 13 * 10) / n_pixels)
    column_halved = np.repeat(hu, 2, axis=1)
    assert roi_mean(column_halved, (1.0, 0.5), 40.5, 20.0) == pytest.approx(
        roi_mean(hu, (1.0, 1.0), 20.0, 20.0), rel=0.1
    )


@pytest.mark.parametrize(
    ("x", "y"), [(7.5, 20.0), (32.9, 20.0), (20.0, 5.5), (20.0, 34.9), (-30.0, 20.0), (20.0, 90.0)]
)
def test_roi_that_leaves_the_frame_has_no_mean(x: float, y: float) -> None:
    assert np.isnan(roi_mean(np.ones((41, 41), np.float32), (1.0, 1.0), x, y))


def study(hu: np.ndarray, spacing: tuple[float, float] | None) -> Study:
    return Study((Frame(hu, "HU", spacing),), "0" * 64, "dicom")


def test_region_is_a_square_around_the_body() -> None:
    hu = draw()
    body = find_body(hu, (1.4, 1.4))
    assert body is not None
    (region,) = locate(study(hu, (1.4, 1.4)))
    x0, y0, x1, y1 = region.box_xyxy
    assert (region.source, region.laterality, region.mirrored) == ("proposed", None, False)
    assert ((x1 - x0) * 1.4, (y1 - y0) * 1.4) == pytest.approx((SIDE_MM, SIDE_MM))
    assert ((x0 + x1) / 2 - 0.5, (y0 + y1) / 2 - 0.5) == pytest.approx((body.x, body.y))


def test_slice_without_spacing_is_taken_at_four_fifths_of_a_millimetre() -> None:
    hu = draw(side=512, spacing=0.8)
    assert locate(study(hu, None)) == locate(study(hu, (0.8, 0.8)))


def test_slice_without_a_vertebra_has_no_body_but_a_region() -> None:
    x, y = grid(256, 1.0, 0.0, 0.0)
    thigh = np.where(np.hypot(x, y) < 80, 50, -1000).astype(np.float32)
    thigh[np.hypot(x + 10, y - 5) < 14] = 900
    assert find_body(thigh, (1.0, 1.0)) is None
    (region,) = locate(study(thigh, (1.0, 1.0)))
    x0, y0, x1, y1 = region.box_xyxy
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((118, 133), abs=6)
    for blank in (np.zeros((300, 200), np.float32), np.full((40, 30), -1024, np.float32)):
        assert find_body(blank, (1.0, 1.0)) is None
        assert np.isfinite(locate(study(blank, (1.0, 1.0)))[0].box_xyxy).all()


def test_colour_picture_gives_a_region_and_no_error() -> None:
    picture = Study((Frame(np.full((60, 80, 3), 90, np.uint8), "rgb"),), "0" * 64, "raster")
    assert np.isfinite(locate(picture)[0].box_xyxy).all()


def test_phantom_bodies_are_found_dense_and_porotic() -> None:
    distances = []
    for index in range(36):
        porotic = {"t_score": -4.2} if index % 2 else {}
        phantom = make_phantom(np.random.default_rng([21, index]), **porotic)
        frame = phantom.study().frame
        assert frame.spacing_mm is not None
        body = find_body(frame.pixels, frame.spacing_mm)
        assert body is not None
        x, y = phantom.truth["body_xy"]
        distances.append(np.hypot((body.x - x) * frame.spacing_mm[1], (body.y - y) * frame.spacing_mm[0]))
    assert sum(distance <= 5 for distance in distances) >= 35


def test_closed_path_follows_the_cheap_ring_and_bridges_a_gap() -> None:
    turns = np.arange(48) * 2 * np.pi / 48
    ring = np.rint(20 + 6 * np.cos(turns)).astype(int)
    cost = np.ones((2, 48, 40))
    cost[0, np.arange(48), ring] = 0
    cost[1, np.arange(48), ring[::-1]] = 0
    cost[:, 10:14] = 1
    first, second = closed_paths(cost, 0.02)
    seen = np.r_[0:10, 14:48]
    assert np.array_equal(first[seen], ring[seen])
    assert np.abs(first - ring).max() <= 2
    assert np.array_equal(second[seen], ring[::-1][seen])
    assert abs(int(first[0]) - int(first[-1])) <= 1  # closed


def test_polar_samples_go_from_x_towards_y() -> None:
    image = (np.arange(9)[None, :] + 10 * np.arange(9)[:, None]).astype(np.float32)
    turns = np.array([0, np.pi / 2, np.pi])
    samples = polar_samples(image, np.array([4.0, 3.0]), np.array([4.0, 5.0]), turns, np.array([0.0, 1.5]))
    assert samples == pytest.approx(
        np.array([[[44, 45.5], [44, 59], [44, 42.5]], [[53, 54.5], [53, 68], [53, 51.5]]]), abs=1e-4
    )


@pytest.mark.realdata
def test_real_slices(data_dir: Path) -> None:
    folder = data_dir / "ct_vertebra"
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    distances, differences = [], []
    for row in rows:
        frame = read((folder / row["file"]).read_bytes()).frame
        assert frame.spacing_mm is not None
        x, y = float(row["roi_x"]), float(row["roi_y"])
        assert roi_mean(frame.pixels, frame.spacing_mm, x, y) == pytest.approx(float(row["roi_hu"]), abs=3)
        body = find_body(frame.pixels, frame.spacing_mm)
        assert body is not None
        distances.append(np.hypot((body.x - x) * frame.spacing_mm[1], (body.y - y) * frame.spacing_mm[0]))
        differences.append(abs(roi_mean(frame.pixels, frame.spacing_mm, body.x, body.y) - float(row["roi_hu"])))
    assert np.mean(np.array(distances) <= 5) >= 0.9
    assert np.median(differences) < 10
