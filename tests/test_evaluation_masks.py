"""Reports of a segmenter from its evidence: the numbers are those of scikit-learn and NumPy on the pixels themselves."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny_masks import INSIDE, LABELS, PUBLISHED, THRESHOLDS, N, answers, evidence, masks_folder, masks_manifest

from core.errors import UsageError
from core.evaluation.masks import MaskReports, held_out_masks, mask_reports, measure_masks
from core.io.pixel_evidence import FILE, ImageAnswer, PixelEvidence
from core.metrics.lesions import LESION_THRESHOLDS
from core.metrics.pixel_histogram import N_BINS

OTHERS = [answer for answer in answers() if answer.fold != PUBLISHED]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> MaskReports:
    folder = tmp_path_factory.mktemp("weights") / "unet"
    return held_out_masks(folder, masks_folder(folder))


@pytest.fixture(scope="module")
def measured() -> dict[str, object]:
    return measure_masks(masks_manifest(), evidence(), {"refused: blank": 2}, {"installed model": N}, PUBLISHED)


def pixels(images: list[ImageAnswer], place: int, source: str = "scores") -> tuple[NDArray, NDArray]:
    """Truth and scores of all pixels of the field, scores at the bins of the histograms."""
    truth = np.concatenate([image.truth[place][INSIDE] for image in images])
    scores = np.concatenate([getattr(image, source)[place][INSIDE] for image in images])
    return truth, np.floor(scores * N_BINS) / N_BINS


@pytest.mark.parametrize("place", [0, 1])
def test_areas_are_those_of_scikit_learn_on_all_images(reports: MaskReports, place: int) -> None:
    label = reports.labels[place]
    for report, source in ((label.pixels, "scores"), (label.rule, "rule")):
        truth, scores = pixels(list(answers()), place, source)
        assert report.auroc is not None
        assert report.average_precision is not None
        assert report.auroc.value == pytest.approx(roc_auc_score(truth, scores))
        assert report.average_precision.value == pytest.approx(average_precision_score(truth, scores))
        assert report.n_images == N
    assert label.label == LABELS[place]
    assert label.pixels.image_auroc.n_undefined == (4, 7)[place]


@pytest.mark.parametrize("place", [0, 1])
def test_pixels_at_the_threshold_leave_out_the_images_that_chose_it(reports: MaskReports, place: int) -> None:
    truth, scores = pixels(OTHERS, place)
    called = scores >= THRESHOLDS[LABELS[place]]
    overlap = np.sum(called & truth)
    at = reports.labels[place].at_point.at_threshold
    assert reports.labels[place].at_point.n_images == len(OTHERS) == 9
    assert at.dice is not None
    assert at.accuracy is not None
    assert at.accuracy_all_background is not None
    assert at.dice.value == pytest.approx(2 * overlap / (called.sum() + truth.sum()))
    assert at.accuracy.value == pytest.approx(np.mean(called == truth))
    assert at.accuracy_all_background.value == pytest.approx(1 - truth.mean())


def test_images_that_chose_no_threshold_all_count() -> None:
    label = mask_reports(masks_manifest(), evidence(), None).labels[0]
    assert label.at_point.n_images == N
    single = mask_reports(masks_manifest(), evidence().of(evidence().folds == PUBLISHED), PUBLISHED).labels[0]
    assert single.at_point.n_images == 3  # a model of one fold has no other images


def test_lesions_are_counted_at_the_nearest_threshold(reports: MaskReports) -> None:
    for label in reports.labels:
        apart = np.abs(LESION_THRESHOLDS - THRESHOLDS[label.label])
        assert np.abs(label.lesions.threshold - THRESHOLDS[label.label]) == apart.min()
        assert label.lesions.n_without_lesions == label.pixels.image_auroc.n_undefined
        assert label.lesions.froc is not None


@pytest.mark.parametrize("place", [0, 1])
def test_outlines_leave_out_the_images_that_chose_the_threshold_and_no_other(reports: MaskReports, place: int) -> None:
    name = LABELS[place]
    others = evidence().of(evidence().folds != PUBLISHED)
    own = reports.labels[place].surfaces
    assert own is not None
    assert own.n_images == len(OTHERS)
    assert own.hausdorff95.value == pytest.approx(others.hausdorff95_px[:, place].mean())
    assert own.normalised_surface_dice.value == pytest.approx(others.surface_dice[:, place].mean())
    for image, distance in zip(OTHERS, others.hausdorff95_px[:, place], strict=True):
        if not image.truth[place].any() and (image.scores[place][INSIDE] < THRESHOLDS[name]).all():
            assert distance == 0
    holds = np.array([image.truth[place].any() for image in OTHERS])
    assert own.n_invented + own.n_both_empty == (~holds).sum()
    assert own.n_missed <= holds.sum()


def test_older_evidence_has_no_outlines() -> None:
    older = replace(evidence(), outline_thresholds=np.full((N, 2), np.nan))
    found = measure_masks(masks_manifest(), older, {}, {})
    assert found["metrics"]["exudate"]["hausdorff95_px"] is None
    assert found["metrics"]["exudate"]["dice"] is not None
    assert found["operating_points"]["exudate"]["outlines"] is None


def test_statistics_are_json_of_the_reports(measured: dict[str, object], reports: MaskReports) -> None:
    assert json.loads(json.dumps(measured)) == measured
    assert (measured["n"], measured["n_subjects"], measured["held_out"]) == (N, N, True)
    assert measured["excluded"] == {"refused: blank": 2}
    assert measured["scored_by"] == {"installed model": N}
    for label in reports.labels:
        own = measured["metrics"][label.label]
        assert label.pixels.auroc is not None
        assert own["pixel_auroc"]["value"] == pytest.approx(label.pixels.auroc.value, abs=1e-6)
        assert own["pixel_auroc"]["ci"] == pytest.approx([label.pixels.auroc.low, label.pixels.auroc.high], abs=1e-6)
        assert label.lesions.froc is not None
        readings = [own[f"lesion_sensitivity_{name}"]["value"] for name in ("0.25", "0.5", "1", "2")]
        assert readings == pytest.approx([p.sensitivity.value for p in label.lesions.froc.points if p.sensitivity])
        point = measured["operating_points"][label.label]
        assert (point["threshold"], point["n"]) == (THRESHOLDS[label.label], len(OTHERS))
        assert label.surfaces is not None
        assert own["hausdorff95_px"]["value"] == pytest.approx(label.surfaces.hausdorff95.value, abs=1e-6)
        assert own["surface_dice"]["ci"][0] <= own["surface_dice"]["value"] <= own["surface_dice"]["ci"][1]
        assert (point["outlines"]["n"], point["outlines"]["n_missed"]) == (len(OTHERS), label.surfaces.n_missed)


def test_what_the_images_cannot_give_is_none() -> None:
    healthy = evidence().of(np.arange(N) >= 9)
    own = measure_masks(masks_manifest(), healthy, {}, {})["metrics"]["exudate"]
    assert own["pixel_auroc"] is own["average_precision"] is own["image_auroc_mean"] is None
    assert own["false_alarm_share"] is not None
    assert not [name for name in own if name.startswith("lesion_sensitivity")]


def test_changed_evidence_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    manifest = masks_folder(folder)
    (folder / FILE).write_bytes(evidence().of(np.arange(N) > 0).to_bytes())
    with pytest.raises(UsageError, match="missing or was changed"):
        held_out_masks(folder, manifest)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"labels": 1}, "evidence of 2 labels for 1"), ({"points": 1}, "no operating point for exudate")],
)
def test_evidence_of_another_manifest(change: dict[str, int], words: str) -> None:
    manifest = masks_manifest()
    changed = manifest.model_copy(
        update={
            "labels": manifest.labels[: change.get("labels")],
            "operating_points": manifest.operating_points[: change.get("points")],
        }
    )
    with pytest.raises(UsageError, match=words):
        mask_reports(changed, evidence(), None)


def test_one_image_has_no_interval() -> None:
    one: PixelEvidence = evidence().of(np.arange(N) == 0)
    with pytest.raises(UsageError, match="two patients"):
        measure_masks(masks_manifest(), one, {}, {})
