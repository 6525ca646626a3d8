"""From class probabilities to graded findings, of one slice and of a patient."""

import numpy as np
import pytest
from pairs import GRADES, pair_manifest

from core.clinical.grades import by_label, class_probabilities, graded_finding, graded_findings, mean_finding
from core.manifest import OperatingPoint
from core.records import Region

MANIFEST = pair_manifest()
BELOW_NORMAL, OSTEOPOROSIS = MANIFEST.operating_points  # thresholds 0.6 and 0.3
ROWS = np.array([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.2, 0.1, 0.7]])


def at(threshold: float, label: str = "osteopenia") -> OperatingPoint:
    return BELOW_NORMAL.model_copy(update={"threshold": threshold, "label": label})


def test_class_probabilities_are_the_softmax_of_the_logits() -> None:
    logits = np.array([[0.3, -1.2, 2.0], [900.0, 0.0, -900.0]], np.float32)
    first = np.exp([0.3, -1.2, 2.0])
    probabilities = class_probabilities(logits)
    assert probabilities[0] == pytest.approx(first / first.sum(), abs=1e-7)
    assert probabilities[1].tolist() == [1, 0, 0]
    assert probabilities.dtype == np.float64


@pytest.mark.parametrize(
    ("point", "scores", "positive"),
    [
        (BELOW_NORMAL, [0.5, 0.9, 0.8], [False, True, True]),
        (OSTEOPOROSIS, [0.2, 0.4, 0.7], [False, True, True]),
    ],
    ids=["below_normal", "osteoporosis"],
)
def test_score_is_the_probability_of_the_label_or_worse(
    point: OperatingPoint, scores: list[float], positive: list[bool]
) -> None:
    regions = tuple(Region((k, 0, k + 10, 10), side) for k, side in enumerate(("R", "L", None)))
    findings = graded_findings(ROWS, regions, MANIFEST, point)
    assert [finding.probability for finding in findings] == pytest.approx(scores)
    assert [finding.positive for finding in findings] == positive
    assert {finding.label for finding in findings} == {point.label}
    assert [(f.laterality, f.box_xyxy) for f in findings] == [(r.laterality, r.box_xyxy) for r in regions]


def test_grade_is_the_most_probable_one_whatever_the_operating_point() -> None:
    for point in MANIFEST.operating_points:
        assert [graded_finding(row, MANIFEST, point).grade for row in ROWS] == [0, 1, 2]
    assert graded_finding(ROWS[1], MANIFEST, BELOW_NORMAL).probabilities == dict(
        zip(GRADES, (0.1, 0.5, 0.4), strict=True)
    )
    assert list(by_label(ROWS[0], MANIFEST)) == list(GRADES)


@pytest.mark.parametrize(("threshold", "positive"), [(0.75, True), (float(np.nextafter(0.75, 1)), False)])
def test_score_at_the_threshold_is_positive(threshold: float, positive: bool) -> None:
    assert graded_finding(np.array([0.25, 0.5, 0.25]), MANIFEST, at(threshold)).positive is positive


def test_sum_beyond_one_by_rounding_stays_a_probability() -> None:
    row = np.array([0.0, 0.7, 0.3 + 2e-16])
    assert row[1:].sum() > 1
    assert graded_finding(row, MANIFEST, BELOW_NORMAL).probability == 1.0


def test_missing_answer_for_a_region_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        graded_findings(ROWS[:1], (Region((0, 0, 1, 1)), Region((0, 0, 1, 1))), MANIFEST, BELOW_NORMAL)


def test_patient_has_the_mean_probabilities_of_the_slices() -> None:
    findings = [graded_finding(row, MANIFEST, BELOW_NORMAL) for row in ROWS]
    patient = mean_finding(findings, MANIFEST, OSTEOPOROSIS)
    assert list((patient.probabilities or {}).values()) == pytest.approx([0.8 / 3, 0.9 / 3, 1.3 / 3])
    assert (patient.label, patient.grade, patient.positive) == ("osteoporosis", 2, True)
    assert patient.probability == pytest.approx(1.3 / 3)
    assert (patient.laterality, patient.box_xyxy) == (None, None)


def test_mean_of_grades_is_not_the_grade_of_the_mean() -> None:
    """Two slices a little osteopenic, one surely osteoporotic: the probabilities are averaged, not the grades."""
    rows = np.array([[0.3, 0.4, 0.3], [0.3, 0.4, 0.3], [0.0, 0.0, 1.0]])
    findings = [graded_finding(row, MANIFEST, BELOW_NORMAL) for row in rows]
    assert [finding.grade for finding in findings] == [1, 1, 2]
    assert mean_finding(findings, MANIFEST, BELOW_NORMAL).grade == 2


def test_one_slice_is_its_own_mean() -> None:
    (finding,) = [graded_finding(ROWS[1], MANIFEST, BELOW_NORMAL)]
    assert mean_finding([finding], MANIFEST, BELOW_NORMAL) == finding
