"""The chest phantom: repeatable, its findings where the boxes say and nowhere else."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from io_files import read
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from core.errors import UsageError
from core.io.phantom_file import write_dicom
from core.phantom import Phantom
from core.records import Box
from core.tasks.chest_lesions.phantom import MARKERS, SAMPLES, findings, make_phantom, make_sample
from core.tasks.chest_lesions.phantom.findings import (
    FINDINGS,
    READER_ERROR,
    draw_severities,
    draw_signs,
    present_labels,
)
from core.tasks.chest_lesions.task import TASK

HEART, CALCIUM, AORTA, PLEURA, LUNG, DISCS, CURVE = FINDINGS
OWN_MARKERS = {
    HEART: ("cardiothoracic_ratio",),
    CALCIUM: ("calcified_share", "calcium_mm"),
    AORTA: ("protrusion_mm", "convexity_mm"),
    PLEURA: ("cap_right_mm", "cap_left_mm"),
    LUNG: ("infiltrate_share",),
    DISCS: ("osteophyte_mm", "narrowing"),
    CURVE: ("cobb_deg",),
}
N, SMALL = 150, 96
TRIVIAL_LIMIT, IDEAL_LIMIT = 0.65, 0.85
REACH_MM = 30.0  # beyond a box: soft edges of an infiltrate, blur and edge enhancement
CURVE_REACH_MM = 50.0  # the ends of a curve fade out; vertebrae are drawn whole


def phantom(*seed: int, size: int = 256, **options: object) -> Phantom:
    return make_phantom(np.random.default_rng(seed), size=size, **options)


def only(label: str | None, severity: float = 0.9, rest: float = 0.1) -> dict[str, float]:
    """Severities of a film with one finding, or with none."""
    return dict.fromkeys(FINDINGS, rest) | ({} if label is None else {label: severity})


def boxes(one: Phantom, label: str) -> list[Box]:
    return [box for name, box in one.truth["boxes"] if name == label]


def inside(shape: tuple[int, int], box: Box, margin: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x0, y0, x1, y1 = box
    across = (columns > x0 - margin) & (columns < x1 + margin)
    return across & (rows > y0 - margin) & (rows < y1 + margin)


def bounds(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


# --- repeatable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"findings": only(LUNG)}])
def test_same_generator_state_gives_the_same_bytes(options: dict[str, object]) -> None:
    first, second = phantom(5, **options), phantom(5, **options)
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert (first.markers, first.meta) == (second.markers, second.meta)
    assert first.truth["boxes"] == second.truth["boxes"]
    assert phantom(6, **options).pixels.tobytes() != first.pixels.tobytes()


def test_pixels_are_grey_values_of_the_size_asked_for() -> None:
    one = phantom(3, size=200)
    assert (one.pixels.shape, one.pixels.dtype, one.unit) == ((200, 200), np.float32, "relative")
    assert 0 <= one.pixels.min() < 0.15
    assert 0.8 < one.pixels.max() <= 1


def test_another_size_shows_the_same_patient() -> None:
    large, small = phantom(2, size=256, findings=only(HEART)), phantom(2, size=128, findings=only(HEART))
    assert large.truth["cardiothoracic_ratio"] == pytest.approx(small.truth["cardiothoracic_ratio"], abs=2e-3)
    assert boxes(large, HEART)[0] == pytest.approx(tuple(2 * np.array(boxes(small, HEART)[0])), abs=1.0)
    averaged = large.pixels.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(averaged.ravel(), small.pixels.ravel())[0, 1] > 0.98


def test_drawn_and_given_severities_leave_the_same_picture() -> None:
    drawn = phantom(8)
    assert phantom(8, findings=drawn.truth["severity"]).pixels.tobytes() == drawn.pixels.tobytes()


@pytest.mark.parametrize("wrong", [{"pneumothorax": 1.0}, {HEART: 1.2}, {HEART: -0.1}])
def test_wrong_severities_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        phantom(1, findings=wrong)


# --- measured findings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_ratio_of_the_masks_is_the_truth(seed: int) -> None:
    one = phantom(17, seed, findings={HEART: 0.1 + 0.1 * seed})
    heart = bounds(one.truth["heart"])
    lungs = bounds(one.truth["left_lung"] | one.truth["right_lung"])
    ratio = (heart[2] - heart[0]) / (lungs[2] - lungs[0])
    assert one.truth["cardiothoracic_ratio"] == pytest.approx(ratio, abs=0.01)
    assert one.truth["cardiothoracic_x"] == pytest.approx(
        (lungs[0] - 0.5, heart[0] - 0.5, heart[2] - 0.5, lungs[2] - 0.5), abs=1.2
    )
    assert one.markers["cardiothoracic_ratio"] == one.truth["cardiothoracic_ratio"]


def test_heart_is_enlarged_above_a_ratio_of_one_half_up_to_the_readers_error() -> None:
    known = {draw: phantom(23, 1, size=64, findings={HEART: draw}) for draw in np.linspace(0, 1, 13)}
    for one in known.values():
        above = one.truth["cardiothoracic_ratio"] - 0.50
        if abs(above) > READER_ERROR:
            assert one.truth[HEART] == int(above > 0)
    ratios = [one.truth["cardiothoracic_ratio"] for one in known.values()]
    assert (np.diff(ratios) > 0).all()
    assert (min(ratios), max(ratios)) == pytest.approx((0.40, 0.62), abs=0.012)
    assert len({one.truth[HEART] for one in known.values()}) == 2


def test_reader_errs_both_ways_near_the_limit_only() -> None:
    severity = only(None)

    def share(ratio: float) -> float:
        return float(np.mean([present_labels(seed, severity, ratio, 0.0)[HEART] for seed in range(120)]))

    assert (share(0.484), share(0.516)) == (0, 1)
    assert 0.3 < share(0.50) < 0.7


@pytest.mark.parametrize("severity", [0.0, 0.3, 0.48, 0.52, 0.8, 1.0])
def test_scoliosis_is_a_cobb_angle_above_ten_degrees(severity: float) -> None:
    """The angle between the most tilted places of the drawn axis, whatever the tilt of the patient."""
    for seed in range(4):
        one = phantom(29, seed, size=64, findings={CURVE: severity})
        axis = one.truth["spine_xy"]
        tilt = np.rad2deg(np.arctan2(*np.diff(axis, axis=0).T))
        cobb = tilt.max() - tilt.min()
        assert one.markers["cobb_deg"] == pytest.approx(cobb, abs=0.3)
        assert one.truth[CURVE] == int(cobb > 10)
        assert one.truth[CURVE] == int(severity > 0.5)


# --- boxes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ill() -> list[Phantom]:
    return [phantom(37, seed, findings=dict.fromkeys(FINDINGS, 0.8)) for seed in range(4)]


def test_boxes_lie_on_the_film_and_belong_to_present_findings(ill: list[Phantom]) -> None:
    assert [label.id for label in TASK.labels] == list(FINDINGS)
    for one in [*ill, *(phantom(41, seed, size=64) for seed in range(10))]:
        assert {name for name, _ in one.truth["boxes"]} == {label for label in FINDINGS if one.truth[label]}
        for _, (x0, y0, x1, y1) in one.truth["boxes"]:
            assert 0 <= x0 < x1 <= one.pixels.shape[1]
            assert 0 <= y0 < y1 <= one.pixels.shape[0]


def test_boxes_lie_on_their_organs(ill: list[Phantom]) -> None:
    for one in ill:
        lungs = one.truth["left_lung"] | one.truth["right_lung"]
        left, top, right, bottom = bounds(lungs)
        axis = one.truth["spine_xy"] + 0.5
        assert boxes(one, HEART)[0] == pytest.approx(bounds(one.truth["heart"]), abs=1.5)
        (x0, y0, x1, y1) = boxes(one, CALCIUM)[0]
        spine_x = np.interp((y0 + y1) / 2, axis[:, 1], axis[:, 0])
        assert spine_x < (x0 + x1) / 2 < spine_x + 0.25 * (right - left)
        assert top < y0 < y1 < (top + bottom) / 2
        (ax0, ay0, ax1, ay1) = boxes(one, AORTA)[0]
        assert ax1 > x1 - 2.5
        assert ay0 < y1 < ay1
        assert ax0 < np.median(axis[:, 0]) < ax1
        for cap in boxes(one, PLEURA):
            assert abs(cap[1] - top) < 0.06 * (bottom - top)
            assert cap[3] < top + 0.25 * (bottom - top)
            assert cap[2] - cap[0] < 0.25 * (right - left)
        for patch in boxes(one, LUNG):
            assert (lungs | one.truth["heart"])[inside(lungs.shape, patch)].mean() > 0.6
        for label in (DISCS, CURVE):
            x0, y0, x1, y1 = boxes(one, label)[0]
            part = axis[(axis[:, 1] > y0) & (axis[:, 1] < y1)]
            assert (part[:, 0] > x0).all()
            assert (part[:, 0] < x1).all()
            assert (y1 - y0) > 1.5 * (x1 - x0) if label == CURVE else (y1 - y0) > 0.4 * (x1 - x0)


def test_caps_and_infiltrates_may_be_on_both_sides() -> None:
    films = [phantom(43, seed, size=64, findings=only(PLEURA) | {LUNG: 0.9}) for seed in range(10)]
    for label in (PLEURA, LUNG):
        assert {len(boxes(one, label)) for one in films} == {1, 2}


def test_left_of_the_picture_is_the_patients_right(ill: list[Phantom]) -> None:
    for one in ill:
        right, left = (bounds(one.truth[name]) for name in ("right_lung", "left_lung"))
        assert right[0] < left[0]
        middle = (right[0] + left[2]) / 2
        heart = bounds(one.truth["heart"])
        assert 0.2 < (middle - heart[0]) / (heart[2] - heart[0]) < 0.45
    heights = [[bounds(one.truth[name])[3] for name in ("right_lung", "left_lung")] for one in ill]
    assert np.mean([left - right for right, left in heights]) > 2  # the right dome stands higher


# --- nothing but one finding differs in a pair -----------------------------------------------------------------------


@pytest.mark.parametrize("label", FINDINGS)
def test_severity_changes_the_picture_at_its_box_only(label: str) -> None:
    for seed in range(2):
        healthy, sick = (phantom(47, seed, findings={label: severity}) for severity in (0.1, 0.9))
        assert healthy.meta == sick.meta
        change = np.abs(sick.pixels - healthy.pixels)
        spacing = healthy.meta["PixelSpacing"]
        near, core = (
            np.any([inside(change.shape, box, margin / spacing) for box in boxes(sick, label)], axis=0)
            for margin in (CURVE_REACH_MM if label == CURVE else REACH_MM, 4.0)
        )
        assert near.mean() < 0.5
        assert change[~near].max() < 1e-6
        assert change[core].sum() > 0.7 * change.sum() > 0
        smooth = gaussian_filter(change, 1.0)
        assert smooth.max() > 0.02
        for name, value in healthy.markers.items():
            assert (sick.markers[name] >= value) if name in OWN_MARKERS[label] else (sick.markers[name] == value)
        for other in FINDINGS:
            assert (other == label) == (healthy.truth[other] != sick.truth[other])


@pytest.mark.parametrize("label", [CALCIUM, AORTA, PLEURA, LUNG])
def test_growing_findings_make_their_place_denser(label: str) -> None:
    healthy, ill = (phantom(53, 1, findings=only(label, severity)) for severity in (0.1, 0.9))
    place = np.any([inside(ill.pixels.shape, box) for box in boxes(ill, label)], axis=0)
    assert (ill.pixels - healthy.pixels)[place].mean() > 0.002


def test_markers_rise_with_the_severity_when_the_noise_is_the_same() -> None:
    signs = [draw_signs(4, dict.fromkeys(FINDINGS, float(s))) for s in np.linspace(0, 1, 21)]
    for name in ("ratio", "calcified_share", "calcium_mm", "protrusion_mm", "infiltrate_share", "osteophyte_mm"):
        steps = np.diff([getattr(one, name) for one in signs])
        assert (steps >= 0).all()
        assert steps.sum() > 0
    assert (np.diff([max(one.caps_mm) for one in signs]) > 0).all()


# --- rates and audit -------------------------------------------------------------------------------------------------


def test_findings_are_as_frequent_and_as_independent_as_stated() -> None:
    rows = []
    for seed in range(2500):
        severity = draw_severities(seed, {})
        signs = draw_signs(seed, severity)
        rows.append(list(present_labels(seed, severity, signs.ratio, signs.cobb_deg).values()))
    present = np.array(rows)
    assert present.mean(axis=0) == pytest.approx(0.15, abs=0.025)
    assert 0.30 < (~present.any(axis=1)).mean() < 0.40
    between = np.corrcoef(present.T)[np.triu_indices(len(FINDINGS), 1)]
    assert np.abs(between).max() < 0.08


def trivial_features(pixels: np.ndarray) -> dict[str, float]:
    values = {f"percentile {q}": float(np.percentile(pixels, q)) for q in (1, 5, 25, 50, 75, 95, 99)}
    bright = {f"above {limit}": float((pixels > limit).mean()) for limit in (0.5, 0.7, 0.85)}
    return {"mean": float(pixels.mean()), "sd": float(pixels.std()), **values, **bright}


@pytest.fixture(scope="module")
def audit() -> dict[str, np.ndarray]:
    """Films on which half the findings are present, so that 150 of them tell an area of 0.5 from one of 0.65."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "PREVALENCE", 0.5)
        films = [phantom(59, i, size=SMALL) for i in range(N)]
    rows = [
        {**trivial_features(one.pixels), **one.markers, **{label: one.truth[label] for label in FINDINGS}}
        for one in films
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def either_way(labels: np.ndarray, values: np.ndarray) -> float:
    area = float(roc_auc_score(labels, values))
    return max(area, 1 - area)


@pytest.mark.parametrize("label", FINDINGS)
def test_no_trivial_feature_tells_a_finding(audit: dict[str, np.ndarray], label: str) -> None:
    names = trivial_features(np.ones((8, 8)))
    found = {name: either_way(audit[label], audit[name]) for name in names}
    assert len(found) == 12
    assert {name: area for name, area in found.items() if area > TRIVIAL_LIMIT} == {}


@pytest.mark.parametrize("label", FINDINGS)
def test_true_markers_tell_the_finding(audit: dict[str, np.ndarray], label: str) -> None:
    strongest = np.max([audit[name] / audit[name].max() for name in OWN_MARKERS[label]], axis=0)
    assert roc_auc_score(audit[label], strongest) >= IDEAL_LIMIT
    assert sorted(name for names in OWN_MARKERS.values() for name in names) == sorted(MARKERS)


@pytest.mark.parametrize("label", FINDINGS)
def test_markers_of_other_findings_do_not_tell_it(audit: dict[str, np.ndarray], label: str) -> None:
    others = [name for other, names in OWN_MARKERS.items() if other != label for name in names]
    assert max(either_way(audit[label], audit[name]) for name in others) <= TRIVIAL_LIMIT


def test_audit_would_notice_a_shortcut(audit: dict[str, np.ndarray]) -> None:
    leaky = audit["mean"] + audit["mean"].std() * audit[LUNG]
    assert either_way(audit[LUNG], leaky) > TRIVIAL_LIMIT


# --- files and samples -----------------------------------------------------------------------------------------------


def test_file_reads_back_as_a_phantom() -> None:
    one = phantom(61, size=128)
    content = write_dicom(one)
    study = read(content)
    assert study.is_phantom
    np.testing.assert_array_equal(study.frame.pixels, one.stored)
    assert study.frame.spacing_mm == pytest.approx((one.meta["PixelSpacing"],) * 2)
    assert (study.tags["BodyPartExamined"], study.tags["ViewPosition"]) == ("CHEST", "PA")
    assert study.laterality is None
    assert (study.sex, study.age_years) == (one.meta["PatientSex"], one.meta["PatientAge"])
    header = pydicom.dcmread(BytesIO(content))
    assert "PHANTOM" in header.ImageType
    assert header.StudyDate == one.meta["StudyDate"]


def test_samples_show_what_their_titles_say() -> None:
    found = {name: {label for label, _ in make_sample(name).truth["boxes"]} for name in SAMPLES}
    assert found == {
        "normal": set(),
        "enlarged_heart": {HEART},
        "aorta": {CALCIUM, AORTA},
        "apical_caps": {PLEURA},
        "infiltrate": {LUNG},
        "spine": {DISCS, CURVE},
        "borderline": set(),
    }
