"""Numbers of cases: published figures, the intervals themselves, a simulation and properties."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.metrics.delong import auroc_interval
from core.metrics.proportions import Z95, wilson_interval
from core.metrics.sample_size import (
    SampleSize,
    auroc_standard_error,
    cases_for_auroc,
    cases_for_sensitivity,
    cases_for_specificity,
)

INNER = st.floats(0.02, 0.98)
WIDTHS = st.floats(0.01, 0.3)


def _half(n_successes: float, n: int) -> float:
    interval = wilson_interval(n_successes, n)
    return (interval.high - interval.low) / 2


# --- sensitivity and specificity -------------------------------------------------------------------------------------


def test_wilson_as_published() -> None:
    """R's presize, vignette: sensitivity 0.75, prevalence 0.15, 38 positives of 250 give a width of 0.2663919."""
    found = cases_for_sensitivity(0.75, 0.2663919 / 2 + 1e-7, 0.15)
    assert found.n_positive == 38
    assert found.n_cases == ceil(38 / 0.15)


@pytest.mark.parametrize(
    ("share", "half_width", "n"), [(0.9, 0.05, 139), (0.8, 0.07, 126), (0.5, 0.1, 97), (0.95, 0.03, 203)]
)
def test_buderer_by_its_formula(share: float, half_width: float, n: int) -> None:
    """1.96^2 p (1 - p) / w^2: 138.3, 125.4, 96.04, 202.7."""
    for prevalence in (0.1, 0.25):
        found = cases_for_sensitivity(share, half_width, prevalence, "buderer")
        assert (found.n_positive, found.n_cases) == (n, ceil(round(n / prevalence, 6)))
        mirrored = cases_for_specificity(share, half_width, 1 - prevalence, "buderer")
        assert (mirrored.n_negative, mirrored.n_cases) == (n, found.n_cases)


@pytest.mark.parametrize(("share", "half_width"), [(0.75, 0.098), (0.9, 0.068)])
def test_buderer_as_published(share: float, half_width: float) -> None:
    """75 cases (S. Simon, Stats: Sample size for a diagnostic test, childrensmercy.org 2004)."""
    assert cases_for_sensitivity(share, half_width, 0.5, "buderer").n_positive == 75


@given(st.floats(0, 1), WIDTHS, INNER)
@settings(deadline=None)
def test_wilson_gives_the_fewest_cases(share: float, half_width: float, prevalence: float) -> None:
    found = cases_for_sensitivity(share, half_width, prevalence)
    n = found.n_positive
    assert _half(share * n, n) <= half_width * (1 + 1e-8)
    assert n == 1 or _half(share * (n - 1), n - 1) > half_width
    assert found.n_negative >= 0
    assert found.n_cases * prevalence >= n - 1e-6 * n  # as many positives are to be expected
    assert (found.n_cases - 1) * prevalence < n
    mirrored = cases_for_specificity(share, half_width, prevalence)
    assert mirrored.n_negative == n
    assert mirrored.n_cases * (1 - prevalence) >= n - 1e-6 * n


@given(st.floats(0.2, 0.8), st.floats(0.01, 0.05))
@settings(deadline=None)
def test_methods_agree_in_the_middle(share: float, half_width: float) -> None:
    wilson, buderer = (cases_for_sensitivity(share, half_width, 0.5, method) for method in ("wilson", "buderer"))
    assert wilson.n_positive == pytest.approx(buderer.n_positive, rel=0.02, abs=5)


def test_buderer_asks_for_too_few_near_one() -> None:
    wilson, buderer = (cases_for_sensitivity(0.99, 0.05, 0.5, method) for method in ("wilson", "buderer"))
    assert buderer.n_positive < wilson.n_positive / 2
    assert cases_for_sensitivity(1.0, 0.05, 0.5).n_positive == ceil(Z95**2 * (0.1**-1 - 1))


# --- AUROC -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_positive", "n_negative", "error"), [(20, 200, 0.06498283), (110, 110, 0.03282048)])
def test_standard_errors_as_published(n_positive: int, n_negative: int, error: float) -> None:
    """R's auctestr, examples of se_auc, for 0.75."""
    assert auroc_standard_error(0.75, n_positive, n_negative) == pytest.approx(error, abs=5e-9)


def test_standard_error_in_closed_form() -> None:
    # At 0.5 both chances are 1/3, which is the variance of Mann and Whitney: (m + n + 1) / (12 m n).
    assert auroc_standard_error(0.5, 7, 11) ** 2 == pytest.approx((7 + 11 + 1) / (12 * 7 * 11))
    assert auroc_standard_error(1.0, 7, 11) == 0
    assert auroc_standard_error(0.8, 1, 1) ** 2 == pytest.approx(0.8 * 0.2)


def test_standard_error_is_that_of_exponential_scores() -> None:
    """Positives of mean r and negatives of mean 1 have the AUROC r / (1 + r)."""
    rng = np.random.default_rng(0)
    positives, negatives = rng.exponential(4.0, (4000, 40)), rng.exponential(1.0, (4000, 60))
    below = (negatives[:, :, np.newaxis] < positives[:, np.newaxis, :]).mean(axis=(1, 2))
    assert below.mean() == pytest.approx(0.8, abs=0.005)
    assert below.std() == pytest.approx(auroc_standard_error(0.8, 40, 60), rel=0.05)


def test_the_interval_of_so_many_cases_is_about_as_wide() -> None:
    plan = cases_for_auroc(0.8, 0.04, 0.3)
    rng = np.random.default_rng(1)
    y_true = np.arange(plan.n_cases) < plan.n_positive
    interval = auroc_interval(
        y_true, np.where(y_true, rng.exponential(4.0, plan.n_cases), rng.exponential(1.0, plan.n_cases))
    )
    assert (interval.high - interval.low) / 2 == pytest.approx(0.04, rel=0.15)


@given(st.floats(0.5, 0.99), WIDTHS, st.floats(0.05, 0.95))
@settings(deadline=None)
def test_auroc_gives_the_fewest_cases(auroc: float, half_width: float, prevalence: float) -> None:
    found = cases_for_auroc(auroc, half_width, prevalence)
    assert Z95 * auroc_standard_error(auroc, found.n_positive, found.n_negative) <= half_width * (1 + 1e-8)
    assert found.n_positive <= found.n_cases * prevalence + 1e-6 < found.n_positive + 1 + 1e-5
    fewer = (
        int((found.n_cases - 1) * prevalence + 1e-9),
        found.n_cases - 1 - int((found.n_cases - 1) * prevalence + 1e-9),
    )
    assert min(fewer) < 2 or Z95 * auroc_standard_error(auroc, *fewer) > half_width


@given(st.floats(0.5, 0.95), st.floats(0.02, 0.2), INNER)
@settings(deadline=None)
def test_a_narrower_interval_never_needs_fewer_cases(value: float, half_width: float, prevalence: float) -> None:
    for plan in (cases_for_sensitivity, cases_for_specificity, cases_for_auroc):
        assert plan(value, half_width / 2, prevalence).n_cases >= plan(value, half_width, prevalence).n_cases


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [cases_for_sensitivity, cases_for_specificity, cases_for_auroc])
def test_numbers_out_of_range_are_refused(plan: object) -> None:
    assert callable(plan)
    for value, half_width, prevalence, words in (
        (1.1, 0.05, 0.5, "of 1.1"),
        (-0.1, 0.05, 0.5, "of -0.1"),
        (float("nan"), 0.05, 0.5, "of nan"),
        (0.9, 0.0, 0.5, "half-width of 0"),
        (0.9, 0.5, 0.5, "half-width of 0.5"),
        (0.9, float("nan"), 0.5, "half-width of nan"),
        (0.9, 0.05, 0.0, "prevalence of 0"),
        (0.9, 0.05, 1.0, "prevalence of 1"),
        (0.9, 1e-9, 0.5, "cases"),
    ):
        with pytest.raises(UsageError, match=words):
            plan(value, half_width, prevalence)


def test_further_refusals() -> None:
    for share in (0.0, 1.0):
        with pytest.raises(UsageError, match="no width"):
            cases_for_specificity(share, 0.05, 0.5, "buderer")
    with pytest.raises(UsageError, match="method 'wald'"):
        cases_for_sensitivity(0.9, 0.05, 0.5, "wald")  # type: ignore[arg-type]
    for auroc in (0.49, 1.0):
        with pytest.raises(UsageError, match="an AUROC of"):
            cases_for_auroc(auroc, 0.05, 0.5)
    for counts in ((0, 5), (5, 0)):
        with pytest.raises(UsageError, match="positive and"):
            auroc_standard_error(0.8, *counts)
    assert SampleSize(3, 4).n_cases == 7
