"""The main road, top to bottom: gate, locate, prepare, run, decode, explain.

Pages, command line, batch and evaluation call `screen` and recompute nothing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import registry
from core.clinical.grades import mean_finding
from core.engine.explain import Target, explain
from core.engine.explain_boxes import choose_box, explain_box, explain_together, through_box
from core.engine.faithfulness import ExplanationCheck, check_map
from core.engine.loader import Model, ModelCache, auxiliary_folder
from core.engine.runner import Run, run
from core.errors import UsageError, WeightsError
from core.manifest import Manifest, OperatingPoint
from core.records import (
    Check,
    Explanation,
    Finding,
    Gate,
    Heatmap,
    Laterality,
    Measured,
    PatientResult,
    Prediction,
    Provenance,
    Region,
    Regions,
    ScreeningResult,
    Study,
)

_MODELS = ModelCache()
Images = NDArray[np.float32]


def build(manifest: Manifest) -> Any:
    """The network that a manifest declares, with random weights."""
    network = registry.part(manifest.task, "network")
    return network.Network(manifest.architecture.name, **manifest.architecture.options)


def build_auxiliary(manifest: Manifest, name: str) -> Any:
    """A second network that a manifest names, with random weights."""
    architecture = manifest.auxiliary[name].architecture
    return getattr(registry.part(manifest.task, "network"), name).Network(architecture.name, **architecture.options)


def load(task_id: str, model_id: str | None = None, root: Path = registry.WEIGHTS) -> Model:
    """An installed model of a task, the default one without `model_id`; loaded once and shared.

    Raises:
        WeightsError: None is installed, or its files were refused.
    """
    folders = [path for path in registry.model_folders(task_id, root) if model_id in (None, path.name)]
    if not folders:
        raise WeightsError(f"no model of {task_id} is installed")
    return _MODELS.get(folders[0], build)


def operating_point(manifest: Manifest, name: str | None) -> OperatingPoint:
    """The operating point called `name`, the default one without a name.

    Raises:
        UsageError: The manifest has none of this name.
    """
    if name is None:
        return manifest.default_point
    for point in manifest.operating_points:
        if point.id == name:
            return point
    known = ", ".join(point.id for point in manifest.operating_points)
    raise UsageError(f"operating point {name!r}; known: {known}")


def provenance(manifest: Manifest) -> Provenance:
    """What every result of a model carries."""
    return Provenance(
        task=manifest.task,
        model=manifest.model,
        version=manifest.version,
        weights_sha256=manifest.weights.sha256,
        data=manifest.data_kind,
        statement=manifest.statement,
    )


def _installed(check: Check) -> Check:
    """A suggestion only counts when its task exists here."""
    return check if check.suggested_task in registry.tasks() else replace(check, suggested_task=None)


def _auxiliary_runs(model: Model) -> dict[str, Callable[[Images], Images]]:
    """The second networks of a model, from input to output; one whose weights are not installed is left out."""
    runs: dict[str, Callable[[Images], Images]] = {}
    for name, declared in model.manifest.auxiliary.items():
        if (auxiliary_folder(model, name) / declared.weights.file).is_file():
            runs[name] = partial(_output, _MODELS.auxiliary(model, name, build_auxiliary))
    return runs


def _output(model: Model, batch: Images) -> Images:
    return run(model, batch).output


def measure(study: Study, regions: Regions, model: Model) -> Measured:
    """What the task measures beside its answer, as far as its second networks are installed."""
    of_task = getattr(registry.part(model.manifest.task, "locate"), "measure", None)
    return of_task(study, regions, _auxiliary_runs(model)) if of_task else Measured()


class _Clock:
    """Milliseconds by stage."""

    def __init__(self, read_ms: float) -> None:
        self.ms = dict.fromkeys(("read", "gate", "locate", "prepare", "network", "decode", "explain"), 0.0)
        self.ms["read"] = read_ms

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.ms[name] = round(1000 * (time.perf_counter() - started), 2)


def explained_score(manifest: Manifest, point: OperatingPoint, seen: NDArray[np.float32] | None = None) -> Target:
    """From one row of the output to the score that the operating point is compared with, before the sigmoid.

    Of a segmenter, whose output holds many, the mean of those that are called in `seen`, in the row itself without one.
    """
    explained, cut = registry.part(manifest.task, "network").explained, manifest.cut(point.label)
    if registry.task(manifest.task).kind == "segmenter":
        called_in = None if seen is None else torch.from_numpy(seen)
        return lambda row: explained(row, cut, point.cut_off, called_in)
    return lambda row: explained(row, cut)


def _maps(model: Model, done: Run, regions: Regions, method: str, target: Target) -> tuple[Heatmap, ...]:
    """One map a region, in the orientation of the frame."""
    heatmaps = []
    for index, region in enumerate(regions):
        raw = explain(model, done, index, method, target)
        values = raw.values[:, ::-1].copy() if region.mirrored else raw.values
        heatmaps.append(Heatmap(values, raw.raw_max, region))
    return tuple(heatmaps)


def explain_regions(model: Model, done: Run, regions: Regions, method: str, point: OperatingPoint) -> Explanation:
    """Why the score of `point` is what it is: one map a region, and one a region and branch where the network has branches."""
    target = explained_score(model.manifest, point)
    branches = {
        name: _maps(
            replace(model, network=view), replace(done, activations=view.of(done.activations)), regions, method, target
        )
        for name, view in model.network.views().items()
    }
    return Explanation(method, point.label, _maps(model, done, regions, method, target), branches)


def box_in_input(manifest: Manifest, finding: Finding, region: Region) -> tuple[float, float, float, float]:
    """The box of a finding in pixels of the network's input."""
    prepare = registry.part(manifest.task, "prepare")
    x0, y0, x1, y1 = prepare.to_network(np.array([finding.box_xyxy]), region.box_xyxy)[0].tolist()
    return x0, y0, x1, y1


def explain_finding(
    model: Model, done: Run, regions: Regions, findings: Sequence[Finding], method: str, place: int
) -> Explanation:
    """Why the box at `place` has its score: one map of the whole image."""
    finding, (region,) = findings[place], regions
    label = model.manifest.labels.index(finding.label) + 1
    raw = explain_box(model, done, 0, method, box_in_input(model.manifest, finding, region), label)
    return Explanation(method, finding.label, (Heatmap(raw.values, raw.raw_max, region),), finding=place)


def explain_all_boxes(result: ScreeningResult, model: Model, method: str) -> Heatmap:
    """One map for the eye: that of every positive box, stretched to the whole range inside the box and nothing outside."""
    assert result.prediction is not None, "a refused study has no boxes"
    manifest, (region,) = model.manifest, result.regions
    done = run(model, registry.part(manifest.task, "prepare").prepare(result.study, result.regions, manifest))
    positive = [finding for finding in result.prediction.findings if finding.positive]
    boxes = [box_in_input(manifest, finding, region) for finding in positive]
    labels = [manifest.labels.index(finding.label) + 1 for finding in positive]
    raw = explain_together(model, done, method, boxes, labels)
    return Heatmap(raw.values, raw.raw_max, region)


def screen(
    study: Study,
    model: Model,
    *,
    regions: Regions | None = None,
    laterality: Laterality | None = None,
    confirmed: bool = False,
    method: str | None = None,
    point: str | None = None,
    box: int | None = None,
    read_ms: float = 0.0,
    is_explained: bool = True,
) -> ScreeningResult:
    """Screen one study.

    Args:
        study: From the reader.
        model: From `load`; names the task.
        regions: Drawn by a person; proposed when None.
        laterality: Side chosen by a person where the header does not tell.
        confirmed: A person saw the reasons of the gate and wants the score all the same; recorded.
        method: Explanation method; the manifest's default when None.
        point: Id of the operating point; the default one when None.
        box: Place among the findings of the one that is explained, where places are found; None = the highest score of the
            label of `point`, without one that of all positive findings.
        read_ms: Time the reader took, for the timings.
        is_explained: Whether an explanation is wanted; the score is the same without.

    Returns:
        A result without prediction when the gate refuses; without explanation where no box is explained, or none is wanted.

    Raises:
        ScreeningError: No region, a number that is not finite, or a busy server.
    """
    manifest = model.manifest
    chosen = operating_point(manifest, point)
    clock = _Clock(read_ms)
    with clock.stage("gate"):
        checks = registry.part(manifest.task, "gate").check(study, manifest, laterality)
        gate = Gate(tuple(_installed(check) for check in checks), confirmed)
    if gate.outcome == "refused":
        return ScreeningResult(study, gate, (), None, None, provenance(manifest), None, None, clock.ms)
    with clock.stage("locate"):
        placed: tuple[Region, ...] = regions or registry.part(manifest.task, "locate").locate(study, laterality)
        measured = measure(study, placed, model)
    with clock.stage("prepare"):
        batch = registry.part(manifest.task, "prepare").prepare(study, placed, manifest)
    with clock.stage("network"):
        done = run(model, batch)
    with clock.stage("decode"):
        prediction = registry.part(manifest.task, "decode").decode(done.output, study, placed, manifest, chosen)
        prediction = _with_measures(prediction, done, measured)
    explanation = None
    if is_explained:
        with clock.stage("explain"):
            chosen, explanation = _explained(model, done, placed, prediction, method, chosen, point, box)
    return ScreeningResult(
        study, gate, placed, prediction, explanation, provenance(manifest), chosen.id, chosen.threshold, clock.ms
    )


def _with_measures(prediction: Prediction, done: Run, measured: Measured) -> Prediction:
    """The prediction with what `locate` and the network measured."""
    facts = {name: tuple(map(float, values)) for name, values in done.facts.items()}
    return replace(
        prediction, measures={**prediction.measures, **facts, **measured.measures}, lines=dict(measured.lines)
    )


def _explained(
    model: Model,
    done: Run,
    regions: Regions,
    prediction: Prediction,
    method: str | None,
    chosen: OperatingPoint,
    point: str | None,
    box: int | None,
) -> tuple[OperatingPoint, Explanation | None]:
    """The operating point of what is explained, and its explanation: of every region, or of one box where boxes are found."""
    manifest = model.manifest
    method = method or manifest.explanation.default_method
    if registry.task(manifest.task).kind != "detector":
        return chosen, explain_regions(model, done, regions, method, chosen)
    place = choose_box(prediction.findings, chosen.label if point else None, box)
    if place is None:
        return chosen, None
    explanation = explain_finding(model, done, regions, prediction.findings, method, place)
    return _point_of(manifest, explanation.target, chosen), explanation


def _point_of(manifest: Manifest, label: str, chosen: OperatingPoint) -> OperatingPoint:
    """The operating point that the boxes of a label were judged at."""
    if chosen.label == label:
        return chosen
    return next(own for own in manifest.operating_points if own.label == label)


def screen_slices(
    studies: Sequence[Study],
    model: Model,
    *,
    confirmed: bool = False,
    method: str | None = None,
    point: str | None = None,
) -> PatientResult:
    """Screen several slices of one patient; the patient's class probabilities are the mean of the slices'.

    Args:
        studies: Chosen slices; one that the gate refuses is left out of the mean.
        model: From `load`; its labels are grades.
        confirmed, method, point: See `screen`.

    Raises:
        ScreeningError: See `screen`.
    """
    results = tuple(screen(study, model, confirmed=confirmed, method=method, point=point) for study in studies)
    findings = [finding for result in results if result.prediction for finding in result.prediction.findings]
    chosen = operating_point(model.manifest, point)
    return PatientResult(results, mean_finding(findings, model.manifest, chosen) if findings else None, len(findings))


def check_explanation(result: ScreeningResult, model: Model, index: int = 0) -> ExplanationCheck:
    """Test the map of one region of a result: deletion and insertion against chance, and weight randomisation.

    Args:
        result: Has an explanation.
        model: The model that made it.
        index: Region.
    """
    assert result.explanation is not None, "a result without an explanation has nothing to check"
    manifest, explanation = model.manifest, result.explanation
    done = run(model, registry.part(manifest.task, "prepare").prepare(result.study, result.regions, manifest))
    seen = done.output[index]
    if explanation.finding is not None:
        assert result.prediction is not None
        finding = result.prediction.findings[explanation.finding]
        model, done = through_box(
            model, done, explanation.method, box_in_input(manifest, finding, result.regions[index])
        )
    target = explained_score(manifest, operating_point(manifest, result.operating_point), seen)
    return check_map(model, done, index, explanation.method, target)
