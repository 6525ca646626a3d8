"""Confusion matrix and report: the printed tables of the hip study (METHODS A1) and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from core.errors import UsageError
from core.metrics.confusion import (
    ClassificationReport,
    ConfusionMatrix,
    classification_report,
    confusion_matrix,
    report_matrix,
)

LABELS = ("not_osteoporosis", "osteoporosis")

# model: matrix, then precision, recall, F1 of both classes and the accuracy, all as printed in tables 4.1 and 4.2.
TABLES = {
    "ResNet18": ([[30, 7], [7, 40]], "0.81 0.81 0.81 0.85 0.85 0.85", ".8333"),
    "ResNet34": ([[29, 8], [6, 41]], "0.83 0.78 0.81 0.84 0.87 0.85", ".8333"),
    "GoogLeNet": ([[31, 6], [8, 39]], "0.79 0.84 0.82 0.87 0.83 0.85", ".8333"),
    "DenseNet": ([[33, 4], [12, 35]], "0.73 0.89 0.80 0.90 0.74 0.81", ".8095"),
    "VGG16": ([[34, 3], [16, 31]], "0.68 0.92 0.78 0.91 0.66 0.77", ".7738"),
    "final": ([[32, 5], [2, 45]], "0.94 0.86 0.90 0.90 0.96 0.93", ".9167"),
}


def _report(counts: list[list[int]]) -> ClassificationReport:
    return report_matrix(ConfusionMatrix(np.array(counts), LABELS))


@pytest.mark.parametrize("model", TABLES)
def test_every_printed_figure_comes_back(model: str) -> None:
    counts, printed, accuracy = TABLES[model]
    report = _report(counts)
    figures = " ".join(f"{c.precision:.2f} {c.recall:.2f} {c.f1:.2f}" for c in report.classes)
    assert figures == printed
    assert f"{report.accuracy.value:.4f}" == "0" + accuracy
    assert [c.support for c in report.classes] == [37, 47]


def test_figure_4_8_with_its_averages() -> None:
    report = _report(TABLES["final"][0])
    assert report.n_cases == 84
    assert f"{report.accuracy.value:.2f}" == "0.92"
    for average, printed in ((report.macro, "0.92 0.91 0.91"), (report.weighted, "0.92 0.92 0.92")):
        assert f"{average.precision:.2f} {average.recall:.2f} {average.f1:.2f}" == printed
    assert f"{report.accuracy.low:.3f} {report.accuracy.high:.3f}" == "0.838 0.959"


def test_report_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    labels = ("a", "b", "c", "d")
    report = classification_report(y_true, y_pred, labels)
    expected = sklearn_metrics.classification_report(y_true, y_pred, target_names=labels, output_dict=True)
    for found in report.classes:
        row = expected[found.label]
        assert (found.precision, found.recall, found.f1, found.support) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"], row["support"])
        )
    for name, found_average in (("macro avg", report.macro), ("weighted avg", report.weighted)):
        row = expected[name]
        assert (found_average.precision, found_average.recall, found_average.f1) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"])
        )
    assert report.accuracy.value == pytest.approx(expected["accuracy"])
    matrix = confusion_matrix(y_true, y_pred, labels)
    np.testing.assert_array_equal(matrix.counts, sklearn_metrics.confusion_matrix(y_true, y_pred))


def test_a_class_never_predicted_counts_as_zero_and_says_so() -> None:
    report = classification_report([0, 0, 1, 1], [0, 0, 0, 0], LABELS)
    assert (report.classes[1].precision, report.classes[1].n_predicted, report.classes[1].support) == (0.0, 0, 2)


def test_a_label_that_no_case_has_keeps_its_row() -> None:
    report = classification_report([0, 1], [0, 1], ("a", "b", "c"))
    assert (report.classes[2].recall, report.classes[2].support) == (0.0, 0)
    assert report.weighted.recall == 1.0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "words"),
    [
        ([0, 1], [0, 2], "class index"),
        ([0, -1], [0, 1], "class index"),
        ([0, 0.5], [0, 1], "class index"),
        ([0, 1], [0], "shape"),
        ([], [], "confusion matrix"),
    ],
)
def test_bad_classes_are_refused(y_true: list[float], y_pred: list[float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        confusion_matrix(y_true, y_pred, LABELS)


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, -1], [0, 2]], [[0, 0], [0, 0]]])
def test_bad_matrices_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(UsageError, match="confusion matrix"):
        ConfusionMatrix(np.array(counts), LABELS)
