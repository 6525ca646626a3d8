"""The proposed femoral-neck region lies where the phantom's truth and a real film say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factory import hip_phantoms
from io_files import read

from core.records import Box, Frame, Region, Study
from core.tasks.hip_osteoporosis.locate import SHIFT_RADII, SIDE_RADII, find_head, is_pelvis, locate, region_box
from core.tasks.hip_osteoporosis.phantom import make_phantom


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def head_of(region: Region) -> tuple[float, float, float]:
    """Centre and radius that a region was made from."""
    x0, y0, x1, y1 = region.box_xyxy
    radius = (x1 - x0) / SIDE_RADII
    shift = SHIFT_RADII * radius * (1 if region.laterality == "L" else -1)
    return (x0 + x1) / 2 - shift, (y0 + y1) / 2 - SHIFT_RADII * radius, radius


def errors(study: Study, hips: list[dict]) -> list[tuple[float, float]]:
    """Head distance in radii, and overlap, of every hip."""
    regions = locate(study)
    assert [region.laterality for region in regions] == [hip["laterality"] for hip in hips]
    found = []
    for region, hip in zip(regions, hips, strict=True):
        x, y, _ = head_of(region)
        distance = np.hypot(x - hip["head_px"][0], y - hip["head_px"][1]) / hip["radius_px"]
        found.append((float(distance), overlap(region.box_xyxy, hip["box_xyxy"])))
    return found


def test_region_goes_from_the_head_to_below_the_lesser_trochanter() -> None:
    assert region_box((100, 100), 10, "L") == pytest.approx((87.8, 87.8, 134.8, 134.8))
    assert region_box((100, 100), 10, "R") == pytest.approx((65.2, 87.8, 112.2, 134.8))


def test_hip_is_found_in_ninety_eight_of_a_hundred_films() -> None:
    _, phantoms = hip_phantoms()
    found = [errors(phantom.study(), phantom.truth["hips"])[0] for phantom in phantoms]
    assert len(found) == 100
    assert sum(distance <= 0.15 for distance, _ in found) >= 98
    assert sum(shared >= 0.8 for _, shared in found) >= 98


def test_both_hips_of_a_pelvis_are_found() -> None:
    films = [make_phantom(np.random.default_rng([77, index]), view="pelvis") for index in range(12)]
    found = [error for film in films for error in errors(film.study(), film.truth["hips"])]
    assert len(found) == 24
    assert sum(distance <= 0.15 and shared >= 0.8 for distance, shared in found) >= 23


def test_spacing_is_not_needed() -> None:
    _, phantoms = hip_phantoms()
    found = []
    for phantom in phantoms[:20]:
        study = phantom.study()
        frame = replace(study.frame, spacing_mm=None)
        found += errors(replace(study, frames=(frame,)), phantom.truth["hips"])
    assert sum(distance <= 0.15 and shared >= 0.8 for distance, shared in found) >= 19


def test_larger_film_gives_the_same_region() -> None:
    phantom = hip_phantoms()[1][0]
    study = phantom.study()
    larger = np.repeat(np.repeat(study.frame.pixels, 3, axis=0), 3, axis=1)
    frame = Frame(larger, "relative", (0.5 / 3, 0.5 / 3), study.frame.window)
    (small,), (large,) = locate(study), locate(replace(study, frames=(frame,)))
    assert overlap(tuple(3 * v for v in small.box_xyxy), large.box_xyxy) > 0.9


def test_side_named_by_a_person_comes_before_the_header() -> None:
    left = next(phantom for phantom in hip_phantoms()[1] if phantom.meta["Laterality"] == "L").study()
    assert [(r.laterality, r.mirrored, r.source) for r in locate(left)] == [("L", False, "proposed")]
    assert [(r.laterality, r.mirrored) for r in locate(left, "R")] == [("R", True)]
    silent = replace(left, tags={**left.tags, "Laterality": ""})
    assert locate(silent)[0].laterality == "L"


def test_pelvis_is_known_by_body_part_else_by_shape() -> None:
    hip = hip_phantoms()[1][0].study()
    wide = replace(hip, frames=(Frame(np.zeros((100, 180), np.float32), "relative"),))
    assert not is_pelvis(hip)
    assert not is_pelvis(wide)  # the header says hip
    assert is_pelvis(replace(hip, tags={"BodyPartExamined": "Pelvis"}))
    assert is_pelvis(replace(wide, tags={}))
    assert not is_pelvis(replace(wide, tags={"ImageLaterality": "R"}))
    assert not is_pelvis(replace(hip, tags={}))


def test_blank_film_gives_a_region_and_no_error() -> None:
    blank = Study((Frame(np.zeros((300, 300), np.float32), "relative"),), "0" * 64, "raster")
    (region,) = locate(blank)
    assert np.isfinite(region.box_xyxy).all()


@pytest.mark.realdata
def test_head_of_a_real_hip(data_dir: Path) -> None:
    """Measured by hand on the film."""
    study = read((data_dir / "real_dicom" / "hip_cr_rle.dcm").read_bytes())
    x, y, radius = head_of(locate(study)[0])
    assert np.hypot(x - 903, y - 867) < 25
    assert 125 <= radius <= 155
    spacing = study.frame.spacing_mm[0] if study.frame.spacing_mm else None
    found = find_head(study.frame.pixels, spacing, (0.1, 0.72))
    assert (found.x, found.y, found.radius) == pytest.approx((x, y, radius), abs=1)
    assert found.strength > 0.5
