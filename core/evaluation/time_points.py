"""What several photographs of one eye say together: area, number of places, and how far their masks agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.metrics.agreement_masks import mean_pairwise_dice, on_grid
from core.phantom import Phantom
from core.records import Gate, ScreeningResult

MAX_TIME_POINTS = 5


@dataclass(frozen=True)
class TimePoint:
    """What is kept of one screened photograph.

    Attributes:
        file_sha256: Of the photograph.
        gate: Its checks; the rest is empty where they refused it.
        shares: Area of each label, share of the field of view in [0, 1].
        n_places: Number of places of each label.
        masks: Mask of each label, see `on_grid`: over the field of view alone, nothing is registered.
    """

    file_sha256: str
    gate: Gate
    shares: Mapping[str, float]
    n_places: Mapping[str, int]
    masks: Mapping[str, NDArray[np.bool_]]


def time_point(result: ScreeningResult) -> TimePoint:
    """What is kept of the result of a segmenter."""
    if result.prediction is None:
        return TimePoint(result.study.file_sha256, result.gate, {}, {}, {})
    findings, (region,) = result.prediction.findings, result.regions
    return TimePoint(
        file_sha256=result.study.file_sha256,
        gate=result.gate,
        shares={own.label: result.prediction.measures[f"area_share_{own.label}"][0] for own in findings},
        n_places={own.label: len(own.lesions) for own in findings},
        masks={own.label: on_grid(own.mask, region.box_xyxy) for own in findings if own.mask is not None},
    )


def dice_between(points: Sequence[TimePoint], label: str) -> float | None:
    """Mean Dice over all pairs of photographs that have a mask of `label`; None with fewer than two."""
    return mean_pairwise_dice([point.masks[label] for point in points if label in point.masks])


def sample_time_points(task_id: str, sample_id: str) -> tuple[Phantom, ...]:
    """All time points of the eye that `make_sample` of a task's phantoms shows at one of them."""
    phantom = registry.part(task_id, "phantom")
    _, options, seed = phantom.SAMPLES[sample_id]
    asked = {name: value for name, value in options.items() if name != "time_point"}
    made: tuple[Phantom, ...] = phantom.make_time_points(np.random.default_rng([2026, seed]), **asked)
    return made
