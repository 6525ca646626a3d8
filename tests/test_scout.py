"""The sagittal scout: which way up, which slices are marked, how large."""

import numpy as np
import pytest

from core.imaging.scout import sagittal_scout
from core.records import Frame, Study

AMBER = (233, 162, 59)
SIDE = 100


def slices(
    n: int, hu: "list[float] | None" = None, step_mm: float | None = 5.0, spacing_mm: float = 1.0
) -> list[Study]:
    """Square patients in air; the front half of every slice is 200 HU brighter than its back."""
    studies = []
    for place in range(n):
        pixels = np.full((SIDE, SIDE), -1000, np.float32)
        pixels[10:90, 20:80] = -150 if hu is None else hu[place]
        pixels[10:50, 20:80] += 200
        tags = {"Modality": "CT"} | ({} if step_mm is None else {"SlicePosition": f"{place * step_mm - 40:.2f}"})
        studies.append(Study((Frame(pixels, "HU", (spacing_mm, spacing_mm)),), "0" * 64, "dicom", tags))
    return studies


def marked_rows(picture: np.ndarray) -> np.ndarray:
    """Middles of the runs of rows that are amber from edge to edge."""
    rows = np.flatnonzero((picture == AMBER).all(axis=(1, 2)))
    return np.array([run.mean() for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)])


def test_highest_slice_is_on_top_and_the_front_on_the_left() -> None:
    picture = sagittal_scout(slices(20, list(np.linspace(-200, 300, 20))), [])
    height, width, _ = picture.shape
    column = picture[:, width // 3, 0].astype(int)
    assert column[5] > column[height // 2] > column[-5]
    row = picture[height // 2, :, 0].astype(int)
    assert row[width // 4] > row[3 * width // 4]
    assert row[0] == 0  # air before the patient


def test_marks_lie_on_the_rows_of_the_chosen_slices() -> None:
    n = 20
    picture = sagittal_scout(slices(n), [0, 7, 19])
    height = picture.shape[0]
    expected = [(n - place - 0.5) / n * height for place in (19, 7, 0)]
    assert marked_rows(picture) == pytest.approx(expected, abs=1.5)


def test_mark_meets_its_own_slice() -> None:
    """One slice of bone among soft tissue, at a place that no mirror image shares."""
    hu = [0.0] * 20
    hu[4] = 600.0
    plain = sagittal_scout(slices(20, hu), [])
    brightest = np.flatnonzero(plain[:, 100, 0] == plain[:, 100, 0].max()).mean()
    assert marked_rows(sagittal_scout(slices(20, hu), [4])) == pytest.approx([brightest], abs=2)


def test_no_place_no_mark() -> None:
    picture = sagittal_scout(slices(10), [])
    assert np.array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize(
    ("n", "step_mm", "height"),
    [
        (30, 5.0, 540),  # 150 mm at 3.6 pixels a mm
        (10, 1.0, 40),  # 36, but four rows a slice
        (60, 0.5, 160),  # 108, but never a ribbon
        (200, 5.0, 760),  # 3600
        (30, None, 324),  # 3 mm where the files tell nothing
    ],
)
def test_proportions_are_true_within_bounds(n: int, step_mm: float | None, height: int) -> None:
    picture = sagittal_scout(slices(n, step_mm=step_mm), [0])
    assert picture.shape == (height, 360, 3)
    assert picture.dtype == np.uint8


def test_patient_beside_the_middle_is_cut_through_his_middle() -> None:
    """The cut follows the patient, not the frame: bone lies in his middle columns alone."""
    studies = []
    for place in range(8):
        pixels = np.full((SIDE, SIDE), -1000, np.float32)
        pixels[10:90, 50:90] = 0
        pixels[60:70, 66:74] = 700
        studies.append(Study((Frame(pixels, "HU", (1.0, 1.0)),), "0" * 64, "dicom", {"SlicePosition": f"{5 * place}"}))
    picture = sagittal_scout(studies, [])
    bone, soft = picture[:, round(0.65 * 360), 0], picture[:, round(0.3 * 360), 0]
    assert bone.min() > soft.max() + 80
