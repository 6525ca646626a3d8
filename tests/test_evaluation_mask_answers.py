"""A segmenter measured on photographs: who may answer an image, and that the answer is that of the road."""

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from test_training_masks import OfFold, eyes, published
from torch.nn import functional

from core.engine.loader import Model
from core.engine.networks.split import Activations, SplitNetwork
from core.errors import UsageError
from core.evaluation.known import BY_FOLD, BY_MODEL, OUT_OF_FOLD
from core.evaluation.mask_answers import answer_images
from core.evaluation.masks import thresholds_of
from core.io.pixel_evidence import read_evidence
from core.metrics.pixel_histogram import pixel_histogram
from core.records import Frame, LabelledCase, Study
from core.tasks.retina_lesions.data import phantom_cases, training_map
from core.tasks.retina_lesions.locate import locate
from core.tasks.retina_lesions.prepare import field_mask, picture
from core.tasks.retina_lesions.task import FINER


class Split(SplitNetwork):
    """The closed-form network of the tests of publishing, as the road wants it."""

    def __init__(self, steepness: float) -> None:
        super().__init__()
        self.body = OfFold("tiny")
        self.body.steepness.data.fill_(steepness)

    def features(self, x: torch.Tensor) -> Activations:
        return Activations(x)

    def head(self, activations: Activations) -> torch.Tensor:
        return self.body(activations.target)


@cache
def phantoms() -> tuple[LabelledCase, ...]:
    return tuple(phantom_cases(3, "test", 2))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Published from made-up eyes, the first of which is named as the first phantom."""
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    hashes = eyes().pixel_hashes.astype("<U32")
    hashes[0] = phantoms()[0].study.pixel_hash
    manifest = published(folder, replace(eyes(), pixel_hashes=hashes))
    return Model(manifest, Split(1.0), torch.device("cpu"), folder)


def known(case: LabelledCase) -> LabelledCase:
    return replace(case, patient=str(eyes().patients[0]))


def test_trained_image_is_answered_from_the_committed_evidence(model: Model) -> None:
    found, scored_by = answer_images(model, [known(phantoms()[0])], Counter(), {})
    assert scored_by == {OUT_OF_FOLD: 1}
    committed = read_evidence(model.folder, model.manifest.provenance.evaluation_sha256)
    place = int(np.flatnonzero(committed.cases == eyes().cases[0])[0])
    assert np.array_equal(found.histograms[0], committed.histograms[place])
    assert found.folds[0] == eyes().folds[0]
    assert np.isnan(found.outline_thresholds).all()  # training had none yet


def test_fold_model_goes_before_committed_evidence(model: Model) -> None:
    fold = int(eyes().folds[0])
    others = {fold: replace(model, network=Split(2.0))}
    found, scored_by = answer_images(model, [known(phantoms()[0])], Counter(), others)
    assert scored_by == {BY_FOLD: 1}
    assert np.array_equal(found.histograms[0], by_hand(phantoms()[0], 2.0))


def test_other_image_of_a_trained_patient_is_left_out(model: Model) -> None:
    excluded: Counter[str] = Counter()
    cases = [known(phantoms()[1]), phantoms()[1]]
    found, scored_by = answer_images(model, cases, excluded, {})
    assert (excluded, scored_by) == ({"seen in training": 1}, {BY_MODEL: 1})
    assert found.cases.tolist() == [phantoms()[1].case_id]


def test_new_image_takes_the_road_of_the_model(model: Model) -> None:
    found, _ = answer_images(model, [phantoms()[1]], Counter(), {})
    assert np.array_equal(found.histograms[0], by_hand(phantoms()[1], 1.0))
    assert found.folds[0] == -1
    assert found.outline_thresholds[0].tolist() == list(thresholds_of(model.manifest))
    assert np.isfinite(found.hausdorff95_px).all()


def test_refused_image_is_counted_with_its_reason(model: Model) -> None:
    excluded: Counter[str] = Counter()
    grey = Study((Frame(np.zeros((80, 80), np.float32), "relative"),), "0" * 64, "raster")
    case = LabelledCase("grey", "grey", grey, 0.0, label_map=np.zeros((80, 80), np.uint8))
    with pytest.raises(UsageError, match="no image could be counted"):
        answer_images(model, [case], excluded, {})
    assert excluded == {"refused: no_colour": 1}


def by_hand(case: LabelledCase, steepness: float) -> np.ndarray:
    """Histograms of both labels from the picture of the field of view."""
    (region,) = locate(case.study)
    values, inside = picture(case.study, region.box_xyxy)[0], field_mask(case.study, region.box_xyxy)
    green = steepness * functional.avg_pool2d(torch.from_numpy(values[None, :, :, 1].copy()), FINER)[0]
    scores = torch.sigmoid(torch.stack([-green - 1, green - 1])).numpy()
    label_map = training_map(case)
    return np.stack([pixel_histogram(scores[k], label_map == kind, inside) for k, kind in enumerate((2, 3))])
