"""The bone-scan phantom: repeatable, its grade in the uptake ratio of the knee and nowhere else."""

import functools

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.phantom import Phantom
from core.tasks.knee_djd.phantom import (
    COMPARTMENTS,
    GRADE_SHARES,
    MARKERS,
    RATIOS,
    SAMPLES,
    SHAPE,
    draw_grades,
    draw_markers,
    make_phantom,
    make_sample,
)

SIDES = ("right", "left")
TRIVIAL_LIMIT, RATIO_LIMIT = 0.45, 0.9


def phantom(*seed: int, **options: object) -> Phantom:
    return make_phantom(np.random.default_rng(seed), **options)


def around(pixels: np.ndarray, xy: tuple[float, float], half: int = 33) -> np.ndarray:
    """The square around a joint, cut at the edge of the picture."""
    x, y = (round(value) for value in xy)
    return pixels[max(y - half, 0) : y + half, max(x - half, 0) : x + half]


def distances(xy: tuple[float, float]) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(columns - xy[0], rows - xy[1])


# --- audit -----------------------------------------------------------------------------------------------------------


@functools.cache
def audit() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Grades of 300 knees, and what can be measured on them without knowing the shaft."""
    grades: list[int] = []
    rows: list[dict[str, float]] = []
    for index in range(150):
        one = phantom(91, index)
        for side in SIDES:
            knee = around(one.pixels, one.truth[f"knee_{side}_xy"])
            grades.append(one.truth[f"grade_{side}"])
            rows.append(
                {
                    "mean": knee.mean(),
                    "max": knee.max(),
                    "std": knee.std(),
                    "median": np.median(knee),
                    "total": one.pixels.sum(),
                    "x": one.truth[f"knee_{side}_xy"][0],
                    "y": one.truth[f"knee_{side}_xy"][1],
                    "age": one.meta["PatientAge"],
                    "spacing": one.meta["PixelSpacing"],
                    "ratio": one.markers[f"ratio_{side}"],
                }
            )
    return np.array(grades), {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("feature", ["mean", "max", "std", "median", "total", "x", "y", "age", "spacing"])
def test_no_trivial_feature_tells_the_grade(feature: str) -> None:
    grades, measured = audit()
    assert abs(spearmanr(grades, measured[feature]).statistic) <= TRIVIAL_LIMIT


def test_true_ratio_tells_the_grade_but_errs() -> None:
    grades, measured = audit()
    assert RATIO_LIMIT <= spearmanr(grades, measured["ratio"]).statistic < 0.99
    nearest = np.abs(np.log(measured["ratio"])[:, None] - np.log(RATIOS)).argmin(axis=1)
    assert 0.7 < (nearest == grades).mean() < 0.97


# --- cause and markers -----------------------------------------------------------------------------------------------


def test_grades_have_the_wanted_shares_and_go_together_in_a_patient() -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([draw_grades(rng) for _ in range(6000)])
    for column in drawn.T:
        assert np.bincount(column, minlength=5) / len(drawn) == pytest.approx(GRADE_SHARES, abs=0.02)
    assert spearmanr(*drawn.T).statistic == pytest.approx(0.47, abs=0.04)  # normal causes correlate by 0.5


@pytest.mark.parametrize(("grade", "median"), list(enumerate((1.5, 1.9, 2.4, 3.0, 3.9))))
def test_ratio_is_lognormal_around_the_median_of_its_grade(grade: int, median: float) -> None:
    rng = np.random.default_rng(2)
    logs = np.log([draw_markers(rng, grade)["ratio"] for _ in range(2000)])
    assert logs.mean() == pytest.approx(np.log(median), abs=0.01)
    assert logs.std() == pytest.approx(0.10, abs=0.006)


def test_ratio_is_the_mean_of_the_compartments() -> None:
    values = draw_markers(np.random.default_rng(3), 3)
    assert np.mean([values[name] for name in COMPARTMENTS]) == pytest.approx(values["ratio"])
    assert min(values.values()) >= 1


def test_ratio_and_every_compartment_rise_with_the_grade() -> None:
    drawn = [draw_markers(np.random.default_rng(4), grade) for grade in range(5)]
    for name in ("ratio", *COMPARTMENTS):
        assert (np.diff([values[name] for values in drawn]) > 0).all()


def test_markers_are_those_of_both_knees_in_fixed_order() -> None:
    one = phantom(5)
    assert tuple(one.markers) == MARKERS
    assert len(MARKERS) == 8
    assert one.markers["ratio_left"] == one.truth["ratio_left"]


# --- repeatable, and nothing but the cause differs in a pair ---------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"off_centre": True}, {"shifted": True, "lesions": 2}])
def test_same_generator_state_gives_the_same_bytes(options: dict[str, object]) -> None:
    first, second = phantom(6, **options), phantom(6, **options)
    assert first.stored.tobytes() == second.stored.tobytes()
    assert (first.truth, first.markers, first.meta) == (second.truth, second.markers, second.meta)
    assert phantom(7, **options).stored.tobytes() != first.stored.tobytes()


def test_generator_moves_on() -> None:
    rng = np.random.default_rng(8)
    assert not np.array_equal(make_phantom(rng).pixels, make_phantom(rng).pixels)


def test_raising_one_grade_changes_that_knee_only() -> None:
    mild, severe = phantom(9, grades=(0, 2)), phantom(9, grades=(4, 2))
    assert {key for key in mild.truth if mild.truth[key] != severe.truth[key]} == {
        "grade_right",
        "ratio_right",
        "label",
    }
    assert {key for key in mild.meta if mild.meta[key] != severe.meta[key]} == {"KneeJointId"}
    assert mild.markers["medial_left"] == severe.markers["medial_left"]
    far = distances(mild.truth["knee_right_xy"]) > 45
    change = severe.pixels - mild.pixels
    assert change[~far].mean() > 3
    assert np.abs(change[far]).mean() < 0.05  # a little scatter
    behind = severe.posterior - mild.posterior
    assert np.abs(behind[far[:, ::-1]]).mean() < 0.05


def test_knee_takes_up_more_with_every_grade() -> None:
    scans = [phantom(10, grade_left=grade, grade_right=1) for grade in range(5)]
    assert [scan.truth["grade_left"] for scan in scans] == [0, 1, 2, 3, 4]
    sums = [around(scan.pixels, scan.truth["knee_left_xy"], 22).sum() for scan in scans]
    assert (np.diff(sums) > 0).all()
    excess = np.diff(sums) / np.diff([scan.truth["ratio_left"] for scan in scans])
    assert excess == pytest.approx(
        np.full(4, excess.mean()), rel=0.05
    )  # uptake beyond the shaft is linear in the ratio


# --- the picture -----------------------------------------------------------------------------------------------------


def test_right_knee_is_at_image_left_in_front_and_at_image_right_behind() -> None:
    one = phantom(11, grades=(4, 0))
    right, left = one.truth["knee_right_xy"], one.truth["knee_left_xy"]
    assert right[0] < 128 < left[0]
    assert around(one.pixels, right, 20).mean() > 1.5 * around(one.pixels, left, 20).mean()
    mirrored = [(255 - x, y) for x, y in (right, left)]
    assert around(one.posterior, mirrored[0], 20).mean() > 1.5 * around(one.posterior, mirrored[1], 20).mean()


def test_spine_is_stronger_and_bladder_weaker_from_behind() -> None:
    for index in range(4):
        one = phantom(12, index, lesions=0)
        knee = round(one.truth["knee_right_xy"][1])
        front, behind = one.pixels[:, 90:166], one.posterior[:, ::-1][:, 90:166]
        spine, bladder = slice(knee - 270, knee - 245), slice(knee - 215, knee - 145)
        assert behind[spine].mean(axis=0).max() > 1.2 * front[spine].mean(axis=0).max()
        assert (
            np.sort(front[bladder], axis=None)[-100:].mean() > 1.1 * np.sort(behind[bladder], axis=None)[-100:].mean()
        )


@pytest.mark.parametrize("index", range(4))
def test_noise_of_the_air_is_that_of_counts(index: int) -> None:
    """Above the head there is only scatter: mean and variance agree."""
    air = phantom(13, index).pixels[24:30, 14:-14]
    assert air.var() == pytest.approx(air.mean(), rel=0.2)


def test_lesions_do_not_lie_in_the_knees() -> None:
    for index in range(8):
        without, hot = phantom(14, index, lesions=0), phantom(14, index, lesions=2)
        change = np.abs(hot.pixels - without.pixels)
        assert change.max() > 5
        for side in SIDES:
            assert np.abs(around(change, hot.truth[f"knee_{side}_xy"], 16)).mean() < 0.3
        assert {**hot.truth} == {**without.truth}


def test_patient_off_centre_lies_to_one_side() -> None:
    def offset(one: Phantom) -> float:
        return abs((one.truth["knee_right_xy"][0] + one.truth["knee_left_xy"][0]) / 2 - 127.5)

    assert np.mean([offset(phantom(15, index, off_centre=True)) for index in range(6)]) > 15
    assert np.mean([offset(phantom(15, index)) for index in range(6)]) < 12


def test_shifted_scan_has_fewer_counts_and_the_same_truth() -> None:
    plain, shifted = phantom(16), phantom(16, shifted=True)
    assert shifted.truth == plain.truth
    assert shifted.pixels.sum() < 0.95 * plain.pixels.sum()
    assert shifted.pixels.max() < 0.5 * plain.pixels.max()


# --- as a study and as a file ----------------------------------------------------------------------------------------


def test_study_and_stored_pixels_are_counts_of_two_views() -> None:
    one = phantom(17, grades=(0, 3))
    assert one.stored.shape == (2, *SHAPE)
    assert one.stored.dtype == np.uint16
    assert np.array_equal(one.stored, np.stack([one.pixels, one.posterior]))
    study = one.study()
    assert study.frame.unit == "counts"
    assert np.array_equal(study.frame.pixels, one.pixels)
    assert study.frame.spacing_mm == (one.meta["PixelSpacing"],) * 2
    assert 2.26 <= one.meta["PixelSpacing"] <= 2.4
    assert {key: study.tags[key] for key in ("Modality", "BodyPartExamined", "ViewPosition", "KneeJointId")} == {
        "Modality": "NM",
        "BodyPartExamined": "WHOLE BODY",
        "ViewPosition": "A",
        "KneeJointId": "2,5",
    }


@pytest.mark.parametrize("sample_id", SAMPLES)
def test_sample_is_what_its_options_say(sample_id: str) -> None:
    title, options, _ = SAMPLES[sample_id]
    one = make_sample(sample_id)
    assert title
    assert (one.truth["grade_right"], one.truth["grade_left"]) == options["grades"]
    assert one.truth["label"] == max(options["grades"])
    for side in SIDES:
        x, y = one.truth[f"knee_{side}_xy"]
        assert 33 <= x <= 222
        assert 300 < y < 800
