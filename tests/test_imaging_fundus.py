"""The field of view of drawn discs, and a picture freed from illumination: a camera's changes go, a lesion's stay."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tiny_fundus import Circle, disc

from core.imaging.fundus import Field, find_field
from core.imaging.fundus import without_illumination as freed

SIDE = 160
INSIDE = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < SIDE / 2 - 1


def without_illumination(pixels: np.ndarray, mask: np.ndarray, reach: float = 0.04) -> np.ndarray:
    return freed(pixels, mask, reach)


def assert_is(found: Field | None, circle: Circle, longest: int) -> None:
    """To 1.5 pixels of the copy of 512 pixels on which the field is sought."""
    assert found is not None
    assert (found.x, found.y, found.radius) == pytest.approx(circle, abs=1.5 * max(1, longest / 512))


# --- the field -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "circle", "half_height"),
    [
        ((300, 300), (149.5, 149.5, 140), np.inf),
        ((300, 400), (180, 150, 160), 0.85),  # cut at top and bottom by the camera
        ((300, 300), (160, 140, 60), np.inf),  # small
        ((300, 300), (290, 150, 140), np.inf),  # half of it outside the frame
        ((300, 250), (100, 20, 130), np.inf),
        ((285, 429), (210, 142, 172), np.inf),  # IDRiD: the frame itself cuts top and bottom
        ((700, 1050), (520, 340, 330), 0.9),  # sought on a smaller copy
        ((1424, 2144), (1050, 710, 857), 0.81),
    ],
)
def test_circle_is_found_where_it_was_drawn(shape: tuple[int, int], circle: Circle, half_height: float) -> None:
    assert_is(find_field(disc(shape, circle, half_height)), circle, max(shape))


def test_notch_label_and_dust_do_not_move_the_circle() -> None:
    """Cameras mark the upright position by a notch, and print a name beside the field."""
    circle = (160, 150, 130)
    pixels = disc((300, 340), circle)
    pixels[130:170, 280:300] = 160  # a tab on the rim
    pixels[5:20, 5:70] = 255
    pixels[np.random.default_rng(1).random((300, 340)) < 0.002] = 200
    assert_is(find_field(pixels), circle, 340)


@pytest.mark.parametrize("level", [0.1, 0.4, 1.4])
def test_brightness_does_not_move_the_circle(level: float) -> None:
    circle = (150, 150, 130)
    assert_is(find_field(np.clip(level * disc((300, 300), circle), 0, 255).astype(np.uint8)), circle, 300)


def test_dark_half_of_the_fundus_belongs_to_the_field() -> None:
    """Uneven light: the right edge has a third of the left edge's."""
    circle = (150, 150, 130)
    light = np.linspace(1, 0.33, 300)[None, :, None]
    assert_is(find_field((light * disc((300, 300), circle)).astype(np.uint8)), circle, 300)


def test_same_picture_gives_the_same_field() -> None:
    pixels = disc((300, 300), (150, 150, 130))
    assert find_field(pixels) == find_field(pixels)


Y, X = np.mgrid[:300, :300] - 149.5
NO_FIELD = {
    "black": np.zeros((300, 300)),
    "lit all over": np.full((300, 300), 150),
    "noise": np.random.default_rng(2).integers(0, 255, (300, 300)),
    "square": 150 * (np.maximum(abs(X), abs(Y)) < 100),
    "hexagon": 150 * (np.maximum(abs(X), abs(X) / 2 + 0.866 * abs(Y)) < 120),
    "bar": 150 * ((abs(X) < 130) & (abs(Y) < 50)),
    "small disc": 150 * (np.hypot(X, Y) < 50),
    "many small discs": 150 * (np.hypot(X % 30 - 15, Y % 30 - 15) < 12),
}


@pytest.mark.parametrize("name", NO_FIELD)
def test_no_field_where_nothing_large_is_round(name: str) -> None:
    assert find_field(np.repeat(NO_FIELD[name].astype(np.uint8)[:, :, None], 3, axis=2)) is None


# --- illumination ----------------------------------------------------------------------------------------------------


def textured(seed: int = 3) -> np.ndarray:
    """Fine texture around 120, 80 and 40: float32 (SIDE, SIDE, 3)."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE, 3)), (1, 1, 0))
    return (np.array([120, 80, 40]) + 12 * noise).astype(np.float32)


def test_contrast_and_tint_of_the_camera_are_gone() -> None:
    pixels = textured()
    seen = without_illumination(pixels, INSIDE)
    other = without_illumination(pixels * np.float32([1.5, 0.7, 1]) + np.float32([-20, 10, 60]), INSIDE)
    assert (seen.shape, seen.dtype) == (pixels.shape, np.float32)
    assert np.abs(other - seen).max() < 2e-3


def test_slope_of_the_light_is_gone() -> None:
    slope = np.linspace(-40, 40, SIDE, dtype=np.float32)[None, :, None]
    seen, sloped = (without_illumination(pixels, INSIDE) for pixels in (textured(), textured() + slope))
    middle = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2)) < 0.38 * SIDE
    assert np.abs(sloped - seen)[middle].max() < 0.15
    assert np.corrcoef(sloped[INSIDE].ravel(), seen[INSIDE].ravel())[0, 1] > 0.97


def test_it_is_the_difference_from_the_mean_of_the_neighbourhood_within_the_field() -> None:
    """Against a Gaussian mean at full resolution."""
    pixels, width = textured(), 0.04 * SIDE
    seen = without_illumination(pixels, INSIDE)
    for channel in range(3):
        mean = gaussian_filter(pixels[:, :, channel] * INSIDE, width) / gaussian_filter(INSIDE.astype(float), width)
        wanted = (pixels[:, :, channel] - mean)[INSIDE]
        wanted /= 1.4826 * np.median(np.abs(wanted))
        assert np.abs(seen[:, :, channel][INSIDE] - wanted).mean() < 0.05
        assert 1.4826 * np.median(np.abs(seen[:, :, channel][INSIDE])) == pytest.approx(1, abs=1e-3)


def test_what_lies_beyond_the_field_makes_no_difference() -> None:
    pixels = textured()
    lit = np.where(INSIDE[:, :, None], pixels, 255)
    seen = without_illumination(pixels, INSIDE)
    assert np.array_equal(without_illumination(lit, INSIDE), seen)
    assert not seen[~INSIDE].any()


def test_lesion_keeps_its_sign_and_strength() -> None:
    """A dark and a bright spot of four standard deviations, small beside the neighbourhood."""
    pixels, spread = textured(), textured()[:, :, 1].std()
    pixels[50:54, 60:64, 1] = 80 - 4 * spread
    pixels[90:94, 100:104, 1] = 80 + 4 * spread
    seen = without_illumination(pixels, INSIDE)[:, :, 1]
    assert seen[50:54, 60:64].mean() == pytest.approx(-4, abs=0.6)
    assert seen[90:94, 100:104].mean() == pytest.approx(4, abs=0.6)


def test_saturated_colour_is_quiet() -> None:
    """Red at 255 in most of the field: the rounding of its last levels is not blown up into contrast."""
    pixels = textured()
    pixels[:, :, 0] = 255
    pixels[20:30, 60:90, 0] = 254
    seen = without_illumination(pixels, INSIDE)
    assert np.abs(seen[:, :, 0]).max() <= 2
    assert np.array_equal(seen[:, :, 1:], without_illumination(textured(), INSIDE)[:, :, 1:])


def test_empty_field_gives_zeros() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not without_illumination(textured(), np.zeros((SIDE, SIDE), bool)).any()


def test_larger_things_stay_at_a_larger_reach() -> None:
    """A dark spot as wide as the near reach is flattened by it, and not by the far one."""
    pixels = textured()
    rows, columns = np.indices(pixels.shape[:2])
    spot = np.hypot(rows - pixels.shape[0] / 2, columns - pixels.shape[1] / 2) < 0.08 * len(pixels)
    pixels = pixels - 30 * spot[..., None].astype(np.float32)
    near, far = (without_illumination(pixels, INSIDE, reach)[spot].mean() for reach in (0.04, 0.2))
    assert far < 2 * near < 0
