from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from core.errors import UsageError
from core.tasks.chest_lesions.composite import FINDINGS, Composite, compose, disturb
from core.tasks.chest_lesions.composite.tone import add_shadow
from core.tasks.chest_lesions.composite.warp import Warp, push_border
from core.tasks.chest_lesions.landmarks import Landmarks, mask_box
from tests.test_chest_landmarks import KNOB, drawn_masks, landmarks_of, read_masks

HEART, CALCIUM, AORTA, APEX, LUNG, WEAR, CURVE = FINDINGS
NOISE = 0.01
# mm beside, and above and below the boxes, that may change
AROUND = {
    HEART: (55, 30),
    CALCIUM: (3, 3),
    AORTA: (55, 25),
    APEX: (14, 6),
    LUNG: (26, 26),
    WEAR: (3, 12),
    CURVE: (95, 130),
}


@pytest.fixture(scope="module")
def landmarks() -> Landmarks:
    return landmarks_of(drawn_masks(heart_half=60))


def drawn_film(landmarks: Landmarks, noise: float = NOISE) -> NDArray[np.float32]:
    """Grey lungs, bright heart, a brighter spine; the masks' edges are those of the film."""
    masks = landmarks.masks
    film = np.full(masks.heart.shape, 0.7)
    film[masks.right_lung | masks.left_lung] = 0.25
    film[:, 177:203] += 0.08
    film += noise * np.random.default_rng(0).standard_normal(film.shape)
    return np.clip(film, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def film(landmarks: Landmarks) -> NDArray[np.float32]:
    return drawn_film(landmarks)


def draw(film: NDArray[np.float32], landmarks: Landmarks, seed: int = 1, **findings: float) -> Composite:
    return compose(film, landmarks, findings, np.random.default_rng(seed))


def lung_gap(film: NDArray[np.float32], rows: slice) -> tuple[int, int]:
    """Columns (first, last + 1) of what is bright between the lungs, over these rows: a reading without any mask."""
    lung = gaussian_filter(film, 1)[rows] < 0.48
    middle = 200
    first = [row[:middle].nonzero()[0].max() + 1 for row in lung if row[:middle].any()]
    last = [row[middle:].nonzero()[0].min() + middle for row in lung if row[middle:].any()]
    return min(first), max(last)


# --- all findings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", FINDINGS)
def test_only_the_surroundings_of_the_boxes_change(label: str, film: NDArray[np.float32], landmarks: Landmarks) -> None:
    for seed in range(3):
        made = draw(film, landmarks, seed, **{label: 0.85})
        assert {found for found, _ in made.boxes} == {label}
        allowed, inner = np.zeros(film.shape, bool), np.zeros(film.shape, bool)
        for _, (x0, y0, x1, y1) in made.boxes:
            beside, above = AROUND[label]
            allowed[max(int(y0 - above), 0) : int(y1 + above), max(int(x0 - beside), 0) : int(x1 + beside)] = True
            inner[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
        change = np.abs(made.film - film)
        assert not change[~allowed].any()
        assert change[inner].mean() > 4 * change.mean() * inner.mean()
        assert made.film.dtype == np.float32
        assert made.film.min() >= 0
        assert made.film.max() <= 1


@pytest.mark.parametrize("label", FINDINGS)
def test_a_worse_finding_changes_more_and_has_boxes_from_the_limit_on(
    label: str, film: NDArray[np.float32], landmarks: Landmarks
) -> None:
    small = landmarks_of(drawn_masks(heart_half=55))  # a ratio of 0.38: every severity enlarges it
    base, found = (drawn_film(small), small) if label == HEART else (film, landmarks)
    made = {severity: draw(base, found, **{label: severity}) for severity in (0.0, 0.3, 0.6, 0.9)}
    changes = [np.abs(one.film - base).sum() for one in made.values()]
    assert changes == sorted(changes)
    assert [bool(one.boxes) for one in made.values()] == [False, False, True, True]


def test_the_same_seed_gives_the_same_film_and_findings_do_not_disturb_each_other(
    film: NDArray[np.float32], landmarks: Landmarks
) -> None:
    everything = dict.fromkeys(FINDINGS, 0.8)
    first, again = (draw(film, landmarks, 5, **everything) for _ in range(2))
    assert np.array_equal(first.film, again.film)
    assert first.boxes == again.boxes
    assert [label for label in FINDINGS if label in dict(first.boxes)] == list(dict(first.boxes))
    assert len(dict(first.boxes)) == len(FINDINGS)
    assert not np.array_equal(first.film, draw(film, landmarks, 6, **everything).film)
    alone, both = draw(film, landmarks, 5, **{APEX: 0.8}), draw(film, landmarks, 5, **{APEX: 0.8, LUNG: 0.8})
    assert alone.boxes == both.boxes[: len(alone.boxes)]
    top = int(max(box[3] for _, box in alone.boxes)) + 1
    lungs_box = min(box[1] for label, box in both.boxes if label == LUNG) - 40
    assert np.array_equal(alone.film[: int(min(top, lungs_box))], both.film[: int(min(top, lungs_box))])


def test_no_finding_leaves_the_film_as_it_is(film: NDArray[np.float32], landmarks: Landmarks) -> None:
    made = draw(film, landmarks)
    assert np.array_equal(made.film, film)
    assert made.boxes == ()
    assert made.landmarks is landmarks


def test_what_cannot_be_drawn_is_refused(film: NDArray[np.float32], landmarks: Landmarks) -> None:
    with pytest.raises(UsageError, match="known"):
        draw(film, landmarks, measles=0.5)
    with pytest.raises(UsageError, match="severity"):
        draw(film, landmarks, **{HEART: 1.2})
    with pytest.raises(UsageError, match="severity"):
        draw(film, landmarks, **{HEART: float("nan")})
    with pytest.raises(UsageError, match="wanted: float32"):
        draw(film[:-1], landmarks, **{HEART: 0.5})
    with pytest.raises(UsageError, match="0 to 1"):
        draw(film * 255, landmarks, **{HEART: 0.5})
    with pytest.raises(UsageError, match="brighter"):
        draw(1 - film, landmarks, **{LUNG: 0.5})


def test_shadows_add_up_and_end_at_white() -> None:
    film = np.linspace(0, 1, 101, dtype=np.float32)[None]
    faint, strong = (add_shadow(film, np.full(film.shape, rise, np.float32)) for rise in (0.02, 5.0))
    np.testing.assert_allclose(faint[0, :80] - film[0, :80], 0.02, rtol=0.06)
    assert np.all(np.diff(faint[0]) >= 0)
    assert strong.max() == faint.max() == 1
    assert strong.min() > 0.99
    assert np.array_equal(add_shadow(film, np.zeros(film.shape, np.float32)), film)


# --- heart -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_heart_is_enlarged_to_the_drawn_ratio_on_mask_and_film(landmarks: Landmarks, seed: int) -> None:
    clean = drawn_film(landmarks, noise=0)
    made = draw(clean, landmarks, seed, **{HEART: 0.7})  # 0.548 is asked for
    assert made.landmarks.width.ratio == pytest.approx(0.548, abs=0.006)
    assert dict(made.boxes)[HEART] == mask_box(made.landmarks.masks.heart)
    first, last = lung_gap(made.film, slice(215, 265))
    x0, _, x1, _ = dict(made.boxes)[HEART]
    assert (first, last) == (pytest.approx(x0, abs=2), pytest.approx(x1, abs=2))


def test_spine_and_ribs_stay_when_the_heart_grows(landmarks: Landmarks) -> None:
    ruled = drawn_film(landmarks, noise=0)
    ruled[:, 185:195:2] += 0.1
    made = draw(ruled, landmarks, **{HEART: 0.8})
    assert np.array_equal(made.film[:150], ruled[:150])
    rows = slice(190, 280)

    def ruling(film: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.diff(film[rows, 184:196], axis=1).astype(float)

    assert np.abs(ruling(made.film) - ruling(ruled)).max() < 0.03
    assert np.array_equal(made.film[:, :44], ruled[:, :44])
    assert np.array_equal(made.film[:, 336:], ruled[:, 336:])


def test_stretching_keeps_the_noise(film: NDArray[np.float32], landmarks: Landmarks) -> None:
    made = draw(film, landmarks, **{HEART: 0.85})
    heart = (slice(225, 260), slice(215, 260))
    power = [(image - gaussian_filter(image, 1))[heart].std() for image in (film, made.film)]
    assert power[1] == pytest.approx(power[0], rel=0.12)


def test_a_heart_that_is_large_enough_is_left_alone(landmarks: Landmarks) -> None:
    large = landmarks_of(drawn_masks(heart_half=80))
    film = drawn_film(large)
    made = draw(film, large, **{HEART: 0.6})
    assert np.array_equal(made.film, film)
    assert dict(made.boxes)[HEART] == large.heart


def test_a_border_moves_by_what_is_asked() -> None:
    none = Warp.none((40, 200))
    ones = np.ones(40)
    warp = push_border(none, 50 * ones, 1, 60 * ones, 12 * ones, 20.0, 120 * ones)
    step = (none.x >= 110).astype(np.float32)
    moved = warp.film(step, np.random.default_rng(0))
    assert (moved[20] > 0.5).argmax() == 122
    assert np.all(np.diff(warp.x, axis=1) > 0)
    assert np.array_equal(warp.x[:, :70], none.x[:, :70])
    assert np.array_equal(warp.x[:, 171:], none.x[:, 171:])


# --- aorta -----------------------------------------------------------------------------------------------------------


def test_the_knob_protrudes_more(landmarks: Landmarks) -> None:
    clean = drawn_film(landmarks, noise=0)
    made = draw(clean, landmarks, **{AORTA: 0.9})
    before, after = (lung_gap(film, slice(120, 140))[1] for film in (clean, made.film))
    assert after - before == pytest.approx(made.landmarks.knob[2] - landmarks.knob[2], abs=3)
    assert after - before >= 7
    x0, y0, x1, y1 = dict(made.boxes)[AORTA]
    assert y0 == pytest.approx(made.landmarks.knob[1], abs=2)
    assert x0 < 175 < after <= x1 + 3
    assert y1 == pytest.approx(285, abs=10)


def test_plaques_lie_in_the_wall_of_the_knob(landmarks: Landmarks) -> None:
    clean = drawn_film(landmarks, noise=0)
    made = draw(clean, landmarks, **{CALCIUM: 1.0})
    gain = made.film - clean
    y, x = np.mgrid[: gain.shape[0], : gain.shape[1]] + 0.5
    distance = np.hypot(x - KNOB[0], y - KNOB[1])
    free = (x > KNOB[0] + 8) & (gain > 0.5 * gain.max())  # the side towards the lung
    assert free.sum() > 5
    assert np.abs(distance[free] - (KNOB[2] - 1.6)).mean() < 1.8
    assert gain[distance < KNOB[2] - 7].max() < 0.02


def test_a_knob_that_does_not_show_gets_no_plaques(landmarks: Landmarks) -> None:
    film = drawn_film(landmarks, noise=0)
    film[90:180, 180:250] = 0.7
    made = draw(film, landmarks, **{CALCIUM: 1.0})
    assert made.boxes == ()
    assert np.array_equal(made.film, film)


# --- lungs -----------------------------------------------------------------------------------------------------------


def test_caps_hang_from_the_top_of_the_lungs(landmarks: Landmarks) -> None:
    clean = drawn_film(landmarks, noise=0)
    made = draw(clean, landmarks, 3, **{APEX: 0.9})
    lungs = landmarks.masks.right_lung | landmarks.masks.left_lung
    gain = np.where(lungs, made.film - clean, 0)
    for _, (x0, y0, x1, y1) in made.boxes:
        middle = int((x0 + x1) / 2)
        seen = np.flatnonzero(gain[:150, middle] > 0.1)
        assert seen[0] - lungs[:, middle].argmax() <= 3
        assert y0 - 2 <= seen[0]
        assert seen[-1] <= y1 + 3
        assert y1 - y0 > 8


def test_the_box_of_an_infiltrate_holds_nine_tenths_of_it(landmarks: Landmarks) -> None:
    clean = drawn_film(landmarks, noise=0)
    for seed in range(6):
        made = draw(clean, landmarks, seed, **{LUNG: 0.9})
        gain = made.film - clean
        assert gain[~(landmarks.masks.right_lung | landmarks.masks.left_lung)].max() == 0
        share = sum(gain[int(y0) : int(y1), int(x0) : int(x1)].sum() for _, (x0, y0, x1, y1) in made.boxes) / gain.sum()
        assert share == pytest.approx(0.9, abs=0.06)


# --- spine -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", [0.6, 0.9])
def test_the_spine_bends_by_its_cobb_angle(landmarks: Landmarks, severity: float) -> None:
    clean = drawn_film(landmarks, noise=0)
    midline = np.rint(landmarks.midline).astype(int)
    clean[np.arange(len(midline))[:, None], midline[:, None] + np.arange(-1, 2)] = 1
    made = draw(clean, landmarks, 2, **{CURVE: severity})
    rows = np.arange(30, 380)
    bright = np.clip(made.film[rows, 120:260].astype(float) - 0.85, 0, None)
    line = (bright * np.arange(120, 260)).sum(axis=1) / bright.sum(axis=1)
    tilt = np.rad2deg(np.arctan(np.gradient(np.convolve(line, np.ones(15) / 15, "valid"))))
    assert np.ptp(tilt) == pytest.approx(made.cobb_deg, abs=3)
    (_, (x0, y0, x1, y1)) = made.boxes[0]
    inside = (rows >= y0) & (rows < y1)
    assert x0 < line[inside].min() < line[inside].max() < x1
    shift = np.abs(line - landmarks.midline[rows])
    assert shift[~inside].max(initial=0) < 0.2 * shift.max()


def test_beaks_lie_beside_the_vertebrae(landmarks: Landmarks) -> None:
    clean = drawn_film(landmarks, noise=0)
    made = draw(clean, landmarks, 4, **{WEAR: 1.0})
    gain = made.film - clean
    beaks = np.argwhere(gain > 0.6 * gain.max())
    assert (np.abs(beaks[:, 1] - 190) > 11).all()
    assert (np.abs(beaks[:, 1] - 190) < 28).all()
    (_, (x0, y0, x1, y1)) = made.boxes[0]
    assert y0 < beaks[:, 0].min() < beaks[:, 0].max() < y1
    assert x0 < beaks[:, 1].min() < beaks[:, 1].max() < x1


def test_beaks_on_white_have_no_box(landmarks: Landmarks) -> None:
    film = drawn_film(landmarks, noise=0)
    film[:, 150:230] = 0.995
    assert draw(film, landmarks, **{WEAR: 1.0}).boxes == ()


# --- nuisance and real films -----------------------------------------------------------------------------------------


def test_dots_and_mild_warps_move_the_landmarks_along(film: NDArray[np.float32], landmarks: Landmarks) -> None:
    changed = 0
    for seed in range(6):
        after, found = disturb(film, landmarks, np.random.default_rng(seed))
        again, _ = disturb(film, landmarks, np.random.default_rng(seed))
        assert np.array_equal(after, again)
        changed += not np.array_equal(after, film)
        assert found.width.ratio == pytest.approx(landmarks.width.ratio, abs=0.03)
        first, last = lung_gap(gaussian_filter(after, 1), slice(215, 265))
        assert (first, last) == (pytest.approx(found.heart[0], abs=3), pytest.approx(found.heart[2], abs=3))
    assert changed >= 5


def test_findings_on_a_real_film(data_dir: Path) -> None:
    folder = data_dir / "chest_heart_lung"
    found = landmarks_of(read_masks(folder, "case_116.png"))
    grey = np.asarray(Image.open(folder / "images" / "case_116.png").convert("L"), np.float32)
    low, high = np.percentile(grey, (0.5, 99.5))
    film = np.clip((grey - low) / (high - low), 0, 1).astype(np.float32)
    made = draw(film, found, 1, **{label: 0.9 for label in FINDINGS if label != WEAR})
    assert {label for label, _ in made.boxes} == set(FINDINGS) - {WEAR}
    assert made.landmarks.width.ratio > 0.55 > 0.45 > found.width.ratio
    assert np.abs(np.median(made.film) - np.median(film)) < 0.05
