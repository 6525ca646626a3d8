"""From film to network input and from logit to finding: side, polarity, file format and edges make no difference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from factory import hip_phantoms, make_manifest, manifest_facts
from io_files import picture, read
from PIL import Image
from torchvision.models import ResNet18_Weights

from core.imaging.display import to_bytes, to_display
from core.imaging.imagenet import MEAN, SD
from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.records import LabelledCase, Region, Study
from core.tasks.hip_osteoporosis import learn
from core.tasks.hip_osteoporosis.data import training_array
from core.tasks.hip_osteoporosis.decode import decode
from core.tasks.hip_osteoporosis.locate import locate
from core.tasks.hip_osteoporosis.phantom import make_phantom
from core.tasks.hip_osteoporosis.prepare import crop_region, prepare

MANIFEST = make_manifest()


def of_side(side: str) -> Phantom:
    return next(phantom for phantom in hip_phantoms()[1] if phantom.meta["Laterality"] == side)


def network_input(study: Study) -> np.ndarray:
    return prepare(study, locate(study), MANIFEST)


def mirrored(study: Study) -> Study:
    """The same film of the other side."""
    side = {"L": "R", "R": "L"}[study.laterality]
    frame = replace(study.frame, pixels=np.ascontiguousarray(study.frame.pixels[:, ::-1]))
    return replace(study, frames=(frame,), tags={**study.tags, "Laterality": side})


@pytest.mark.parametrize("side", ["L", "R"])
def test_input_has_the_shape_and_range_of_the_manifest(side: str) -> None:
    batch = network_input(of_side(side).study())
    assert batch.shape == (1, 3, 224, 224)
    assert batch.dtype == np.float32
    grey = batch[0] * SD + MEAN
    assert grey == pytest.approx(np.broadcast_to(grey[:1], grey.shape), abs=1e-5)
    assert (grey.min(), grey.max()) == pytest.approx((0, 1), abs=1e-5)
    assert np.mean(grey <= 1e-5) == pytest.approx(0.01, abs=0.004)
    assert 0.006 < np.mean(grey >= 1 - 1e-5) < 0.1  # more where the film itself is saturated


def test_statistics_are_imagenets() -> None:
    transform = ResNet18_Weights.DEFAULT.transforms()
    assert MEAN.ravel() == pytest.approx(transform.mean)
    assert SD.ravel() == pytest.approx(transform.std)


@pytest.mark.parametrize("side", ["L", "R"])
def test_right_hip_and_its_mirror_image_as_a_left_hip_are_one_input(side: str) -> None:
    study = of_side(side).study()
    region = locate(study)[0]
    x0, y0, x1, y1 = region.box_xyxy
    width = study.frame.pixels.shape[1]
    other = Region((width - x1, y0, width - x0, y1), {"L": "R", "R": "L"}[side], not region.mirrored)
    first, second = prepare(study, (region,), MANIFEST), prepare(mirrored(study), (other,), MANIFEST)
    assert np.abs(first - second).max() < 1e-4


def test_proposed_regions_of_mirror_images_give_nearly_the_same_input() -> None:
    for phantom in hip_phantoms()[1][:10]:
        first, second = network_input(phantom.study()), network_input(mirrored(phantom.study()))
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_pelvis_gives_one_input_a_side() -> None:
    study = make_phantom(np.random.default_rng(5), view="pelvis").study()
    regions = locate(study)
    batch = prepare(study, regions, MANIFEST)
    assert batch.shape == (2, 3, 224, 224)
    for index, region in enumerate(regions):
        assert np.array_equal(batch[index : index + 1], prepare(study, (region,), MANIFEST))


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monochrome1", [False, True])
def test_dicom_file_in_either_polarity_gives_the_input_of_the_phantom(monochrome1: bool) -> None:
    phantom = of_side("R")
    study = read(write_dicom(phantom, monochrome1=monochrome1))
    assert study.laterality == "R"
    region = locate(phantom.study())
    assert locate(study)[0].box_xyxy == pytest.approx(region[0].box_xyxy, abs=1)
    assert np.abs(prepare(study, region, MANIFEST) - prepare(phantom.study(), region, MANIFEST)).max() < 0.02


def test_png_of_the_display_gives_nearly_the_same_input() -> None:
    phantom = of_side("L")
    study = phantom.study()
    png = read(picture(Image.fromarray(to_bytes(to_display(study.frame))), "PNG"))
    assert png.container == "raster"
    region = locate(study)
    difference = np.abs(prepare(png, region, MANIFEST) - prepare(study, region, MANIFEST)) * SD
    assert difference.mean() < 0.01
    assert difference.max() < 0.05
    assert locate(png, "L")[0].box_xyxy == pytest.approx(region[0].box_xyxy, abs=4)


# --- edges -----------------------------------------------------------------------------------------------------------


def test_region_beyond_the_frame_is_padded_with_its_edge() -> None:
    study = of_side("L").study()
    _, columns = study.frame.pixels.shape
    outside = Region((columns - 100.0, 50.0, columns + 100.0, 250.0), "L")
    crop = crop_region(study, outside, 200)
    assert np.isfinite(crop).all()
    assert crop[:, 101:] == pytest.approx(np.repeat(crop[:, 100:101], 99, axis=1), abs=1e-4)
    assert np.ptp(crop[:, :100]) > 0.5


def test_constant_region_gives_a_finite_input() -> None:
    study = of_side("L").study()
    flat = replace(study, frames=(replace(study.frame, pixels=np.full((440, 380), 100, np.float32)),))
    assert np.isfinite(prepare(flat, locate(study), MANIFEST)).all()


def test_brightness_and_contrast_of_the_display_do_not_change_the_input() -> None:
    study = of_side("L").study()
    region = locate(study)
    fainter = replace(study, frames=(replace(study.frame, pixels=0.5 * study.frame.pixels + 300),))
    assert np.abs(prepare(fainter, region, MANIFEST) - prepare(study, region, MANIFEST)).max() < 0.02


@pytest.mark.parametrize("side", ["L", "R"])
def test_training_sees_what_screening_sees(side: str) -> None:
    """The stored array of 8 bits with context, cut back, is the input of the road."""
    study = of_side(side).study()
    stored = training_array(LabelledCase("case", "patient", study, 0))
    assert (stored.shape, stored.dtype) == ((288, 288), np.uint8)
    trained = learn.plain(torch.from_numpy(stored[None])).numpy()
    difference = np.abs(trained - network_input(study)) * SD
    assert difference.max() < 0.02
    assert difference.mean() < 0.003


# --- answers ---------------------------------------------------------------------------------------------------------


def test_logits_become_findings_of_their_regions() -> None:
    regions = (Region((0, 0, 10, 10), "R", True), Region((20, 0, 30, 10), "L"))
    study = of_side("L").study()
    output = np.array([[-0.4], [1.7]], np.float32)
    findings = decode(output, study, regions, MANIFEST, MANIFEST.default_point).findings
    expected = torch.sigmoid(torch.from_numpy(output).double())[:, 0].tolist()
    assert [finding.probability for finding in findings] == pytest.approx(expected, abs=1e-7)
    assert [finding.positive for finding in findings] == [False, True]
    assert [(f.label, f.laterality, f.box_xyxy) for f in findings] == [
        ("osteoporosis", "R", (0, 0, 10, 10)),
        ("osteoporosis", "L", (20, 0, 30, 10)),
    ]


@pytest.mark.parametrize(("threshold", "positive"), [(0.5, True), (0.50001, False), (0.05, True)])
def test_score_at_the_threshold_is_positive(threshold: float, positive: bool) -> None:
    point = {**manifest_facts()["operating_points"][0], "threshold": threshold}
    chosen = make_manifest(operating_points=[point]).default_point
    regions = (Region((0, 0, 1, 1), "L"),)
    (finding,) = decode(np.zeros((1, 1), np.float32), of_side("L").study(), regions, MANIFEST, chosen).findings
    assert (finding.probability, finding.positive) == (0.5, positive)


@pytest.mark.parametrize("logit", [-800.0, 800.0])
def test_extreme_logit_gives_a_probability_and_no_warning(logit: float) -> None:
    regions = (Region((0, 0, 1, 1), "L"),)
    study = of_side("L").study()
    (finding,) = decode(np.array([[logit]], np.float32), study, regions, MANIFEST, MANIFEST.default_point).findings
    assert finding.probability == (0.0 if logit < 0 else 1.0)


def test_missing_answer_for_a_region_is_an_error() -> None:
    regions = (Region((0, 0, 1, 1), "L"), Region((0, 0, 1, 1), "R"))
    with pytest.raises(ValueError, match="shorter"):
        decode(np.zeros((1, 1), np.float32), of_side("L").study(), regions, MANIFEST, MANIFEST.default_point)
