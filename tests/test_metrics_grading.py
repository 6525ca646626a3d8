"""Metrics of graders: scikit-learn, scipy, published and hand-made numbers, and bootstraps written the slow way."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from sklearn import metrics as sklearn_metrics

from core.errors import UsageError
from core.metrics.agreement import mean_absolute_error_interval, weighted_kappa, weighted_kappa_interval
from core.metrics.bootstrap import bootstrap_by_copies, bootstrap_interval
from core.metrics.correlation import severity_interval, spearman_interval
from core.metrics.delong import auroc_interval
from core.metrics.grades import cumulative, expected_grade, graded_cases
from core.metrics.grading import GradingReport, grading_report
from core.metrics.one_vs_rest import class_curves, macro_auroc_interval
from core.metrics.proportions import Interval, clustered_wilson_interval, wilson_interval

N, N_CLASSES = 150, 5


def _width(interval: Interval | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def _cells(table: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reference and prediction of every case of a table."""
    row, column = np.indices(np.shape(table))
    return np.repeat(row.ravel(), np.ravel(table)), np.repeat(column.ravel(), np.ravel(table))


@pytest.fixture(scope="module")
def y_true() -> NDArray[np.int64]:
    return np.arange(N) % N_CLASSES


@pytest.fixture(scope="module", params=[2, 9], ids=["tied", "distinct"])
def probabilities(request: pytest.FixtureRequest, y_true: NDArray[np.int64]) -> NDArray[np.float64]:
    grade = y_true + np.random.default_rng(0).normal(0, 1.2, N)
    likelihood = np.exp(-((np.arange(N_CLASSES) - grade[:, np.newaxis]) ** 2) / 2)
    rounded = np.round(likelihood / likelihood.sum(axis=1, keepdims=True), request.param)
    return rounded / rounded.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", ["quadratic", "linear"])
def test_weighted_kappa_is_that_of_scikit_learn(weights: str) -> None:
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, 5, 200)
    y_pred = np.clip(y_true + rng.integers(-2, 3, 200), 0, 4)
    expected = sklearn_metrics.cohen_kappa_score(y_true, y_pred, weights=weights)
    assert weighted_kappa(y_true, y_pred, 5, weights) == pytest.approx(expected)


def test_weighted_kappa_of_a_published_table() -> None:
    # Answers of 91 husbands and wives (Agresti, Categorical Data Analysis, 1990; Kappa(SexualFun) of the R package vcd: 0.2374).
    table = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]
    assert weighted_kappa(*_cells(table), 4, "linear") == pytest.approx(0.2374, abs=5e-5)


def test_weighted_kappa_by_hand() -> None:
    # Rows 2, 2, 2 and columns 3, 1, 2: penalty 1 observed; by chance (2 * 9 + 2 * 5 + 2 * 13) / 6 = 9.
    assert weighted_kappa([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 2, 2], 3) == pytest.approx(1 - 1 / 9)


def test_a_grade_that_no_case_has_keeps_its_place() -> None:
    y_true, y_pred = [0, 1, 4, 4], [0, 4, 4, 1]
    expected = sklearn_metrics.cohen_kappa_score(y_true, y_pred, labels=range(5), weights="quadratic")
    assert weighted_kappa(y_true, y_pred, 5) == pytest.approx(expected)
    closed_up = sklearn_metrics.cohen_kappa_score(y_true, y_pred, weights="quadratic")
    assert abs(expected - closed_up) > 0.01


def test_agreement_on_one_grade_has_no_kappa() -> None:
    with pytest.raises(UsageError, match="all have one grade"):
        weighted_kappa([2, 2, 2], [2, 2, 2], 5)
    with pytest.raises(UsageError, match="cannot give"):
        weighted_kappa_interval([2, 2, 2], [2, 2, 2], 5)
    with pytest.raises(UsageError, match="class index"):
        weighted_kappa([0, 5], [0, 1], 5)


def test_intervals_of_agreement_are_those_of_the_slow_bootstrap() -> None:
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(25), 2)
    y_true = rng.integers(0, 4, 50)
    y_pred = np.clip(y_true + np.repeat(rng.integers(-1, 2, 25), 2), 0, 3)
    kappas, errors = [], []
    for _ in range(600):
        drawn = np.concatenate([np.flatnonzero(patients == i) for i in rng.integers(0, 25, 25)])
        kappas.append(sklearn_metrics.cohen_kappa_score(y_true[drawn], y_pred[drawn], weights="quadratic"))
        errors.append(np.abs(y_true[drawn] - y_pred[drawn]).mean())
    kappa = weighted_kappa_interval(y_true, y_pred, 4, groups=patients)
    error = mean_absolute_error_interval(y_true, y_pred, 4, groups=patients)
    assert kappa.value == weighted_kappa(y_true, y_pred, 4)
    assert error.value == sklearn_metrics.mean_absolute_error(y_true, y_pred)
    assert (kappa.low, kappa.high) == pytest.approx(np.quantile(kappas, (0.025, 0.975)).tolist(), abs=0.03)
    assert (error.low, error.high) == pytest.approx(np.quantile(errors, (0.025, 0.975)).tolist(), abs=0.03)


def test_a_resample_holds_whole_patients_and_as_many_as_there_are() -> None:
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    seen: list[NDArray[np.float64]] = []

    def look(copies: NDArray[np.float64]) -> NDArray[np.float64]:
        seen.append(copies)
        return copies[:, 0]

    found = bootstrap_by_copies(look, patients, n_resamples=400)
    whole, resamples = seen
    assert whole.tolist() == [[1.0] * 6]
    np.testing.assert_array_equal(resamples[:, [0, 1]], resamples[:, [2, 4]])
    np.testing.assert_array_equal(resamples[:, 0], resamples[:, 5])
    assert (resamples[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert resamples[:, [0, 1, 3]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.15)
    assert (found.n_patients, found.n_resamples, found.n_undefined) == (3, 400, 0)


def test_resamples_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=40)
    at_once, other = (
        bootstrap_by_copies(lambda copies: copies @ values / 40, np.arange(40), n_resamples=101, seed=seed)
        for seed in (5, 6)
    )
    monkeypatch.setattr("core.metrics.bootstrap._BLOCK_CELLS", 7 * 40)
    in_blocks = bootstrap_by_copies(lambda copies: copies @ values / 40, np.arange(40), n_resamples=101, seed=5)
    assert in_blocks.interval.low == pytest.approx(at_once.interval.low)
    assert at_once.interval.low != other.interval.low


@pytest.mark.parametrize(("patients", "n_resamples"), [([], 10), ([1, 1], 10), ([1, 2], 0)])
def test_too_little_to_resample_is_refused(patients: list[int], n_resamples: int) -> None:
    with pytest.raises(UsageError, match="resamples of"):
        bootstrap_by_copies(lambda copies: copies[:, 0], patients, n_resamples)


def test_expected_grade_and_cumulative_by_hand() -> None:
    rows = [[0.2, 0.3, 0.5], [1, 0, 0], [0, 0.25, 0.75]]
    assert expected_grade(rows) == pytest.approx([1.3, 0, 1.75])
    assert cumulative(rows, 1) == pytest.approx([0.8, 0, 1])
    assert cumulative(rows, 2) == pytest.approx([0.5, 0, 0.75])
    assert cumulative(np.array([[0.0, 0.4, 0.6005]], dtype=np.float32), 1).tolist() == [1.0]


@pytest.mark.parametrize("cut", [0, 3, -1])
def test_a_cut_outside_the_scale_is_refused(cut: int) -> None:
    with pytest.raises(UsageError, match="cut at grade"):
        cumulative([[0.2, 0.3, 0.5]], cut)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0.5, 0.5], "shape"),
        ([[1.0]], "shape"),
        ([[0.5, np.nan]], "not a number"),
        ([[-0.1, 1.1]], "not a number"),
        ([[0.5, 0.4]], "sum to 1"),
    ],
)
def test_what_is_no_probability_is_refused(rows: list[object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        expected_grade(rows)


@pytest.mark.parametrize(
    ("y_true", "groups", "words"),
    [
        ([0, 3], None, "one of 0 to 2"),
        ([0, -1], None, "one of 0 to 2"),
        ([0, 0.5], None, "one of"),
        ([0], None, "shape"),
        ([0, 1], ["a"], "patients of shape"),
    ],
)
def test_bad_grades_are_refused(y_true: list[float], groups: list[str] | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        graded_cases(y_true, [[0.2, 0.3, 0.5], [1, 0, 0]], groups)


def test_of_equally_probable_grades_the_lowest_is_predicted() -> None:
    assert graded_cases([0, 1], [[0.2, 0.4, 0.4], [0.5, 0.5, 0]]).predicted.tolist() == [1, 0]


def test_macro_auroc_is_that_of_scikit_learn(y_true: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
    found = macro_auroc_interval(y_true, probabilities)
    expected = sklearn_metrics.roc_auc_score(y_true, probabilities, multi_class="ovr", average="macro")
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high


def test_macro_auroc_of_two_classes_has_the_interval_of_the_slow_bootstrap() -> None:
    rng = np.random.default_rng(4)
    y_true, patients = np.arange(60) % 2, np.repeat(np.arange(20), 3)
    share = 1 / (1 + np.exp(-np.round(rng.normal(size=60) + y_true + rng.normal(size=20)[patients], 1)))
    found = macro_auroc_interval(y_true, np.column_stack([1 - share, share]), patients)
    slow = bootstrap_interval(lambda y, s: auroc_interval(y, s).value, y_true, share, patients, 800, seed=9).interval
    assert found.value == pytest.approx(slow.value)
    assert (found.low, found.high) == pytest.approx((slow.low, slow.high), abs=0.03)


def test_macro_auroc_needs_every_class(probabilities: NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="cannot give"):
        macro_auroc_interval(np.arange(N) % 4, probabilities)


def test_class_curves_are_those_of_scikit_learn(y_true: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
    for grade, curve in enumerate(class_curves(y_true, probabilities)):
        assert curve is not None
        truth, score = y_true == grade, probabilities[:, grade]
        fpr, tpr, _ = sklearn_metrics.roc_curve(truth, score, drop_intermediate=False)
        np.testing.assert_allclose(curve.fpr, fpr)
        np.testing.assert_allclose(curve.tpr, tpr)
        assert (curve.n_positive, curve.n_negative) == (30, 120)
        plain = auroc_interval(truth, score)
        assert (curve.auroc.value, curve.auroc.low) == pytest.approx((plain.value, plain.low))


def test_a_class_of_one_patient_has_no_curve() -> None:
    rows = [[0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]]
    assert class_curves([0, 0, 0, 1, 1], rows, ["a", "b", "c", "d", "d"]) == (None, None)
    assert None not in class_curves([0, 0, 0, 1, 1], rows, ["a", "b", "c", "d", "e"])


def test_clustered_auroc_with_one_case_a_patient_is_that_of_delong() -> None:
    score = np.random.default_rng(5).normal(size=60) + (np.arange(60) < 20)
    plain, clustered = (auroc_interval(np.arange(60) < 20, score, p) for p in (None, np.arange(60)[::-1]))
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("share_positive", [1.0, 0.5], ids=["one class a patient", "both classes in a patient"])
def test_clustered_auroc_is_as_wide_as_the_bootstrap_of_patients(share_positive: float) -> None:
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(80), 6)
    y_true = np.tile(np.arange(6) < 6 * share_positive, 80) & (share_positive < 1) | (patients < 40) & (
        share_positive == 1
    )
    score = rng.normal(size=480) + y_true + 1.5 * rng.normal(size=80)[patients]
    found = _width(auroc_interval(y_true, score, patients))
    resampled = bootstrap_interval(lambda y, s: auroc_interval(y, s).value, y_true, score, patients, 800).interval
    assert found == pytest.approx(_width(resampled), rel=0.1)
    assert abs(_width(auroc_interval(y_true, score)) / found - 1) > 0.2  # so cases taken for patients would not pass


def test_separated_classes_are_as_certain_as_there_are_patients() -> None:
    y_true = np.repeat([0, 1], [30, 12])
    by_patient = auroc_interval(y_true, y_true, np.arange(42) // 3)
    assert by_patient == auroc_interval(np.repeat([0, 1], [10, 4]), np.repeat([0, 1], [10, 4]))
    with pytest.raises(UsageError, match="two of each"):
        auroc_interval([0, 0, 0, 1, 1], [0, 1, 2, 3, 4], ["a", "b", "c", "d", "d"])


def test_clustered_proportion_with_one_trial_a_patient_is_that_of_wilson() -> None:
    for n_successes in (0, 3, 40, 50):
        found = clustered_wilson_interval(np.arange(50) < n_successes, np.arange(50))
        expected = wilson_interval(n_successes, 50)
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_repeated_trials_of_a_patient_add_no_certainty() -> None:
    success, patients = np.repeat(np.arange(30) < 21, 5), np.repeat(np.arange(30), 5)
    found = clustered_wilson_interval(success, patients)
    n_independent = 150 * 29 / 149  # variance between patients over that of 150 independent trials, both unbiased
    assert found.low == pytest.approx(wilson_interval(0.7 * n_independent, n_independent).low)
    assert clustered_wilson_interval(success | True, patients) == wilson_interval(30, 30)
    assert clustered_wilson_interval([True, False], ["a", "a"]) == wilson_interval(0.5, 1)


def test_clustered_proportion_covers_the_truth() -> None:
    rng = np.random.default_rng(7)
    covered = np.zeros(2)
    for _ in range(300):
        patients = np.repeat(np.arange(40), rng.integers(1, 10, 40))
        success = rng.random(patients.size) < rng.beta(0.8 * 2, 0.2 * 2, 40)[patients]  # correlation 1/3 in a patient
        clustered = clustered_wilson_interval(success, patients)
        plain = wilson_interval(int(success.sum()), success.size)
        covered += [interval.low <= 0.8 <= interval.high for interval in (clustered, plain)]
    assert covered[0] / 300 > 0.9
    assert covered[1] / 300 < 0.8


@pytest.mark.parametrize(("success", "patients"), [([], []), ([True], ["a", "b"])])
def test_bad_trials_are_refused(success: list[bool], patients: list[str]) -> None:
    with pytest.raises(UsageError, match="trials of shape"):
        clustered_wilson_interval(success, patients)


def test_spearman_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(8)
    x = np.round(rng.normal(size=60), 1)
    y = np.round(x + rng.normal(size=60))
    assert spearman_interval(x, y, np.arange(60)).value == pytest.approx(spearmanr(x, y).statistic)
    assert spearman_interval(x, -x, np.arange(60)).value == pytest.approx(-1)


def test_spearman_interval_is_that_of_the_slow_bootstrap() -> None:
    rng = np.random.default_rng(9)
    subjects = np.repeat(np.arange(30), 3)
    shared = rng.normal(size=30)[subjects]
    x, y = np.round(shared + rng.normal(0, 0.2, 90), 1), np.round(shared + rng.normal(size=30)[subjects], 1)
    slow = []
    for _ in range(1000):
        drawn = np.concatenate([3 * i + np.arange(3) for i in rng.integers(0, 30, 30)])
        slow.append(np.corrcoef(rankdata(x[drawn]), rankdata(y[drawn]))[0, 1])
    found = spearman_interval(x, y, subjects)
    assert (found.low, found.high) == pytest.approx(np.quantile(slow, (0.025, 0.975)).tolist(), abs=0.04)
    assert _width(spearman_interval(x, y, np.arange(90))) < 0.8 * _width(found)


def test_resamples_without_a_correlation_are_left_out() -> None:
    y = np.arange(12.0)
    few = spearman_interval(np.arange(12) < 4, y, np.arange(12))  # some 1 in 100 resamples holds one value of x only
    assert -1 <= few.low < few.value < few.high <= 1
    with pytest.raises(UsageError, match="could not give"):
        spearman_interval(np.arange(12) < 1, y, np.arange(12))
    with pytest.raises(UsageError, match="cannot give"):
        spearman_interval(np.zeros(12), y, np.arange(12))


@pytest.mark.parametrize(
    ("x", "y", "groups", "words"),
    [
        ([1, 2], [1], [0, 1], "shapes"),
        ([1, 2], [1, 2], [0], "shapes"),
        ([1, np.nan], [1, 2], [0, 1], "not finite"),
        ([1, 2], [1, 2], [0, 0], "resamples of"),
    ],
)
def test_bad_measurements_are_refused(x: list[float], y: list[float], groups: list[int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        spearman_interval(x, y, groups)


@pytest.fixture(scope="module")
def report(y_true: NDArray[np.int64], probabilities: NDArray[np.float64]) -> GradingReport:
    return grading_report(y_true, probabilities)


def test_report_is_that_of_scikit_learn(
    report: GradingReport, y_true: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> None:
    y_pred = probabilities.argmax(axis=1)
    distance = np.abs(y_pred - y_true)
    assert (report.n, report.n_groups) == (N, N)
    assert report.accuracy.value == pytest.approx(sklearn_metrics.accuracy_score(y_true, y_pred))
    assert report.accuracy.low == pytest.approx(wilson_interval(int((distance == 0).sum()), N).low)
    assert report.off_by_one.high == pytest.approx(wilson_interval(int((distance <= 1).sum()), N).high)
    assert report.mean_absolute_error.value == sklearn_metrics.mean_absolute_error(y_true, y_pred)
    assert report.weighted_kappa is not None
    kappa = sklearn_metrics.cohen_kappa_score(y_true, y_pred, weights="quadratic")
    assert report.weighted_kappa.value == pytest.approx(kappa)
    np.testing.assert_array_equal(report.confusion.counts, sklearn_metrics.confusion_matrix(y_true, y_pred))
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(y_true, y_pred)
    for grade, metrics in enumerate(report.per_class):
        assert metrics.recall is not None
        assert metrics.precision is not None
        assert metrics.auroc is not None
        assert (metrics.recall.value, metrics.precision.value) == pytest.approx((recall[grade], precision[grade]))
        area = sklearn_metrics.roc_auc_score(y_true == grade, probabilities[:, grade])
        assert metrics.auroc.value == pytest.approx(area)
        assert (metrics.support, metrics.n_predicted) == (support[grade], np.count_nonzero(y_pred == grade))


def test_several_cases_of_a_patient_make_every_interval_wider(
    report: GradingReport, y_true: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> None:
    repeated = grading_report(np.repeat(y_true, 3), np.repeat(probabilities, 3, axis=0), np.repeat(np.arange(N), 3))
    naive = grading_report(np.repeat(y_true, 3), np.repeat(probabilities, 3, axis=0))
    assert (repeated.n, repeated.n_groups, naive.n_groups) == (3 * N, N, 3 * N)
    for name in ("accuracy", "off_by_one", "weighted_kappa", "macro_auroc", "mean_absolute_error"):
        found, too_short, once = (getattr(r, name) for r in (repeated, naive, report))
        assert found.value == pytest.approx(too_short.value)
        assert _width(found) > 1.4 * _width(too_short)
        assert _width(found) == pytest.approx(_width(once), rel=0.05)
    for found, too_short in zip(repeated.per_class, naive.per_class, strict=True):
        for name in ("recall", "precision", "auroc"):
            assert _width(getattr(found, name)) > 1.4 * _width(getattr(too_short, name))


def test_report_repeats_with_its_seed(
    report: GradingReport, y_true: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> None:
    again, other = (grading_report(y_true, probabilities, seed=seed) for seed in (0, 1))
    assert again.macro_auroc == report.macro_auroc
    assert again.weighted_kappa == report.weighted_kappa
    assert other.macro_auroc != report.macro_auroc
    assert other.accuracy == report.accuracy


def test_a_class_without_cases_leaves_gaps_and_no_error(
    y_true: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> None:
    present = y_true < 4
    rows = probabilities[present][:, :4] / probabilities[present][:, :4].sum(axis=1, keepdims=True)
    report = grading_report(y_true[present], np.column_stack([rows, np.zeros(len(rows))]))
    gap = report.per_class[4]
    assert (gap.recall, gap.precision, gap.auroc, gap.support, gap.n_predicted) == (None, None, None, 0, 0)
    assert report.macro_auroc is None
    assert report.weighted_kappa is not None
    assert report.confusion.counts.shape == (5, 5)


def test_a_perfect_grader_of_one_class_has_no_kappa() -> None:
    report = grading_report([1, 1, 1], [[0.1, 0.8, 0.1]] * 3)
    assert (report.weighted_kappa, report.macro_auroc) == (None, None)
    assert report.accuracy == wilson_interval(3, 3)


def test_one_patient_gives_no_report() -> None:
    with pytest.raises(UsageError, match="one patient"):
        grading_report([0, 1], [[0.9, 0.1], [0.1, 0.9]], ["a", "a"])


def test_severity_rises_where_the_reference_falls() -> None:
    rng = np.random.default_rng(4)
    references = rng.uniform(60, 250, 40)
    worst = np.clip((200 - references) / 200, 0, 1)
    probabilities = np.stack([1 - worst, worst / 2, worst / 2], axis=1)
    subjects = np.arange(40) // 4
    found = severity_interval(probabilities, references, subjects)
    assert found == spearman_interval(worst / 2 + worst, -references, subjects)
    assert found.value > 0.9
