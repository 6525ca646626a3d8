"""How far to trust each explanation method of a model, measured on phantoms: there it is known what a map should mark.

Only what the network called rightly is explained: a map of a wrong answer has no place that it should mark. The truth of a map
is the one part of the picture that the finding changes (`truth_mask` of the task). Beside the methods stand controls that know
nothing of the network, as the middle does in Zhang et al. 2016: where one does as well, the figure says nothing for the method.

Energy inside the truth (Wang et al. 2020) and the pointing game (Zhang et al. 2016) ask whether the map marks the right place;
deletion and insertion (Petsiuk et al. 2018) and random weights (Adebayo et al. 2018) whether it shows what the network used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from core import registry
from core.engine.explain import Target, explain
from core.engine.explain_boxes import methods_for, through_box
from core.engine.faithfulness import chance, deletion, insertion, order_of, random_weights_correlation
from core.engine.loader import Model
from core.engine.networks.detector import Box
from core.engine.runner import Run, run
from core.errors import UsageError
from core.imaging.resample import crop_resize
from core.io.explanations import Explanations, MethodRow
from core.manifest import DEMO_STATEMENT, Estimate, OperatingPoint
from core.metrics.bootstrap import bootstrap_by_copies
from core.metrics.boxes import box_iou
from core.metrics.localisation import energy_inside, points_inside
from core.metrics.proportions import Interval, clustered_wilson_interval
from core.phantom import Phantom
from core.records import Region, ScreeningResult
from core.screening import box_in_input, explained_score, screen

STREAM = 3  # of phantoms: training, test and shifted ones have others
MATCHED_IOU = 0.5  # of a box with a true one, below which it is no right answer
MOST_DRAWN = 25  # phantoms for one that is called rightly; beyond, the network does not know the finding
_COARSE = 7  # cells a side of the random map, as many as the last layer of a classifier has
_MIDDLE_SD = 0.2  # of the side, of the control that marks the middle
_N_RESAMPLES = 2000

Values = NDArray[np.float32]
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """One right answer of a network and where its evidence truly lies.

    Attributes:
        phantom: Number of the phantom.
        model, done, index: The network, its run and the image of it.
        target: From one row of the output to the score.
        truth: Boolean (H, W), as the network sees the picture.
        box: Of a detector, in pixels of the network's input.
    """

    phantom: int
    model: Model
    done: Run
    index: int
    target: Target
    truth: NDArray[np.bool_]
    box: Box | None = None

    def seen_by(self, method: str) -> tuple[Model, Run]:
        """The network and run that a method looks at: a detector is seen through the box."""
        return through_box(self.model, self.done, method, self.box) if self.box else (self.model, self.done)


@dataclass(frozen=True)
class Outcome:
    """What one map reached; NaN where it was not measured.

    Attributes:
        phantom: Number of the phantom.
        area: Share of the area that holds the truth.
        energy: Share of the energy in it; NaN for a map without positive evidence.
        points: 1 where the maximum lies on it, else 0.
        deletion, insertion: Gain over random order.
        random_weights: Rank correlation.
    """

    phantom: int
    area: float
    energy: float
    points: float
    deletion: float = np.nan
    insertion: float = np.nan
    random_weights: float = np.nan


def measure_explanations(model: Model, n_phantoms: int, n_blanked: int, seed: int, command: str) -> Explanations:
    """The table of one model: a row a method that its task offers, then the controls.

    Args:
        model: From `screening.load`.
        n_phantoms: With something to explain; at least 2.
        n_blanked: The first so many of them are also blanked, shown again and explained with random weights.
        seed: Of phantoms, random orders, random maps and random weights.
        command: Kept in the table.

    Raises:
        UsageError: The network calls nothing rightly on phantoms.
    """
    manifest = model.manifest
    methods = methods_for(registry.task(manifest.task).kind)
    outcomes: dict[str, list[Outcome]] = {}
    for place, phantom in enumerate(_phantoms(model, n_phantoms, seed)):
        for case in phantom:
            for name, outcome in outcomes_of(case, methods, is_blanked=place < n_blanked, seed=seed).items():
                outcomes.setdefault(name, []).append(outcome)
    return Explanations(
        format="fivefold-explanations-1",
        task=manifest.task,
        model=manifest.model,
        weights_sha256=manifest.weights.sha256,
        statement=DEMO_STATEMENT,
        command=command,
        seed=seed,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        n_phantoms=n_phantoms,
        rows=tuple(
            row for name, found in outcomes.items() if (row := summarise(name, found, has_weights=name in methods))
        ),
    )


def _phantoms(model: Model, n: int, seed: int) -> Iterator[list[Explained]]:
    """What there is to explain on each of the first `n` phantoms that have something."""
    make = registry.part(model.manifest.task, "phantom").make_phantom
    found = 0
    for number in count():
        if found == n:
            return
        if number == MOST_DRAWN * n:
            raise UsageError(f"{number} phantoms, of which {found} were called rightly; wanted: {n}")
        cases = list(right_answers(model, make(np.random.default_rng([seed, STREAM, number])), number))
        if cases:
            found += 1
            yield cases


def right_answers(model: Model, phantom: Phantom, number: int = 0) -> Iterator[Explained]:
    """What a network called rightly on a phantom.

    Of a classifier or grader every region at the default operating point; of a segmenter every label at its first one; of a
    detector the highest box of every label that overlaps a true one by MATCHED_IOU.

    Args:
        model: The network.
        phantom: With its truth.
        number: Of the phantom, kept.
    """
    manifest = model.manifest
    result = screen(phantom.study(), model, confirmed=True, is_explained=False)
    if result.prediction is None:
        return
    done = run(model, registry.part(manifest.task, "prepare").prepare(result.study, result.regions, manifest))
    truth_mask = registry.part(manifest.task, "data").truth_mask
    for point, index, box in _called(model, result):
        truth = _in_input(truth_mask(phantom, point.label), result.regions[index], done.x.shape[-2:])
        if truth.any() and (box is None or _overlaps(box, truth)):
            target = explained_score(manifest, point, done.output[index])
            yield Explained(number, model, done, index, target, truth, box)


def _called(model: Model, result: ScreeningResult) -> Iterator[tuple[OperatingPoint, int, Box | None]]:
    """Operating point, region and box of everything that is called."""
    assert result.prediction is not None
    manifest, findings = model.manifest, result.prediction.findings
    points = {point.label: point for point in reversed(manifest.operating_points)}  # the first of each label
    kind = registry.task(manifest.task).kind
    if kind in ("classifier", "grader"):
        yield from ((manifest.default_point, index, None) for index, own in enumerate(findings) if own.positive)
    for label, point in points.items() if kind in ("segmenter", "detector") else ():
        first = next((own for own in findings if own.label == label and own.positive), None)
        if first is not None:
            yield point, 0, box_in_input(manifest, first, result.regions[0]) if kind == "detector" else None


def _in_input(mask: NDArray[np.bool_], region: Region, shape: Sequence[int]) -> NDArray[np.bool_]:
    """A mask of the frame as the network sees it: boolean of `shape`."""
    inside = crop_resize(np.pad(mask, 1).astype(np.float32), _moved(region.box_xyxy), (shape[0], shape[1])) >= 0.5
    return inside[:, ::-1].copy() if region.mirrored else inside


def _moved(box: Box) -> Box:
    """A box in a frame that has got one more pixel around it, so that nothing of the mask continues beyond the frame."""
    x0, y0, x1, y1 = (edge + 1 for edge in box)
    return x0, y0, x1, y1


def _overlaps(box: Box, truth: NDArray[np.bool_]) -> bool:
    """Whether a box fits the box around the truth."""
    rows, columns = np.nonzero(truth)
    around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return bool(box_iou(np.array([box]), np.array([around], np.float64))[0, 0] >= MATCHED_IOU)


def outcomes_of(case: Explained, methods: Sequence[str], *, is_blanked: bool, seed: int) -> dict[str, Outcome]:
    """Every method and control on one right answer.

    Args:
        case: What is explained.
        methods: Keys of engine.explain.METHODS.
        is_blanked: Whether pictures and networks are changed too.
        seed: Of random orders, maps and weights.
    """
    x = case.done.x[case.index : case.index + 1]
    own_seed = [seed, case.phantom, case.index]
    by_chance: Curve | None = None
    if is_blanked:
        seen, _ = case.seen_by(methods[0])
        by_chance = chance(seen, x, case.target, own_seed).mean(axis=0)
    found = {}
    for method in methods:
        model, done = case.seen_by(method)
        values = explain(model, done, case.index, method, case.target).values
        outcome = _outcome(case, model, values, by_chance)
        if is_blanked and not np.isnan(outcome.energy):
            same = random_weights_correlation(model, done, case.index, method, case.target, values, seed)
            outcome = Outcome(**vars(outcome) | {"random_weights": same})
        found[method] = outcome
    model, _ = case.seen_by(methods[0])
    for name, values in controls(case, np.random.default_rng(own_seed)).items():
        found[name] = _outcome(case, model, values, by_chance)
    return found


def controls(case: Explained, rng: np.random.Generator) -> dict[str, Values]:
    """Maps that know nothing of the network, by the names of io.explanations.CONTROLS: random, the middle, the box found."""
    rows, columns = case.truth.shape
    cells = torch.from_numpy(rng.random((1, 1, _COARSE, _COARSE), np.float32))
    smooth = functional.interpolate(cells, (rows, columns), mode="bilinear", align_corners=False)[0, 0].numpy()
    y, x = np.ogrid[:rows, :columns]
    away = np.square((y - (rows - 1) / 2) / rows) + np.square((x - (columns - 1) / 2) / columns)
    found = {"random": smooth, "centre": np.exp(-0.5 * away / _MIDDLE_SD**2).astype(np.float32)}
    if case.box:
        x0, y0, x1, y1 = case.box
        found["box"] = ((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).astype(np.float32)
    return found


def _outcome(case: Explained, model: Model, values: Values, by_chance: Curve | None) -> Outcome:
    """The measures of one map; a map without positive evidence has none."""
    area = float(case.truth.mean())
    if not values.max() > 0:
        return Outcome(case.phantom, area, np.nan, np.nan)
    energy, points = energy_inside(values, case.truth), float(points_inside(values, case.truth))
    if by_chance is None:
        return Outcome(case.phantom, area, energy, points)
    x, order = case.done.x[case.index : case.index + 1], order_of(values)
    deleted, inserted = (curve(model, x, order, case.target) for curve in (deletion, insertion))
    gain = float((by_chance - deleted).mean())
    return Outcome(case.phantom, area, energy, points, gain, float((inserted - by_chance[::-1]).mean()))


def summarise(method: str, outcomes: Sequence[Outcome], *, has_weights: bool) -> MethodRow | None:
    """The row of one method or control; None where fewer than two phantoms have a map.

    Args:
        method: Its key.
        outcomes: One a map.
        has_weights: Whether random weights can change it.
    """
    seen = [own for own in outcomes if not np.isnan(own.energy)]
    if len({own.phantom for own in seen}) < 2:
        return None
    blanked = [own for own in seen if not np.isnan(own.deletion)]
    phantoms = [own.phantom for own in seen]
    return MethodRow(
        method=method,
        n=len(seen),
        n_empty=len(outcomes) - len(seen),
        area=round(float(np.mean([own.area for own in seen])), 5),
        energy=_mean([own.energy for own in seen], phantoms),
        pointing=_rounded(clustered_wilson_interval([own.points == 1 for own in seen], phantoms)),
        n_blanked=len(blanked),
        deletion=_gain(blanked, "deletion"),
        insertion=_gain(blanked, "insertion"),
        random_weights=round(float(np.median([own.random_weights for own in blanked])), 4)
        if has_weights and blanked
        else None,
    )


def _gain(blanked: Sequence[Outcome], name: str) -> Estimate | None:
    phantoms = [own.phantom for own in blanked]
    return _mean([getattr(own, name) for own in blanked], phantoms) if len(set(phantoms)) > 1 else None


def _mean(values: Sequence[float], phantoms: Sequence[int]) -> Estimate:
    """Mean with its interval, phantoms resampled."""
    measured = np.asarray(values)
    found = bootstrap_by_copies(
        lambda copies: copies @ measured / copies.sum(axis=1), phantoms, n_resamples=_N_RESAMPLES
    )
    return _rounded(found.interval)


def _rounded(interval: Interval) -> Estimate:
    return Estimate(value=round(interval.value, 4), low=round(interval.low, 4), high=round(interval.high, 4))
