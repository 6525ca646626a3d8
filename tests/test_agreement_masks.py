"""Masks of one scene against hand-made ones: overlap, pairs, the common grid, the map and the course of areas."""

import io
from functools import partial
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score
from tiny_fundus import photograph

from core.errors import UsageError
from core.evaluation.time_points import TimePoint, dice_between, sample_time_points, time_point
from core.figures.time_points import AreaCourse, area_course_alt, area_course_figure
from core.i18n import LANGUAGES, Translator
from core.imaging.agreement_map import BOTH, FIRST_ONLY, SECOND_ONLY, agreement_map, swatch_png
from core.metrics.agreement_masks import GRID_SIDE, Overlap, mean_pairwise_dice, on_grid, overlap
from core.records import Check, Finding, Gate, Lesion, Prediction, Provenance, Region, ScreeningResult
from core.tasks.retina_lesions import phantom as phantoms

Outcome = Literal["passed", "confirm", "refused"]


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


EMPTY, LEFT, TOP = mask("..", ".."), mask("#.", "#."), mask("##", "..")


# --- two masks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "counts", "dice", "iou"),
    [
        (LEFT, TOP, (1, 1, 1), 1 / 2, 1 / 3),
        (LEFT, LEFT, (2, 0, 0), 1.0, 1.0),
        (LEFT, ~LEFT, (0, 2, 2), 0.0, 0.0),
        (LEFT, EMPTY, (0, 2, 0), 0.0, 0.0),
        (EMPTY, EMPTY, (0, 0, 0), 1.0, 1.0),
    ],
)
def test_overlap_by_hand(
    first: np.ndarray, second: np.ndarray, counts: tuple[int, int, int], dice: float, iou: float
) -> None:
    found = overlap(first, second)
    assert found == Overlap(*counts)
    assert (found.dice, found.iou) == pytest.approx((dice, iou))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40).filter(np.any))
def test_overlap_equals_sklearn(pixels: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pixels).T
    found = overlap(first, second)
    assert found.dice == pytest.approx(f1_score(first, second))
    assert found.iou == pytest.approx(jaccard_score(first, second))


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(2, 2\) and \(1, 2\)"):
        overlap(LEFT, mask(".."))


def test_mean_over_all_pairs() -> None:
    assert mean_pairwise_dice([LEFT, TOP, EMPTY]) == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert mean_pairwise_dice([LEFT, LEFT, TOP]) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert mean_pairwise_dice([LEFT]) is None


# --- the common grid -------------------------------------------------------------------------------------------------


def test_the_same_scene_at_two_scales_is_one_grid() -> None:
    small = np.random.default_rng(1).random((40, 60)) < 0.3
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    box = (10.0, 5.0, 40.0, 35.0)
    np.testing.assert_array_equal(on_grid(small, box), on_grid(large, (30.0, 15.0, 120.0, 105.0)))


def test_a_grid_over_its_own_pixels_is_the_mask() -> None:
    own = np.random.default_rng(2).random((GRID_SIDE, GRID_SIDE)) < 0.1
    np.testing.assert_array_equal(on_grid(own, (0.0, 0.0, GRID_SIDE, GRID_SIDE)), own)


def test_beyond_the_frame_nothing_is_called() -> None:
    grid = on_grid(np.ones((10, 10), bool), (-10.0, 0.0, 10.0, 20.0))
    half = GRID_SIDE // 2
    assert grid[:half, half:].all()
    assert grid.sum() == half * half


# --- time points -----------------------------------------------------------------------------------------------------


def result_of(mask: np.ndarray | None, *, outcome: Outcome = "passed") -> ScreeningResult:
    """A result with one label, whose mask has one place; without a prediction for None."""
    gate = Gate((Check("made_up", outcome, "Made up"),))
    study = photograph(np.zeros((4, 4, 3), np.uint8))
    provenance = Provenance("retina_lesions", "tiny", "1", "0" * 64, "phantom", "")
    if mask is None:
        return ScreeningResult(study, gate, (), None, None, provenance, None, None)
    finding = Finding("exudate", 0.9, True, mask=mask, lesions=(Lesion((0.0, 0.0, 1.0, 1.0), 1.0, 0.9),))
    prediction = Prediction((finding,), measures={"area_share_exudate": (float(mask.mean()),)})
    region = Region((0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])))
    return ScreeningResult(study, gate, (region,), prediction, None, provenance, "exudate", 0.5)


def test_what_is_kept_of_a_result() -> None:
    point = time_point(result_of(LEFT))
    assert (point.shares, point.n_places) == ({"exudate": 0.5}, {"exudate": 1})
    assert point.masks["exudate"][:, : GRID_SIDE // 2].all()
    assert not point.masks["exudate"][:, GRID_SIDE // 2 :].any()


def test_a_refused_photograph_has_no_masks_and_no_pairs() -> None:
    points: list[TimePoint] = [time_point(result_of(mask)) for mask in (LEFT, None, TOP)]
    assert points[1].masks == {}
    assert dice_between(points, "exudate") == pytest.approx(1 / 2)
    assert dice_between(points[:2], "exudate") is None


def test_a_sample_is_one_of_its_time_points(monkeypatch: pytest.MonkeyPatch) -> None:
    for maker in ("make_phantom", "make_time_points"):
        monkeypatch.setattr(phantoms, maker, partial(getattr(phantoms, maker), size=128))
    made = sample_time_points("retina_lesions", "low_contrast")
    assert [point.truth["time_point"] for point in made] == [0, 1, 2, 3, 4]
    place = phantoms.SAMPLES["low_contrast"][1]["time_point"]
    np.testing.assert_array_equal(made[place].pixels, phantoms.make_sample("low_contrast").pixels)


COURSES = (
    AreaCourse("haemorrhage", "Haemorrhage", (0.01, None, 0.02)),
    AreaCourse("exudate", "<b>Exudate", (0.0, None, 0.005)),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_course_has_title_axes_n_and_a_gap(language: str) -> None:
    words = Translator(language)
    figure = area_course_figure(COURSES, words, dark=False)
    assert "2" in figure.layout.title.text
    assert figure.layout.xaxis.title.text == words("Time point (order of the photographs)")
    assert "%" in figure.layout.yaxis.title.text
    assert [tuple(trace.y) for trace in figure.data] == [(1.0, None, 2.0), (0.0, None, 0.5)]
    assert all(tuple(trace.x) == (1, 2, 3) and not trace.connectgaps for trace in figure.data)
    assert figure.data[1].name == "&lt;b&gt;Exudate"
    assert len({trace.line.color for trace in figure.data} | {trace.marker.symbol for trace in figure.data}) == 4
    assert "1.000, –, 2.000" in area_course_alt(COURSES, words)


# --- the map ---------------------------------------------------------------------------------------------------------


def test_the_map_has_three_colours_on_grey() -> None:
    picture = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    first, second = mask("##", ".."), mask("#.", "#.")  # a mask of another size shows the same frame
    drawn = agreement_map(picture, first, second)
    corners = [tuple(drawn[y, x]) for y, x in ((0, 0), (0, 3), (3, 0), (3, 3))]
    hexes = ["#{:02X}{:02X}{:02X}".format(*corner) for corner in corners]
    assert hexes[:3] == [BOTH, FIRST_ONLY, SECOND_ONLY]
    grey = round(0.75 * (0.299 * 200 + 0.587 * 100 + 0.114 * 50))
    assert corners[3] == (grey, grey, grey)


def test_a_swatch_has_its_colour() -> None:
    assert Image.open(io.BytesIO(swatch_png("#D55E00"))).getcolors() == [(16 * 16, (0xD5, 0x5E, 0x00))]
