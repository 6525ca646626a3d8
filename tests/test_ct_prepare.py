"""From HU to network input and from logits to grades: equation (1), augmentation, every network of the published tables."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from io_files import read
from scipy.ndimage import gaussian_filter
from task_manifests import manifest_of

from core.errors import UsageError
from core.imaging.imagenet import MEAN, SD
from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.records import Frame, LabelledCase, Region, Study
from core.tasks.ct_osteoporosis import learn
from core.tasks.ct_osteoporosis.data import training_array
from core.tasks.ct_osteoporosis.decode import decode
from core.tasks.ct_osteoporosis.locate import find_body, locate, roi_mean
from core.tasks.ct_osteoporosis.network import Network, explained, scores
from core.tasks.ct_osteoporosis.phantom import make_phantom
from core.tasks.ct_osteoporosis.prepare import crop_region, normalise, prepare, smooth, window
from core.tasks.ct_osteoporosis.task import SIDE_MM, SIZE

MANIFEST = manifest_of("ct_osteoporosis")
LOWEST = {"s": -128.0, "t": -450.0}  # HU, table 1 of the publication


@cache
def phantom(seed: int) -> Phantom:
    return make_phantom(np.random.default_rng([41, seed]), kernel="standard")


def slice_of(hu: np.ndarray, spacing_mm: tuple[float, float] | None = (0.8, 0.8)) -> Study:
    return Study((Frame(hu.astype(np.float32), "HU", spacing_mm),), "0" * 64, "dicom", {"Modality": "CT"})


def hu_of(batch: torch.Tensor, name: str) -> np.ndarray:
    """HU (N, H, W) of a network input (N, 6, H, W), as far as the window `name` did not clip them."""
    part = batch[:, :3].numpy() if name == "s" else batch[:, 3:].numpy()
    share = (part * SD + MEAN)[:, 0]
    return share * (1024 - LOWEST[name]) + LOWEST[name]


# --- equation (1) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hu", "grey"),
    [
        ("s", -128, 0),
        ("s", 1024, 255),
        ("s", 448, 127.5),
        ("s", 0, 28.3333),
        ("s", 160, 63.75),
        ("s", -129, 0),  # the equation would give -0.22
        ("s", -1024, 0),
        ("s", 3071, 255),
        ("t", -450, 0),
        ("t", 1024, 255),
        ("t", 287, 127.5),
        ("t", 0, 77.8494),
        ("t", -128, 55.7056),
        ("t", -1024, 0),
        ("t", 1025, 255),
    ],
)
def test_window_of_equation_one(name: str, hu: float, grey: float) -> None:
    assert 255 * window(np.array([hu], np.float32), name) == pytest.approx(grey, abs=1e-3)


def test_input_holds_both_windows_three_times_each() -> None:
    crops = np.stack([np.full((32, 32), hu, np.float32) for hu in (-1024, -128, 160, 1024)])
    batch = normalise(crops)
    assert (batch.shape, batch.dtype) == ((4, 6, 32, 32), np.float32)
    for channel in range(6):
        name, colour = ("s", "t")[channel // 3], channel % 3
        expected = (window(crops, name) - MEAN[colour, 0, 0]) / SD[colour, 0, 0]
        assert batch[:, channel] == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(batch[:, :3], batch[:, 3:])


def test_smoothing_makes_a_sharp_and_a_soft_kernel_alike() -> None:
    """A field of bone as two kernels show it: noise and texture go, the mean and broad differences stay."""
    rng = np.random.default_rng(5)
    broad = 150 + 60 * np.cos(np.arange(128) / 128 * 2 * np.pi)[None] * np.ones((128, 1))
    fine = rng.normal(0, 60, (128, 128))
    sharp, soft = (smooth((broad + detail).astype(np.float32)) for detail in (fine, gaussian_filter(fine, 1.5)))
    assert np.abs(sharp - soft).std() < 3
    assert (broad + fine - sharp).std() > 50
    assert sharp.mean() == pytest.approx((broad + fine).mean(), abs=1)
    assert np.ptp(sharp.mean(axis=0)) == pytest.approx(120, rel=0.1)


# --- files and edges -------------------------------------------------------------------------------------------------


def test_input_has_the_shape_of_the_manifest() -> None:
    study = phantom(0).study()
    batch = prepare(study, locate(study), MANIFEST)
    assert (batch.shape, batch.dtype) == ((1, MANIFEST.input.channels, *MANIFEST.input.size), np.float32)
    two = prepare(study, (*locate(study), Region((10, 10, 90, 90))), MANIFEST)
    assert two.shape == (2, 6, SIZE, SIZE)
    assert np.array_equal(two[:1], batch)


def test_a_file_gives_the_input_of_its_phantom() -> None:
    study = read(write_dicom(phantom(0)))
    assert study.frame.unit == "HU"
    ours, direct = (prepare(one, locate(one), MANIFEST) for one in (study, phantom(0).study()))
    assert ours == pytest.approx(direct, abs=1e-5)


def test_middle_of_the_input_has_the_hu_of_the_vertebral_body() -> None:
    """The ellipse of 17 x 13 mm measured on the slice and in the input, where smoothing carries a little over its border."""
    study = phantom(1).study()
    body = find_body(study.frame.pixels, study.frame.spacing_mm)
    assert body is not None
    seen = hu_of(torch.from_numpy(prepare(study, locate(study), MANIFEST)), "t")[0]
    pixel_mm = SIDE_MM / SIZE
    inside = roi_mean(seen, (pixel_mm, pixel_mm), (SIZE - 1) / 2, (SIZE - 1) / 2)
    assert inside == pytest.approx(roi_mean(study.frame.pixels, study.frame.spacing_mm, body.x, body.y), abs=4)


def test_region_beyond_the_frame_continues_its_edge() -> None:
    study = slice_of(np.tile(np.arange(200, dtype=np.float32), (200, 1)))
    crop = crop_region(study, Region((150, 50, 250, 150)), 100)
    assert np.isfinite(crop).all()
    assert crop[:, 52:] == pytest.approx(199, abs=1e-3)
    assert crop[:, 10] == pytest.approx(160, abs=1)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_training_sees_what_screening_sees(seed: int) -> None:
    """The stored HU with context, cut back, are the input of the road."""
    study = phantom(seed).study()
    stored = training_array(LabelledCase("a", "a", study, 0.0))
    assert (stored.shape, stored.dtype) == ((192, 192), np.int16)
    trained = learn.plain(torch.from_numpy(stored[None])).numpy()
    difference = np.abs(trained - prepare(study, locate(study), MANIFEST)) * np.tile(SD, (2, 1, 1))
    assert difference.max() * 1152 <= 0.51  # HU: rounding
    assert difference.max() > 0


def test_labelled_region_goes_before_the_proposed_one() -> None:
    study = phantom(0).study()
    there = (Region((100.0, 120.0, 200.0, 220.0)),)
    chosen, proposed = (training_array(LabelledCase("a", "a", study, 0.0, regions=where)) for where in (there, None))
    margin = (len(chosen) - SIZE) // 2
    assert chosen[margin:-margin, margin:-margin] == pytest.approx(
        crop_region(study, there[0], SIZE).clip(-600, 1024), abs=0.51
    )
    assert not np.array_equal(chosen, proposed)


def in_the_ellipse(hu: np.ndarray) -> np.ndarray:
    """Mean over the measured ellipse of each image, (N,)."""
    pixel_mm = SIDE_MM / SIZE
    return np.array([roi_mean(one, (pixel_mm, pixel_mm), (SIZE - 1) / 2, (SIZE - 1) / 2) for one in hu])


def test_augmentation_leaves_the_mean_of_the_measured_ellipse_alone() -> None:
    """A slice of one value: the ellipse keeps this mean, but for an offset of 4 HU, and becomes uneven.

    Around it the HU change by more, in each image in another way: the grade must not be read off them.
    """
    stored = torch.full((64, 192, 192), 150, dtype=torch.int16)
    batch = learn.augment(stored, np.random.default_rng(1))
    assert (batch.shape, batch.dtype) == ((64, 6, SIZE, SIZE), torch.float32)
    for name in "st":
        hu = hu_of(batch, name)
        offset = in_the_ellipse(hu) - 150
        assert 2 < np.abs(offset).max() < 10  # 4 HU, and what smoothing carries over the border
        assert abs(offset.mean()) < 1
        unevenness = hu[:, 57:71, 55:73].std(axis=(1, 2))
        assert unevenness.max() > 25
        assert np.ptp(unevenness) > 15
        around = np.concatenate([hu[:, :24].mean(axis=(1, 2)), hu[:, -24:].mean(axis=(1, 2))]) - 150
        assert 45 < np.abs(around).max() < 200
        assert around.std() > 25


def test_augmentation_shows_the_measured_place_amid_other_images() -> None:
    """Flat images of two values: every ellipse keeps its own, about a quarter have the surroundings of the other kind."""
    own = np.where(np.arange(80) % 2, 300, 100)
    stored = torch.from_numpy(own.astype(np.int16))[:, None, None].expand(-1, 192, 192)
    hu = hu_of(learn.augment(stored, np.random.default_rng(2)), "s")
    assert np.abs(in_the_ellipse(hu) - own).max() < 60
    corners = np.stack([hu[:, y : y + 20, x : x + 20].mean(axis=(1, 2)) for y in (0, 108) for x in (0, 108)])
    is_other = np.abs(corners.mean(axis=0) - own) > 100
    assert 0.1 < is_other.mean() < 0.4


def blob(x: float, y: float) -> torch.Tensor:
    """A bright spot at `x`, `y` from the middle, pixels of a stored crop."""
    rows, columns = np.mgrid[:192, :192] - 95.5
    return torch.from_numpy((800 * np.exp(-(np.square(columns - x) + np.square(rows - y)) / 50)).astype(np.int16))


def spots(batch: torch.Tensor) -> np.ndarray:
    """Where the bright spot of each image lies, from the middle: (N, 2) as x, y."""
    bright = np.clip(hu_of(batch, "s") - 200, 0, None)
    weights = bright / bright.sum(axis=(1, 2), keepdims=True)
    place = np.arange(SIZE) - (SIZE - 1) / 2
    return np.stack([(weights.sum(axis=axis) * place).sum(axis=1) for axis in (1, 2)], axis=1)


def test_augmentation_turns_a_little_and_mirrors_left_and_right_only() -> None:
    batch = learn.augment(blob(40, 25).expand(60, -1, -1), np.random.default_rng(2))
    found = spots(batch)
    mirrored = found[:, 0] < 0
    assert 0.35 < mirrored.mean() < 0.65
    assert found[:, 1].min() > 0  # never upside down
    right = np.where(mirrored, -1, 1)[:, None] ** np.array([1, 0]) * found
    # within the range of scale (10 %) and shift (2.5 % of the side, either way), turned by at most 12 degrees
    distance = np.hypot(*right.T)
    assert np.hypot(40, 25) / 1.1 - 14 < distance.min() < distance.max() < np.hypot(40, 25) / 0.9 + 14
    assert right.mean(axis=0) == pytest.approx((40, 25), abs=3)
    assert 3 < right.std(axis=0).min() < right.std(axis=0).max() < 14


def test_augmentation_repeats_with_its_seed() -> None:
    stored = blob(20, 30)[None].expand(3, -1, -1)
    first, again, other = (learn.augment(stored, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(stored, blob(20, 30)[None].expand(3, -1, -1))


# --- answers ---------------------------------------------------------------------------------------------------------

LOGITS = np.array(
    [[[0.1, 1.2, -0.3], [2.0, 0.0, 0.0], [0.0, 0.0, 3.0]], [[-1, 0, 2], [0, 1, 0], [1, 1, 1]]], np.float32
)
REGIONS = (Region((0, 0, 60, 60)), Region((60, 60, 120, 120)))


def stepped() -> Study:
    """120 x 120 pixels: 50 HU in the upper left quarter, 200 HU elsewhere."""
    hu = np.full((120, 120), 200.0)
    hu[:60, :60] = 50
    return slice_of(hu)


def test_logits_become_grades_of_their_regions() -> None:
    points = {point.label: point for point in MANIFEST.operating_points}
    assert set(points) == {"osteopenia", "osteoporosis"}
    p = torch.softmax(torch.from_numpy(LOGITS).double(), dim=2).numpy()
    for label, cut in (("osteopenia", 1), ("osteoporosis", 2)):
        prediction = decode(LOGITS, stepped(), REGIONS, MANIFEST, points[label])
        assert [finding.label for finding in prediction.findings] == [label] * 2
        assert [finding.grade for finding in prediction.findings] == [1, 2]
        expected = p[:, 0, cut:].sum(axis=1)  # the class or a worse one
        assert [finding.probability for finding in prediction.findings] == pytest.approx(expected)
        assert [finding.positive for finding in prediction.findings] == (expected >= 0.5).tolist()
        assert [finding.box_xyxy for finding in prediction.findings] == [region.box_xyxy for region in REGIONS]
        for finding, row in zip(prediction.findings, p[:, 0], strict=True):
            assert finding.probabilities == pytest.approx(
                dict(zip(("normal", "osteopenia", "osteoporosis"), row, strict=True))
            )


def test_branches_of_a_pair_speak_for_themselves() -> None:
    prediction = decode(LOGITS, stepped(), REGIONS, MANIFEST, MANIFEST.default_point)
    p = torch.softmax(torch.from_numpy(LOGITS).double(), dim=2).numpy()
    assert list(prediction.branches) == ["s", "t"]
    for place, name in enumerate("st", start=1):
        for region in range(2):
            assert list(prediction.branches[name][region].values()) == pytest.approx(p[region, place])
    alone = decode(LOGITS[:, :1], stepped(), REGIONS, MANIFEST, MANIFEST.default_point)
    assert alone.branches == {}
    assert alone.findings == prediction.findings


def test_each_region_has_the_hu_at_its_middle() -> None:
    prediction = decode(LOGITS, stepped(), REGIONS, MANIFEST, MANIFEST.default_point)
    assert prediction.measures["roi_hu"] == pytest.approx((50, 200))
    outside = (Region((100, 100, 140, 140)),)
    beyond = decode(LOGITS[:1], stepped(), outside, MANIFEST, MANIFEST.default_point)
    assert np.isnan(beyond.measures["roi_hu"]).all()
    unknown = replace(stepped(), frames=(replace(stepped().frame, spacing_mm=None),))
    assert decode(LOGITS, unknown, REGIONS, MANIFEST, MANIFEST.default_point).measures == prediction.measures


def test_missing_answer_for_a_region_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decode(LOGITS[:1], stepped(), REGIONS, MANIFEST, MANIFEST.default_point)


@pytest.mark.parametrize("cut", [1, 2])
def test_explained_score_is_the_score_on_screen(cut: int) -> None:
    output = torch.from_numpy(LOGITS)
    shown = scores(output)[:, cut:].sum(dim=1)
    behind = torch.stack([torch.sigmoid(explained(row, cut)) for row in output])
    torch.testing.assert_close(behind, shown)
    assert float(shown[0]) == pytest.approx(float(torch.softmax(output[0, 0], 0)[cut:].sum()))


# --- networks --------------------------------------------------------------------------------------------------------

OURS = {"branches": "st"}
TABLES: dict[str, tuple[str, dict[str, object], int]] = {
    # name in the publication: (architecture, options, rows of the output)
    "table 2, ResNet18+ACM (x^s)": ("resnet18_acm", {"branches": "s"}, 1),
    "table 2, ResNet18+ACM (x^t)": ("resnet18_acm", {"branches": "t"}, 1),
    "table 2, ours - L_dis": ("resnet18_acm", {**OURS, "dissimilarity": 0.0}, 3),
    "table 2, ours": ("resnet18_acm", OURS, 3),
    "table 3, (x^s, x^s)": ("resnet18_acm", {"branches": "ss", "dissimilarity": 0.0}, 3),
    "table 3, (x^t, x^t)": ("resnet18_acm", {"branches": "tt", "dissimilarity": 0.0}, 3),
    "table 3, (x^s, x^t)": ("resnet18_acm", {"branches": "st", "dissimilarity": 0.0}, 3),
    **{f"table 4, alpha {alpha}": ("resnet18_acm", {**OURS, "alpha": alpha}, 3) for alpha in (0.1, 0.3, 0.5, 0.7, 0.9)},
    "table 4, learnable": ("resnet18_acm", {**OURS, "alpha": None}, 3),
    "table 5, ResNet18": ("resnet18", {"branches": "t"}, 1),
    "table 5, Xception": ("xception", {"branches": "t"}, 1),
    "table 5, Inception-v3": ("inception_v3", {"branches": "t"}, 1),
    "table 5, EfficientNet-b0": ("efficientnet_b0", {"branches": "t"}, 1),
    "table 5, ViT-16x16": ("vit_b_16", {"branches": "t"}, 1),
}


@pytest.mark.parametrize("row", TABLES)
def test_row_of_a_published_table_can_be_built(row: str) -> None:
    name, options, n_rows = TABLES[row]
    with torch.device("meta"):
        network = Network(name, **options).eval()
        output = network(torch.zeros(2, 6, SIZE, SIZE))
    assert output.shape == (2, n_rows, 3)
    names = dict(network.named_parameters())
    assert ("alpha" in names) == (n_rows == 3 and options.get("alpha") is None)
    assert network.dissimilarity == options.get("dissimilarity", 0.1)
    assert network.orthogonality == 0.0
    assert any(".acm." in key for key in names) == (name == "resnet18_acm")
    assert list(network.windows.values()) == list(str(options["branches"]))


def test_default_is_the_proposed_pair_with_its_number_of_parameters() -> None:
    """Two of ResNet18 with three classes (11 178 051) and eight modules (28 992), the head F, and alpha."""
    with torch.device("meta"):
        network = Network()
    n = sum(p.numel() for p in network.parameters())
    assert n == 2 * (11_178_051 + 28_992) + (512 * 3 + 3) + 1 == 22_415_626
    assert network.rows == ("fused", "s", "t")


def test_fixed_alpha_is_kept_as_given() -> None:
    network = Network("resnet18", alpha=0.7)
    assert float(network.alpha) == pytest.approx(0.7)
    assert "alpha" not in dict(network.named_parameters())


def test_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="resnet18_acm"):
        Network("alexnet")
