"""The proposed knee regions lie where the phantom's truth and a real scan say; the uptake measured there follows the truth."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from io_files import read
from scipy.stats import spearmanr

from core.phantom import Phantom
from core.records import Frame, Region, Study
from core.tasks.knee_djd.locate import locate, locate_seed, shaft_reference, uptake_ratio
from core.tasks.knee_djd.phantom import make_phantom

WORDS = {"R": "right", "L": "left"}


@functools.cache
def phantoms() -> tuple[Phantom, ...]:
    return tuple(make_phantom(np.random.default_rng([61, index])) for index in range(60))


def centre(region: Region) -> tuple[float, float]:
    x0, y0, x1, y1 = region.box_xyxy
    return (x0 + x1) / 2, (y0 + y1) / 2


def errors(one: Phantom, study: Study | None = None) -> list[float]:
    """Distance (pixels) of both regions from the true joints, right knee first."""
    regions = locate(study or one.study())
    assert [region.laterality for region in regions] == ["R", "L"]
    found = [np.subtract(centre(region), one.truth[f"knee_{WORDS[region.laterality]}_xy"]) for region in regions]
    return [float(np.hypot(*error)) for error in found]


def holds(region: Region, one: Phantom, margin: float = 24) -> bool:
    """Whether the whole joint, about 48 pixels across, lies in the region."""
    x0, y0, x1, y1 = region.box_xyxy
    x, y = one.truth[f"knee_{WORDS[region.laterality]}_xy"]
    return x0 + margin <= x <= x1 - margin and y0 + margin <= y <= y1 - margin


def counts(pixels: np.ndarray, **tags: str) -> Study:
    return Study((Frame(pixels.astype(np.float32), "counts"),), "0" * 64, "dicom", tags)


# --- where the knees are ---------------------------------------------------------------------------------------------


def test_both_knees_are_found_in_ninety_nine_of_a_hundred_scans() -> None:
    found = [errors(one) for one in phantoms()]
    assert sum(max(pair) <= 12 for pair in found) >= 0.99 * len(found)
    assert np.median(found) < 4


@pytest.mark.parametrize(
    "options",
    [{"off_centre": True}, {"grades": (4, 0), "lesions": 2}, {"grades": (0, 0), "lesions": 2}, {"shifted": True}],
    ids=str,
)
def test_knees_are_found_when_it_is_hard(options: dict[str, object]) -> None:
    found = [errors(make_phantom(np.random.default_rng([62, index]), **options)) for index in range(12)]
    assert max(map(max, found)) <= 12


def test_region_is_150_mm_wide_and_holds_one_knee() -> None:
    for one in phantoms():
        right, left = locate(one.study())
        x0, y0, x1, y1 = right.box_xyxy
        assert (x1 - x0) * one.meta["PixelSpacing"] == pytest.approx(150)
        assert (y1 - y0) == pytest.approx(x1 - x0)
        assert holds(right, one)
        assert holds(left, one)
        assert x1 < one.truth["knee_left_xy"][0]
        assert left.box_xyxy[0] > one.truth["knee_right_xy"][0]


def test_spacing_is_not_needed() -> None:
    for one in phantoms()[:12]:
        study = one.study()
        assert max(errors(one, replace(study, frames=(replace(study.frame, spacing_mm=None),)))) <= 12


def test_half_sized_scan_gives_the_same_place() -> None:
    for one in phantoms()[:6]:
        small = one.pixels.reshape(512, 2, 128, 2).sum(axis=(1, 3))
        spacing = 2 * one.meta["PixelSpacing"]
        study = Study((Frame(small, "counts", (spacing, spacing)),), "0" * 64, "dicom")
        for region in locate(study):
            x, y = centre(region)
            truth = one.truth[f"knee_{WORDS[region.laterality]}_xy"]
            assert np.hypot(2 * x + 0.5 - truth[0], 2 * y + 0.5 - truth[1]) <= 12


def test_posterior_view_swaps_the_sides() -> None:
    for one in phantoms()[:6]:
        study = one.study()
        frame = replace(study.frame, pixels=one.posterior)
        right, left = locate(replace(study, frames=(frame,), tags={**study.tags, "ViewPosition": "P"}))
        assert (right.laterality, left.laterality) == ("R", "L")
        for region, side in ((right, "right"), (left, "left")):
            x, y = one.truth[f"knee_{side}_xy"]
            assert np.hypot(centre(region)[0] - (255 - x), centre(region)[1] - y) <= 12


def test_one_knee_may_be_asked_for() -> None:
    study = phantoms()[0].study()
    both = locate(study)
    assert locate(study, "R") == both[:1]
    assert locate(study, "L") == both[1:]
    assert [(region.laterality, region.mirrored) for region in both] == [("R", False), ("L", True)]
    assert {region.source for region in both} == {"proposed"}


@pytest.mark.parametrize("shape", [(1024, 256), (40, 30), (300, 900)])
@pytest.mark.parametrize("level", [0, 7])
def test_empty_picture_gives_regions_and_no_error(shape: tuple[int, int], level: int) -> None:
    study = counts(np.full(shape, level))
    for region in locate(study):
        assert np.isfinite(region.box_xyxy).all()
        assert np.isnan(uptake_ratio(study, region))


# --- uptake ----------------------------------------------------------------------------------------------------------


def measured(one: Phantom) -> list[tuple[float, float, float]]:
    """True ratio, measured ratio and shaft reference of both knees."""
    study = one.study()
    return [
        (
            one.markers[f"ratio_{WORDS[region.laterality]}"],
            uptake_ratio(study, region),
            shaft_reference(study.frame.pixels, region, one.meta["PixelSpacing"]),
        )
        for region in locate(study)
    ]


def test_measured_ratio_follows_the_true_one_and_the_shaft_does_not() -> None:
    true, ratio, shaft = np.array([row for one in phantoms() for row in measured(one)]).T
    assert spearmanr(true, ratio).statistic >= 0.88
    assert abs(spearmanr(true, shaft).statistic) < 0.25
    assert np.median(ratio / true) == pytest.approx(0.9, abs=0.1)


def test_ratio_of_a_drawn_leg() -> None:
    """A shaft of 20 over soft tissue of 10 and a joint of 40 and 70 at two legs: (40-10)/(20-10) and (70-10)/(20-10)."""
    pixels = np.zeros((600, 200))
    rows, columns = np.mgrid[:600, :200]
    for x, joint in ((60, 40), (140, 70)):
        pixels[:, x - 30 : x + 30] = 10
        pixels[:, x - 8 : x + 9] = 20
        pixels[np.hypot(columns - x, rows - 300) < 21] = joint
    study = counts(pixels)
    for x, wanted in ((60, 3), (140, 6)):
        region = Region((x - 33, 267, x + 33, 333))
        assert uptake_ratio(study, region) == pytest.approx(wanted, rel=0.03)
        assert shaft_reference(study.frame.pixels, region) == pytest.approx(20, rel=0.03)


def test_ratio_does_not_depend_on_the_counts() -> None:
    study = phantoms()[1].study()
    region = locate(study)[0]
    brighter = replace(study, frames=(replace(study.frame, pixels=3 * study.frame.pixels),))
    assert uptake_ratio(brighter, region) == pytest.approx(uptake_ratio(study, region), rel=1e-4)


def test_region_outside_the_picture_has_no_ratio() -> None:
    study = phantoms()[0].study()
    away = Region((900, 3000, 966, 3066))
    assert np.isnan(uptake_ratio(study, away))
    assert np.isnan(shaft_reference(study.frame.pixels, away))


# --- the rule of the reference system --------------------------------------------------------------------------------


def test_seed_rule_starts_at_row_510_when_a_pixel_there_is_zero() -> None:
    pixels = np.ones((1024, 256))
    pixels[510, 120] = 0
    pixels[560, 40] = 50
    pixels[700, 40] = 90  # below the rows looked at
    right, left = locate_seed(counts(pixels))
    assert (right.laterality, right.box_xyxy) == ("R", (0, 496, 128, 624))
    assert (left.laterality, left.box_xyxy) == ("L", (128, 496, 256, 624))


def test_seed_rule_starts_70_rows_lower_when_no_pixel_there_is_zero() -> None:
    pixels = np.ones((1024, 256))
    pixels[560, 40] = 50  # above the rows looked at
    pixels[700, 200] = 40
    assert [region.box_xyxy for region in locate_seed(counts(pixels))] == [(0, 636, 128, 764), (128, 636, 256, 764)]


def test_seed_rule_loses_knees_that_the_locator_holds() -> None:
    kept = np.mean([holds(region, one) for one in phantoms() for region in locate_seed(one.study())])
    ours = np.mean([holds(region, one) for one in phantoms() for region in locate(one.study())])
    assert kept < 0.8
    assert ours >= 0.99


# --- a real scan -----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_knees_of_a_real_scan(data_dir: Path) -> None:
    """Joint lines read by eye on the scan: between the condyles and the plateau of each leg."""
    study = read((data_dir / "real_dicom" / "whole_body_bone_scan_rle.dcm").read_bytes())
    right, left = locate(study)
    assert (right.laterality, left.laterality) == ("R", "L")
    assert np.hypot(*np.subtract(centre(right), (84, 621))) < 12
    assert np.hypot(*np.subtract(centre(left), (168, 622))) < 12
    for region in (right, left):
        assert 0.4 < uptake_ratio(study, region) < 2  # a normal joint
        assert 30 < shaft_reference(study.frame.pixels, region, 2.26) < 60
