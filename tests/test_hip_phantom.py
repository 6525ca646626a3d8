"""The hip phantom: repeatable, its label visible in the anatomy and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from factory import DEVIATION, FixedNoise, HipCase, hip_phantoms
from scipy.ndimage import gaussian_filter
from scipy.stats import norm, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.imaging.display import to_display
from core.phantom import Phantom
from core.tasks.hip_osteoporosis.data import phantom_cases
from core.tasks.hip_osteoporosis.phantom import (
    MARKERS,
    OSTEOPOROSIS_T,
    SPACING_MM,
    T_MEAN,
    T_SD,
    draw_markers,
    make_phantom,
)

TRIVIAL_LIMIT, IDEAL_LIMIT = 0.65, 0.85
FALLING = {"ward"}  # Ward's triangle grows as bone is lost; every other marker fades


def phantom(*seed: int, **options: object) -> Phantom:
    return make_phantom(np.random.default_rng(seed), **options)


def either_way(labels: list[int], values: list[float]) -> float:
    area = float(roc_auc_score(labels, values))
    return max(area, 1 - area)


def cross_validated_auroc(labels: list[int], features: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(
        roc_auc_score(labels, cross_val_predict(model, features, labels, cv=folds, method="decision_function"))
    )


# --- audit -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> tuple[HipCase, ...]:
    return hip_phantoms()[0]


@pytest.fixture(scope="module")
def labels(cases: tuple[HipCase, ...]) -> list[int]:
    return [case.label for case in cases]


def test_no_trivial_feature_tells_the_label(cases: tuple[HipCase, ...], labels: list[int]) -> None:
    found = {name: either_way(labels, [case.trivial[name] for case in cases]) for name in cases[0].trivial}
    assert len(found) >= 10
    assert {name: area for name, area in found.items() if area > TRIVIAL_LIMIT} == {}


def test_histogram_does_not_tell_the_label(cases: tuple[HipCase, ...], labels: list[int]) -> None:
    assert cross_validated_auroc(labels, np.array([case.histogram for case in cases])) <= TRIVIAL_LIMIT


def test_all_trivial_features_together_do_not_tell_the_label(cases: tuple[HipCase, ...], labels: list[int]) -> None:
    assert cross_validated_auroc(labels, np.array([list(case.trivial.values()) for case in cases])) <= TRIVIAL_LIMIT


def test_image_size_does_not_tell_the_label(cases: tuple[HipCase, ...]) -> None:
    assert {case.shape for case in cases} == {(440, 380)}


def test_audit_would_notice_a_shortcut(cases: tuple[HipCase, ...], labels: list[int]) -> None:
    """The same cases with a brightness that leaks a little of the label."""
    spread = float(np.std([case.trivial["mean"] for case in cases]))
    leaky = [case.trivial["mean"] + spread * case.label for case in cases]
    assert either_way(labels, leaky) > TRIVIAL_LIMIT


def test_ideal_observer_tells_the_label_but_errs(cases: tuple[HipCase, ...], labels: list[int]) -> None:
    area = cross_validated_auroc(labels, np.array([case.markers for case in cases]))
    assert IDEAL_LIMIT <= area <= 0.98


def test_prevalence_is_the_references(labels: list[int]) -> None:
    """141 of 312 hips: 45 %."""
    exact = norm.cdf(OSTEOPOROSIS_T, T_MEAN, np.hypot(T_SD, 0.25))
    assert exact == pytest.approx(141 / 312, abs=0.01)
    assert np.mean(labels) == pytest.approx(exact, abs=2.6 * np.sqrt(0.25 / len(labels)))


# --- cause and markers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", MARKERS)
def test_marker_follows_the_cause_with_noise(cases: tuple[HipCase, ...], marker: str) -> None:
    values = [case.markers[MARKERS.index(marker)] for case in cases]
    rho = float(spearmanr(values, [case.t_score for case in cases]).statistic)
    assert 0.5 <= (-rho if marker in FALLING else rho) <= 0.85


@pytest.mark.parametrize("marker", MARKERS)
def test_marker_is_monotone_in_the_cause_when_the_noise_is_the_same(marker: str) -> None:
    values = [draw_markers(np.random.default_rng(8), t)[marker] for t in np.linspace(-5, 1, 25)]
    steps = np.diff(values)
    assert (steps <= 0).all() if marker in FALLING else (steps >= 0).all()
    assert abs(values[-1] - values[0]) > 0.1


def test_trabecular_groups_fade_in_singhs_order() -> None:
    """Trochanter first, then secondary, then principal tensile, principal compressive last: thresholds on the mean."""
    groups = ("trochanter", "secondary", "tensile", "compressive")
    scores = np.linspace(-7, 2, 46)
    rng = np.random.default_rng(3)
    means = {group: [np.mean([draw_markers(rng, t)[group] for _ in range(60)]) for t in scores] for group in groups}
    half = [float(np.interp(0.5, means[group], scores)) for group in groups]
    assert half == sorted(half, reverse=True)
    assert len(set(np.round(half, 1))) == 4


# --- repeatable, and nothing but the cause differs in a pair ---------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"view": "pelvis"}, {"implant": "nail"}, {"blurred": True, "laterality": "R"}])
def test_same_generator_state_gives_the_same_bytes(options: dict[str, object]) -> None:
    first, second = phantom(5, **options), phantom(5, **options)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    np.testing.assert_equal(dict(first.truth), dict(second.truth))
    assert (first.markers, first.meta) == (second.markers, second.meta)
    assert phantom(6, **options).pixels.tobytes() != first.pixels.tobytes()


def test_lowering_the_cause_changes_the_bone_only() -> None:
    """Counterfactual pair with the same noise: same pose, same side, same soft tissue; the difference lies in the hip."""
    healthy, ill = (make_phantom(FixedNoise([31]), t_score=t, laterality="L") for t in (-1.0, -1.0 - DEVIATION))
    assert healthy.truth["hips"] == ill.truth["hips"]
    assert healthy.meta == ill.meta
    for name in MARKERS:
        assert (ill.markers[name] > healthy.markers[name]) == (name in FALLING)
    (x, y), radius = healthy.truth["hips"][0]["head_px"], healthy.truth["hips"][0]["radius_px"]
    change = gaussian_filter(np.abs(healthy.pixels - ill.pixels), 2)
    hip = change[int(y - radius) : int(y + 3 * radius), int(x - radius) : int(x + 3 * radius)]
    beside = change[int(y + 2 * radius) :, : int(x - 2 * radius)]
    assert hip.mean() > 2 * beside.mean()
    assert np.corrcoef(healthy.pixels.ravel(), ill.pixels.ravel())[0, 1] > 0.97


def test_label_is_the_dxa_score_at_the_who_limit() -> None:
    cases, kept = hip_phantoms()
    for case, one in zip(cases, kept, strict=False):
        assert case.label == int(one.truth["t_score_dxa"] <= -2.5)
        assert abs(one.truth["t_score_dxa"] - one.truth["t_score"]) < 1.25
    errors = [one.truth["t_score_dxa"] - one.truth["t_score"] for one in kept]
    assert np.std(errors) == pytest.approx(0.25, abs=0.06)


# --- two hips of a patient, left and right ---------------------------------------------------------------------------


def test_other_hip_shares_the_patient_and_lies_on_the_other_side() -> None:
    rng = np.random.default_rng(4)
    one = make_phantom(rng)
    other = make_phantom(rng, like=one)
    assert other.markers == one.markers
    assert {one.meta["Laterality"], other.meta["Laterality"]} == {"L", "R"}
    for key in ("PatientAge", "PatientSex", "PatientWeight"):
        assert other.meta[key] == one.meta[key]
    for key in ("t_score", "t_score_dxa", "label"):
        assert other.truth[key] == one.truth[key]
    assert other.truth["hips"][0]["radius_px"] != one.truth["hips"][0]["radius_px"]  # films of their own


def test_right_hip_is_the_mirror_image_of_the_left() -> None:
    left, right = phantom(9, laterality="L", t_score=-2.0), phantom(9, laterality="R", t_score=-2.0)
    (left_hip,), (right_hip,) = left.truth["hips"], right.truth["hips"]
    assert right_hip["head_px"] == pytest.approx((379 - left_hip["head_px"][0], left_hip["head_px"][1]))
    x0, y0, x1, y1 = left_hip["box_xyxy"]
    assert right_hip["box_xyxy"] == pytest.approx((379 - x1, y0, 379 - x0, y1))

    def structure(pixels: np.ndarray) -> np.ndarray:
        return (gaussian_filter(pixels, 1.5) - gaussian_filter(pixels, 8)).ravel()

    assert np.corrcoef(structure(left.pixels), structure(right.pixels[:, ::-1]))[0, 1] > 0.8
    assert np.corrcoef(structure(left.pixels), structure(right.pixels))[0, 1] < 0.4


def test_pelvis_shows_the_right_hip_on_the_viewers_left() -> None:
    hips = phantom(2, view="pelvis").truth["hips"]
    assert [hip["laterality"] for hip in hips] == ["R", "L"]
    assert hips[0]["head_px"][0] < 420 < hips[1]["head_px"][0]


# --- options for the gate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nail", "screws", "plate"])
def test_implant_is_brighter_than_bone(kind: str) -> None:
    plain, metal = (phantom(7, t_score=-2.0, laterality="L", implant=implant) for implant in (None, kind))
    brightest = np.percentile(gaussian_filter(metal.pixels, 1), 99.5)
    in_metal = gaussian_filter(metal.pixels, 1) > 0.97 * brightest
    x0, y0, x1, _ = (int(v) for v in metal.truth["hips"][0]["box_xyxy"])
    inside = in_metal[max(0, y0) :, max(0, x0) : x1].sum()  # a nail goes on down the shaft
    assert inside > 0.9 * in_metal.sum() > 100
    ranks = plain.pixels.argsort(axis=None).argsort().reshape(plain.pixels.shape) / plain.pixels.size
    assert ranks[in_metal].mean() < 0.98  # where there was no such brightness without


def test_blur_takes_the_fine_structure_away() -> None:
    def sharpness(pixels: np.ndarray) -> float:
        return float((gaussian_filter(pixels, 1) - gaussian_filter(pixels, 2)).std() / pixels.std())

    assert sharpness(phantom(3, blurred=True).pixels) < 0.4 * sharpness(phantom(3).pixels)


# --- as a study ------------------------------------------------------------------------------------------------------


def test_study_is_what_a_reader_would_give() -> None:
    one = phantom(12)
    study = one.study()
    frame = study.frame
    assert (frame.unit, frame.spacing_mm, frame.window) == ("relative", (SPACING_MM, SPACING_MM), (2048.0, 4096.0))
    assert frame.pixels.dtype == np.float32
    assert frame.pixels.min() >= 0
    assert 2000 < frame.pixels.max() <= 4095
    assert np.array_equal(frame.pixels, np.rint(frame.pixels))
    assert to_display(frame) == pytest.approx(one.pixels, abs=1.01 / 4095)
    assert study.laterality == one.meta["Laterality"]
    assert (study.age_years, study.sex, study.weight_kg) == tuple(
        one.meta[key] for key in ("PatientAge", "PatientSex", "PatientWeight")
    )
    assert study.tags["Modality"] == "CR"
    assert study.is_phantom
    assert one.stored.dtype == np.uint16


def test_pelvis_study_names_no_side() -> None:
    assert phantom(12, view="pelvis").study().laterality is None


# --- streams of cases ------------------------------------------------------------------------------------------------


def test_training_hips_come_by_patients_who_never_meet_the_test() -> None:
    training, test = list(phantom_cases(3, "training", 5)), list(phantom_cases(3, "test", 3))
    assert [case.patient for case in training] == [f"training-{i:05d}" for i in (0, 1, 1, 2, 3)]
    assert {case.patient for case in training}.isdisjoint(case.patient for case in test)
    assert len({case.patient for case in test}) == 3
    assert len({case.case_id for case in (*training, *test)}) == 8
    one, other = training[1:3]
    assert (one.markers, one.target) == (other.markers, other.target)
    assert {one.study.laterality, other.study.laterality} == {"L", "R"}


def test_longer_stream_begins_like_the_shorter_one() -> None:
    short, long = list(phantom_cases(3, "training", 2)), list(phantom_cases(3, "training", 3))
    for a, b in zip(short, long, strict=False):
        assert replace(a, study=b.study) == b
        assert np.array_equal(a.study.frame.pixels, b.study.frame.pixels)
    other = next(phantom_cases(4, "training", 1))
    assert not np.array_equal(other.study.frame.pixels, long[0].study.frame.pixels)
