"""From counts to network input and from logits to grades: dose, side and file format make no difference."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from io_files import read
from task_manifests import manifest_of

from core.errors import ScreeningError, UsageError
from core.io.phantom_file import write_dicom
from core.io.phantom_matlab import write_matlab
from core.phantom import Phantom
from core.records import Frame, LabelledCase, Region, Study
from core.tasks.knee_djd import learn
from core.tasks.knee_djd.data import training_array
from core.tasks.knee_djd.decode import decode
from core.tasks.knee_djd.locate import locate, uptake_ratio
from core.tasks.knee_djd.network import Network, explained, scores
from core.tasks.knee_djd.phantom import make_phantom
from core.tasks.knee_djd.prepare import compress, crop_region, prepare
from core.tasks.knee_djd.task import SIZE

MANIFEST = manifest_of("knee_djd")
GRADES = ("normal", "minimal", "mild", "moderate", "severe")


@cache
def phantom(seed: int = 0, right: int = 3, left: int = 1) -> Phantom:
    return make_phantom(np.random.default_rng([81, seed]), grades=(right, left))


def with_pixels(study: Study, pixels: np.ndarray) -> Study:
    return replace(study, frames=(replace(study.frame, pixels=pixels.astype(np.float32)),))


# --- input -----------------------------------------------------------------------------------------------------------


def test_input_has_the_shape_of_the_manifest() -> None:
    study = phantom().study()
    batch = prepare(study, locate(study), MANIFEST)
    assert (batch.shape, batch.dtype) == ((2, MANIFEST.input.channels, *MANIFEST.input.size), np.float32)
    assert 0 <= batch.min() < 0.5 < batch.max() < np.log1p(MANIFEST.input.value_range[1])


def test_ratio_is_compressed_to_log_of_one_more() -> None:
    ratios = np.array([[[0, 1, np.e - 1, 7, -0.5]]], np.float32)
    assert compress(ratios)[0, 0, 0] == pytest.approx([0, np.log(2), 1, np.log(8), 0])


@pytest.mark.parametrize("factor", [3, 0.25])
def test_dose_does_not_change_the_input(factor: float) -> None:
    """Dose, time and body size multiply every count of a scan."""
    study = phantom().study()
    regions = locate(study)
    stronger = with_pixels(study, study.frame.pixels * factor)
    assert prepare(stronger, regions, MANIFEST) == pytest.approx(prepare(study, regions, MANIFEST), abs=1e-5)


def test_drawn_leg_is_measured_in_multiples_of_its_shaft() -> None:
    """A shaft of 40 counts along a leg of 5, and a joint of 120: three times the shaft, as its smoothing sees it."""
    pixels = np.full((1024, 256), 5.0)
    pixels[350:850, 70:90] = 40
    pixels[590:630, 60:100] = 120
    study = Study((Frame(pixels.astype(np.float32), "counts", (2.3, 2.3)),), "0" * 64, "dicom")
    crop = crop_region(study, Region((48, 578, 112, 642)))
    assert crop[SIZE // 2, SIZE // 2] == pytest.approx(120 / 40, rel=0.1)
    assert crop[4, SIZE // 2] == pytest.approx(1, rel=0.1)
    assert crop[4, 4] == pytest.approx(5 / 40, rel=0.1)


@pytest.mark.parametrize(("mirrored", "half"), [(False, slice(0, 64)), (True, slice(64, 128))])
def test_only_a_mirrored_region_is_turned_round(mirrored: bool, half: slice) -> None:
    """A hot place at image left of the joint."""
    pixels = np.full((1024, 256), 40.0)
    pixels[605:615, 58:66] = 200
    study = Study((Frame(pixels.astype(np.float32), "counts", (2.3, 2.3)),), "0" * 64, "dicom")
    crop = crop_region(study, Region((48, 578, 112, 642), mirrored=mirrored))
    assert crop[:, half].max() == crop.max() > 4
    assert crop.min() == pytest.approx(1, rel=0.1)


def test_left_knee_is_seen_as_a_right_one() -> None:
    """The scan of the mirror-image patient gives the same two inputs with the sides exchanged."""
    study = phantom(1).study()
    right, left = locate(study)
    assert (right.mirrored, left.mirrored) == (False, True)
    width = study.frame.pixels.shape[1]

    def other(region: Region) -> Region:
        x0, y0, x1, y1 = region.box_xyxy
        return Region((width - x1, y0, width - x0, y1), "R" if region.mirrored else "L", not region.mirrored)

    twin = with_pixels(study, study.frame.pixels[:, ::-1].copy())
    ours, theirs = (prepare(study, (right, left), MANIFEST), prepare(twin, (other(right), other(left)), MANIFEST))
    assert theirs == pytest.approx(ours, abs=1e-3)
    unturned = prepare(study, (right, replace(left, mirrored=False)), MANIFEST)
    assert np.array_equal(unturned[1, 0, :, ::-1], ours[1, 0])
    assert not np.allclose(unturned[1], ours[1], atol=0.1)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_matlab_file_gives_the_input_of_the_dicom_file(version: str) -> None:
    """At the pixel size that is assumed for a MATLAB file, which names none."""
    one = replace(phantom(), meta={**phantom().meta, "PixelSpacing": 2.3})
    dicom, matlab = read(write_dicom(one)), read(write_matlab(one, version))
    assert (dicom.container, matlab.container) == ("dicom", "matlab")
    assert (dicom.frame.spacing_mm, matlab.frame.spacing_mm) == ((2.3, 2.3), None)
    assert np.array_equal(dicom.frame.pixels, matlab.frame.pixels)
    assert locate(dicom) == locate(matlab)
    first, second = (prepare(study, locate(study), MANIFEST) for study in (dicom, matlab))
    assert np.array_equal(first, second)
    logits = np.zeros((2, 5), np.float32)
    answers = [decode(logits, s, locate(s), MANIFEST, MANIFEST.default_point) for s in (dicom, matlab)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("box", [(500, 500, 565, 565), (96, 40, 160, 104)], ids=["beside the picture", "in the air"])
def test_region_without_a_leg_is_a_screening_error(box: tuple[float, float, float, float]) -> None:
    """Nothing to measure the knee against: no score rather than a division by zero."""
    pixels = phantom().study().frame.pixels.copy()
    pixels[:300] = 0
    with pytest.raises(ScreeningError, match="E_NONFINITE"):
        prepare(with_pixels(phantom().study(), pixels), (Region(box, "R"),), MANIFEST)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["R", "L"])
def test_training_sees_what_screening_sees(side: str) -> None:
    study = phantom(2).study()
    region = next(region for region in locate(study) if region.laterality == side)
    stored = training_array(LabelledCase("a", "a", study, 0.0, regions=(region,)))
    assert (stored.shape, stored.dtype) == ((SIZE, SIZE), np.int16)
    trained = learn.plain(torch.from_numpy(stored[None])).numpy()
    seen = prepare(study, (region,), MANIFEST)
    assert trained == pytest.approx(seen, abs=5.1e-4)  # half a step of the stored ratio
    assert not np.array_equal(trained, seen)


def test_case_without_a_region_is_its_right_knee() -> None:
    study = phantom(2).study()
    chosen, default = (
        training_array(LabelledCase("a", "a", study, 0.0, regions=where)) for where in (locate(study)[:1], None)
    )
    assert np.array_equal(chosen, default)


def test_very_hot_knee_does_not_wrap_round() -> None:
    study = phantom(2).study()
    region = locate(study)[0]
    x, y = (round(sum(region.box_xyxy[axis::2]) / 2) for axis in (0, 1))
    pixels = study.frame.pixels.copy()
    pixels[y - 5 : y + 5, x - 5 : x + 5] = 60_000
    stored = training_array(LabelledCase("a", "a", with_pixels(study, pixels), 0.0, regions=(region,)))
    assert (stored.min(), stored.max()) == (0, 32_767)


def blob(x: float, y: float) -> torch.Tensor:
    """A ratio of 3 at `x`, `y` from the middle, on 1; as stored."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    ratios = 1 + 2 * np.exp(-(np.square(columns - x) + np.square(rows - y)) / 30)
    return torch.from_numpy((1000 * ratios).astype(np.int16))


def test_augmentation_moves_the_knee_a_little_and_never_mirrors_it() -> None:
    """A mirror image would be the other side of the joint: medial and lateral are not alike."""
    ratios = np.expm1(learn.augment(blob(30, 20).expand(80, -1, -1), np.random.default_rng(3)).numpy())[:, 0]
    assert ratios.shape == (80, SIZE, SIZE)
    background = np.median(ratios, axis=(1, 2))
    assert 0.96 - 1e-3 <= background.min() < 0.98 < 1.02 < background.max() <= 1.04 + 1e-3  # the gain
    assert ratios.max(axis=(1, 2)) == pytest.approx(3 * background, rel=0.03)
    place = np.arange(SIZE) - (SIZE - 1) / 2
    weights = np.clip(ratios / background[:, None, None] - 1.3, 0, None)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    found = np.stack([(weights.sum(axis=axis) * place).sum(axis=1) for axis in (1, 2)], axis=1)
    assert found.mean(axis=0) == pytest.approx((30, 20), abs=2)
    moved = np.hypot(*(found - (30, 20)).T)
    assert 2 < moved.mean() < moved.max() < 18  # shift 8, scale 2, rotation 5 pixels at most, in either direction


def test_augmentation_repeats_with_its_seed() -> None:
    stored = blob(20, 30)[None].expand(3, -1, -1)
    first, again, other = (learn.augment(stored, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# --- answers ---------------------------------------------------------------------------------------------------------

LOGITS = np.array([[0.1, 1.2, -0.3, 0.2, 0.0], [0.0, 0.0, 0.5, 1.0, 2.0]], np.float32)


def test_logits_become_grades_of_their_knees() -> None:
    study = phantom().study()
    regions = locate(study)
    points = {point.label: point for point in MANIFEST.operating_points}
    assert set(points) == {"minimal", "moderate"}
    p = torch.softmax(torch.from_numpy(LOGITS).double(), dim=1).numpy()
    for label, cut in (("minimal", 1), ("moderate", 3)):
        prediction = decode(LOGITS, study, regions, MANIFEST, points[label])
        right, left = prediction.findings
        assert (right.laterality, left.laterality, right.grade, left.grade) == ("R", "L", 1, 4)
        assert (right.box_xyxy, left.box_xyxy) == tuple(region.box_xyxy for region in regions)
        expected = p[:, cut:].sum(axis=1)  # the grade or a worse one
        assert (right.probability, left.probability) == pytest.approx(tuple(expected))
        assert (right.positive, left.positive) == tuple(expected >= 0.5)
        assert right.probabilities == pytest.approx(dict(zip(GRADES, p[0], strict=True)))
        assert prediction.branches == {}
    assert tuple(expected >= 0.5) == (False, True)  # at "minimal" both are positive


def test_each_knee_has_its_uptake_ratio() -> None:
    study = phantom().study()
    regions = locate(study)
    ratios = decode(LOGITS, study, regions, MANIFEST, MANIFEST.default_point).measures["uptake_ratio"]
    assert ratios == tuple(uptake_ratio(study, region) for region in regions)
    assert ratios[0] > ratios[1] > 1  # moderate on the right, minimal on the left


def test_missing_answer_for_a_knee_is_an_error() -> None:
    study = phantom().study()
    with pytest.raises(ValueError, match="shorter"):
        decode(LOGITS[:1], study, locate(study), MANIFEST, MANIFEST.default_point)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_explained_score_is_the_score_on_screen(cut: int) -> None:
    output = torch.from_numpy(LOGITS)
    shown = scores(output)[:, cut:].sum(dim=1)
    torch.testing.assert_close(torch.stack([torch.sigmoid(explained(row, cut)) for row in output]), shown)


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_parameters"), [("simple_cnn_1", 327_877), ("simple_cnn_2", 168_741), ("simple_cnn_3", 105_445)]
)
def test_network_of_the_reference_by_name(name: str, n_parameters: int) -> None:
    with torch.device("meta"):
        network = Network(name).eval()
        output = network(torch.zeros(2, 1, SIZE, SIZE))
    assert sum(p.numel() for p in network.parameters()) == n_parameters
    assert output.shape == (2, len(GRADES))


def test_default_is_the_baseline_of_the_reference() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Network().parameters()) == 168_741


def test_last_relu_of_the_reference_is_an_option() -> None:
    torch.manual_seed(4)
    plain, faulty = Network("simple_cnn_3").eval(), Network("simple_cnn_3", final_relu=True).eval()
    faulty.load_state_dict(plain.state_dict())
    x = torch.from_numpy(np.random.default_rng(5).random((6, 1, SIZE, SIZE), np.float32))
    with torch.no_grad():
        logits = plain(x)
        assert logits.min() < 0
        assert torch.equal(faulty(x), logits.clamp_min(0))


@pytest.mark.parametrize("options", [{"name": "simple_cnn_4"}, {"pretrained": True}])
def test_what_there_is_not_is_a_usage_error(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Network(**options)
