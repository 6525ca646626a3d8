"""The CT phantom: repeatable, its label visible in the vertebral body and nowhere else."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from core.imaging.drawing import Canvas, field
from core.phantom import Phantom
from core.tasks.ct_osteoporosis.phantom import MARKERS, SAMPLES, SLICE_SD, make_phantom, make_sample
from core.tasks.ct_osteoporosis.phantom.patient import DXA_SD, T_MEAN, T_SD, draw_markers
from core.tasks.ct_osteoporosis.task import SIDE_MM

TRIVIAL_LIMIT, IDEAL_LIMIT = 0.65, 0.85
N = 120
MUSCLE_TO_BONE, BONE = 130, 300  # HU


def phantom(*seed: int, **options: object) -> Phantom:
    return make_phantom(np.random.default_rng(seed), **options)


def around_body(one: Phantom, grow_mm: tuple[float, float]) -> np.ndarray:
    """True in an ellipse around the vertebral body that is larger by `grow_mm` (smaller when negative)."""
    rows, columns = np.mgrid[0:512, 0:512]
    (x, y), spacing = one.truth["body_xy"], one.meta["PixelSpacing"]
    a, b = (half + more for half, more in zip(one.truth["body_half_mm"], grow_mm, strict=True))
    return np.hypot((columns - x) * spacing / a, (rows - y) * spacing / b) < 1


def in_box(one: Phantom) -> np.ndarray:
    x0, y0, x1, y1 = (int(np.clip(v, 0, 512)) for v in one.truth["box_xyxy"])
    return one.pixels[y0:y1, x0:x1]


def core_hu(one: Phantom) -> np.ndarray:
    a, b = one.truth["body_half_mm"]
    return one.pixels[around_body(one, (-0.5 * a, -0.5 * b))]


# --- audit -----------------------------------------------------------------------------------------------------------


def trivial_features(pixels: np.ndarray) -> dict[str, float]:
    values = {f"percentile {q}": float(np.percentile(pixels[::2, ::2], q)) for q in (5, 25, 50, 75, 95, 99)}
    bright = {f"above {limit}": float((pixels > limit).mean()) for limit in (MUSCLE_TO_BONE, BONE)}
    tissue = pixels[pixels > -500]
    return {"mean": float(pixels.mean()), "sd": float(pixels.std()), "tissue": float(tissue.mean()), **values, **bright}


@pytest.fixture(scope="module")
def audit() -> dict[str, np.ndarray]:
    rows = []
    for i in range(N):
        one = phantom(3, i)
        facts = {name: one.truth[name] for name in ("label", "t_score", "t_score_dxa", "trabecular_hu")}
        rows.append({**trivial_features(one.pixels), **facts, **one.markers, "region": float(core_hu(one).mean())})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def either_way(labels: np.ndarray, values: np.ndarray) -> float:
    area = float(roc_auc_score(labels, values))
    return max(area, 1 - area)


@pytest.mark.parametrize("at_least", [1, 2])
def test_no_trivial_feature_tells_the_label(audit: dict[str, np.ndarray], at_least: int) -> None:
    names = trivial_features(np.zeros((8, 8)) + 1)
    found = {name: either_way(audit["label"] >= at_least, audit[name]) for name in names}
    assert len(found) == 11
    assert {name: area for name, area in found.items() if area > TRIVIAL_LIMIT} == {}


def test_audit_would_notice_a_shortcut(audit: dict[str, np.ndarray]) -> None:
    leaky = audit["mean"] + 0.5 * audit["mean"].std() * audit["label"]
    assert either_way(audit["label"] >= 1, leaky) > TRIVIAL_LIMIT


@pytest.mark.parametrize("at_least", [1, 2])
@pytest.mark.parametrize("value", ["region", "trabecular_hu"])
def test_density_of_the_true_region_tells_the_label_but_errs(
    audit: dict[str, np.ndarray], at_least: int, value: str
) -> None:
    assert IDEAL_LIMIT <= roc_auc_score(audit["label"] >= at_least, -audit[value]) <= 0.99


def test_all_classes_are_present_as_often_as_the_cause_says(audit: dict[str, np.ndarray]) -> None:
    below = norm.cdf([-2.5, -1.0], T_MEAN, np.hypot(T_SD, DXA_SD))
    shares = np.bincount(audit["label"], minlength=3) / N
    assert shares == pytest.approx([1 - below[1], below[1] - below[0], below[0]], abs=0.12)
    assert min(shares) > 0.15


def test_label_is_the_class_of_the_dxa_score(audit: dict[str, np.ndarray]) -> None:
    score = audit["t_score_dxa"]
    assert np.array_equal(audit["label"], np.where(score >= -1, 0, np.where(score > -2.5, 1, 2)))
    assert np.std(score - audit["t_score"]) == pytest.approx(0.25, abs=0.06)


def test_region_has_the_density_that_the_truth_tells(audit: dict[str, np.ndarray]) -> None:
    """Tube voltage, offset, veins and sclerosis move single slices, not the mean."""
    error = audit["region"] - audit["trabecular_hu"]
    assert abs(np.median(error)) < 6
    assert 5 < error.std() < 25


# --- cause and markers -----------------------------------------------------------------------------------------------


def test_markers_are_monotone_in_the_cause_when_the_noise_is_the_same() -> None:
    drawn = [draw_markers(np.random.default_rng(4), t) for t in np.linspace(-5, 1, 25)]
    assert (np.diff([one["trabecular_hu"] for one in drawn]) > 0).all()
    texture = np.diff([one["texture_hu"] for one in drawn])
    assert (texture <= 0).all()
    assert texture.sum() < -10


@pytest.mark.parametrize(("t_score", "hu"), [(-1.0, 160), (-2.5, 110)])
def test_limits_of_the_t_score_meet_the_published_densities(t_score: float, hu: float) -> None:
    rng = np.random.default_rng(5)
    values = [draw_markers(rng, t_score)["trabecular_hu"] for _ in range(400)]
    assert np.mean(values) == pytest.approx(hu, abs=2)


# --- repeatable, and nothing but the cause differs in a pair ---------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"level": "T9", "contrast": True}, {"metal": True, "shifted": True}])
def test_same_generator_state_gives_the_same_bytes(options: dict[str, object]) -> None:
    first, second = phantom(5, **options), phantom(5, **options)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    np.testing.assert_equal(dict(first.truth), dict(second.truth))
    assert (first.markers, first.meta) == (second.markers, second.meta)
    assert phantom(6, **options).pixels.tobytes() != first.pixels.tobytes()


@pytest.mark.parametrize(("seed", "kernel"), [(1, "soft"), (2, "standard"), (3, "sharp"), (4, None)])
def test_lowering_the_cause_changes_the_vertebral_body_only(seed: int, kernel: str | None) -> None:
    healthy, ill = (phantom(31, seed, t_score=t, kernel=kernel) for t in (-0.5, -3.0))
    assert healthy.meta == ill.meta
    for key in ("body_xy", "body_half_mm", "box_xyxy", "level"):
        assert healthy.truth[key] == ill.truth[key]
    change = healthy.pixels - ill.pixels
    blur_mm = 10 * healthy.meta["PixelSpacing"]
    outside = ~around_body(healthy, (blur_mm + 8, blur_mm + 8))
    assert not change[outside].any()
    drop = healthy.truth["trabecular_hu"] - ill.truth["trabecular_hu"]
    assert drop == pytest.approx(2.5 * 33)
    a, b = healthy.truth["body_half_mm"]
    assert np.median(change[around_body(healthy, (-0.5 * a, -0.5 * b))]) == pytest.approx(drop, rel=0.25)


def test_drawn_and_given_causes_leave_the_same_nuisance() -> None:
    drawn = phantom(8)
    given = phantom(8, t_score=drawn.truth["t_score"])
    assert drawn.pixels.tobytes() == given.pixels.tobytes()


# --- slices of one patient -------------------------------------------------------------------------------------------


def test_slices_of_a_patient_share_the_patient_and_differ_as_slices() -> None:
    rng = np.random.default_rng(9)
    first = make_phantom(rng, contrast=True, kernel="sharp")
    others = [make_phantom(rng, like=first) for _ in range(5)]
    for other in others:
        own, shared = ({**p.meta, "SlicePosition": 0} for p in (other, first))
        assert own == shared
        for key in ("t_score", "t_score_dxa", "label", "patient"):
            assert other.truth[key] == first.truth[key]
        assert other.markers["texture_hu"] == first.markers["texture_hu"]
        assert abs(other.truth["trabecular_hu"] - first.truth["trabecular_hu"]) < 6 * SLICE_SD
    assert len({one.pixels.tobytes() for one in [first, *others]}) == 6
    assert len({one.truth["trabecular_hu"] for one in [first, *others]}) == 6


def test_slice_of_another_patient_is_no_slice_of_this_one() -> None:
    rng = np.random.default_rng(9)
    assert make_phantom(rng).truth["patient"] != make_phantom(rng).truth["patient"]


# --- what is seen ----------------------------------------------------------------------------------------------------


def test_box_is_centred_on_the_body_and_the_cortex_lies_at_its_edge() -> None:
    found = []
    for seed in range(5):
        one = phantom(17, seed, level="L2", kernel="soft")
        (x, y), spacing, (a, _) = one.truth["body_xy"], one.meta["PixelSpacing"], one.truth["body_half_mm"]
        x0, y0, x1, y1 = one.truth["box_xyxy"]
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((x, y))
        assert (x1 - x0, y1 - y0) == pytest.approx((SIDE_MM / spacing, SIDE_MM / spacing))
        profile = gaussian_filter(one.pixels, 1)[int(y) - 2 : int(y) + 3].mean(axis=0)
        distance = (np.arange(512) - x) * spacing
        found += [
            abs(distance[np.where((side * distance > 0) & (abs(distance) < 35), profile, -2000).argmax()]) - a
            for side in (-1, 1)
        ]
    assert abs(np.median(found) + 1) < 1.5  # the middle of the shell lies a millimetre inside
    assert sum(abs(one) < 4 for one in found) >= 8


def test_lungs_lie_beside_thoracic_vertebrae_only() -> None:
    thoracic, lumbar = phantom(2, level="T9"), phantom(2, level="L2")
    assert (in_box(thoracic) < -500).mean() > 0.1
    assert (in_box(lumbar) < -500).mean() < 0.02
    assert thoracic.truth["body_half_mm"][0] < lumbar.truth["body_half_mm"][0]


def test_contrast_medium_brightens_vessels_and_leaves_the_bone() -> None:
    plain, bright = (phantom(3, level="L2", contrast=on, kernel="soft") for on in (False, True))
    assert (plain.meta["ContrastBolusAgent"], bright.meta["ContrastBolusAgent"]) == ("", "yes")
    change = gaussian_filter(bright.pixels - plain.pixels, 3)
    assert change.max() > 80
    assert not (bright.pixels - plain.pixels)[around_body(plain, (-8, -8))].any()


def test_sharp_kernel_is_grainier_than_a_soft_one() -> None:
    spread = {
        kernel: np.median([core_hu(phantom(4, i, kernel=kernel)).std() for i in range(4)])
        for kernel in ("soft", "sharp")
    }
    assert 15 < spread["soft"] < 45 < spread["sharp"] < 105


def test_screws_are_metal() -> None:
    plain, metal = (phantom(7, level="L3", kernel="soft", metal=on) for on in (False, True))
    assert (in_box(metal) > 1500).sum() > 100
    assert not (in_box(plain) > 1500).any()


def test_shifted_slices_are_noisier() -> None:
    plain, shifted = (phantom(6, kernel="soft", shifted=on) for on in (False, True))
    air = (slice(0, 30), slice(0, 30))
    assert shifted.pixels[air].std() > plain.pixels[air].std()
    assert make_phantom(np.random.default_rng(1), like=shifted).truth["patient"] == shifted.truth["patient"]


def test_samples_are_what_their_titles_say() -> None:
    made = {name: make_sample(name) for name in SAMPLES}
    assert next(iter(SAMPLES)) == "osteoporosis"
    assert [made[name].truth["label"] for name in ("normal", "osteopenia", "osteoporosis")] == [0, 1, 2]
    assert made["contrast"].meta["ContrastBolusAgent"] == "yes"
    assert made["thoracic"].truth["level"].startswith("T")
    assert abs(made["borderline"].truth["t_score"] + 2.5) < 0.2


# --- as a study ------------------------------------------------------------------------------------------------------


def test_study_is_what_a_reader_would_give() -> None:
    one = phantom(12, contrast=False)
    assert one.pixels.dtype == np.float32
    assert one.stored.dtype == np.uint16
    assert one.stored.max() <= 4095
    assert one.stored.astype(float) - 1024 == pytest.approx(one.pixels, abs=0.51)
    frame = one.study().frame
    spacing = one.meta["PixelSpacing"]
    assert (frame.unit, frame.spacing_mm, frame.window) == ("HU", (spacing, spacing), (200.0, 700.0))
    assert one.study().tags["Modality"] == "CT"
    assert list(one.markers) == list(MARKERS)


# --- the canvas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_painted_ellipse_and_tube_have_their_areas(tilt: float) -> None:
    slate = Canvas.blank((200, 220), (100.0, 90.0), 0.5, 0.3, 0.0)
    slate.ellipse((3.0, -4.0), (20.0, 12.0), 1.0, tilt=tilt)
    assert slate.pixels.sum() * 0.25 == pytest.approx(np.pi * 20 * 12, rel=0.02)
    rod = Canvas.blank((200, 220), (100.0, 90.0), 0.5, -0.2, 0.0)
    rod.tube((-10.0, 0.0), (15.0, 5.0), 4.0, 2.0, core=1.0)
    length = np.hypot(25, 5)
    shell, core = (2 * r * length + np.pi * r * r for r in (4.0, 0.66 * 4.0))
    assert rod.pixels.sum() * 0.25 == pytest.approx(2 * shell - core, rel=0.02)


def test_shape_beyond_the_edge_is_cut_off() -> None:
    slate = Canvas.blank((50, 50), (0.0, 0.0), 1.0, 0.0, 0.0)
    slate.ellipse((0.0, 0.0), (10.0, 10.0), 1.0)
    assert slate.pixels.sum() == pytest.approx(np.pi * 25 + 10, rel=0.03)
    slate.ellipse((-60.0, -60.0), (10.0, 10.0), 5.0)
    assert slate.pixels.max() == 1.0


@pytest.mark.parametrize("scale", [4.0, 30.0])
def test_field_has_lumps_of_the_given_size(scale: float) -> None:
    smooth = field(np.random.default_rng(2), (256, 300), scale)
    assert smooth.shape == (256, 300)
    assert smooth.dtype == np.float32
    assert smooth.std() == pytest.approx(1, abs=0.3)
    step = int(scale)
    near, far = (np.corrcoef(smooth[:, :-k].ravel(), smooth[:, k:].ravel())[0, 1] for k in (step // 4, 3 * step))
    assert near > 0.8
    assert abs(far) < 0.35
