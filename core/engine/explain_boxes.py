"""Explanations of one detected box: `engine.explain` on the detector seen through that box. No hook on a shared network.

The score that is explained is the log odds of the label in the fixed box, by the ROI head alone: it moves smoothly with the
image, where the detection itself may jump to another proposal or vanish.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.explain import METHODS, SEGMENTER_METHODS, RawMap, explain
from core.engine.loader import Model
from core.engine.networks.box_view import BoxView, PyramidView
from core.engine.networks.detector import Box, Detector
from core.engine.runner import Run, place_in_queue
from core.errors import UsageError
from core.i18n import mark
from core.records import Finding
from core.task import Kind

BOX_METHODS = {
    "eigen_cam": mark(
        "Limit: one map for the whole film; it is the same for every box and cannot tell findings apart."
    ),
    "ablation_cam": mark(
        "Limit: channels are switched off one at a time, so evidence that two channels hold in common goes unseen; "
        "the box stays fixed."
    ),
    "grad_cam": mark("Limit: the last layer has one cell for 32 pixels, so a small box gets a few coarse cells."),
    "saliency": mark("Limit: noisy, and strong at edges of any kind; read where it is dense, not single pixels."),
}
"""Methods offered for boxes, and the limit of each in one sentence."""


def methods_for(kind: Kind) -> tuple[str, ...]:
    """Methods offered for a kind of answer, in the order of the menu."""
    return {"segmenter": SEGMENTER_METHODS, "detector": tuple(BOX_METHODS)}.get(kind, tuple(METHODS))


def _detector(model: Model) -> Detector:
    """The network itself, or the one that a task's network holds as `detector`."""
    network = getattr(model.network, "detector", model.network)
    if not isinstance(network, Detector):
        raise UsageError(f"explanation of a box by {type(model.network).__name__}; wanted: a detector")
    return network


def score_of(label: int) -> Callable[[Tensor], Tensor]:
    """From the log odds in a box to those of `label`."""
    return lambda row: row[label]


def through_box(model: Model, done: Run, method: str, box: Box) -> tuple[Model, Run]:
    """A detector and its run as seen through one box, for `explain` and `faithfulness.check_map` with `score_of(label)`.

    Ablation-CAM switches off channels of the pyramid map that the box is pooled from, which is all of the pyramid that the score
    depends on; the other methods look at the last layer of the backbone, or at the pixels.

    Raises:
        UsageError: A box without height or width; a network that is no detector.
        BusyError: No place in the queue became free in time.
    """
    view = (PyramidView if method == "ablation_cam" else BoxView)(_detector(model), box)
    with place_in_queue(), torch.no_grad():
        activations = view.of(done.activations)
    return replace(model, network=view.eval()), replace(done, activations=activations)


def explain_box(model: Model, done: Run, index: int, method: str, box: Box, label: int) -> RawMap:
    """One map for one box and label of one image of a run.

    EigenCAM depends on neither box nor label.

    Args:
        model: A frozen detector.
        done: Result of `runner.run`.
        index: Image of the batch.
        method: Key of explain.METHODS.
        box: x0, y0, x1, y1 in pixels of the network's input.
        label: From 1.

    Raises:
        UsageError: Unknown method or label; a box without height or width; a network that is no detector.
        ScreeningError: E_NONFINITE when the map is not finite; E_BUSY.
    """
    n_findings = _detector(model).n_findings
    if label not in range(1, n_findings + 1):
        raise UsageError(f"label {label}; this detector knows 1 to {n_findings}")
    seen, run = through_box(model, done, method, box)
    return explain(seen, run, index, method, score_of(label))


def choose_box(findings: Sequence[Finding], label: str | None, place: int | None) -> int | None:
    """Place of the box that is explained: the chosen one, else the first of the label, else the first positive one.

    Args:
        findings: One a box, the highest score first.
        label: Whose box is wanted; None = any that is positive.
        place: Chosen by a person.

    Raises:
        UsageError: There is no box at this place.
    """
    if place is not None:
        if not 0 <= place < len(findings):
            raise UsageError(f"box {place + 1}; this image has {len(findings)}")
        return place
    wanted = (finding.positive if label is None else finding.label == label for finding in findings)
    return next((index for index, is_wanted in enumerate(wanted) if is_wanted), None)


def explain_together(model: Model, done: Run, method: str, boxes: Sequence[Box], labels: Sequence[int]) -> RawMap:
    """The maps of several boxes of the first image of a run as one picture; see `renormalise_in_boxes`.

    Args:
        model, done, method: See `explain_box`.
        boxes: In pixels of the network's input; without any the map is empty.
        labels: One a box, from 1.
    """
    if not boxes:
        return RawMap(np.zeros(done.x.shape[-2:], np.float32), 0.0)
    maps = [explain_box(model, done, 0, method, box, label).values for box, label in zip(boxes, labels, strict=True)]
    picture = renormalise_in_boxes(maps, boxes)
    return RawMap(picture, float(picture.max()))


def renormalise_in_boxes(maps: Sequence[NDArray[np.float32]], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """One picture of several maps, each stretched to [0, 1] inside its own box and 0 outside; the larger where boxes overlap.

    For the eye only (grad-cam, renormalize_cam_in_bounding_boxes): weak evidence becomes as bright as strong. A map that is flat
    in its box stays 0.

    Args:
        maps: One a box, float32 (H, W) each.
        boxes: x0, y0, x1, y1 in pixels of the maps.
    """
    picture = np.zeros_like(maps[0])
    for values, (x0, y0, x1, y1) in zip(maps, boxes, strict=True):
        inside = np.s_[max(0, int(y0)) : int(np.ceil(y1)), max(0, int(x0)) : int(np.ceil(x1))]
        crop = values[inside]
        spread = np.ptp(crop)
        if spread > 0:
            picture[inside] = np.maximum(picture[inside], (crop - crop.min()) / spread)
    return picture
