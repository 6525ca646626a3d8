"""A result in sentences and rows for paper, in the reader's language."""

import math
from collections.abc import Iterator

from core import registry
from core.clinical.heart import MAX_RATIO, is_enlarged, is_judged
from core.figures.style import LABEL_COLOURS, number, score_words
from core.i18n import Translator
from core.manifest import NEVER, Estimate, Manifest, OperatingPoint
from core.records import Check, Finding, ScreeningResult
from core.reports.paper import Text, question_words

_MOST_BOXES = 8
_MOST_CHECK_LINES = 22
_BOX_EDGES = (0.0, 0.36, 2.36, 2.84, 3.36)  # of the columns of boxes, inches
_POINT_EDGES = (0.0, 2.3, 3.95, 5.35, 6.75)  # of the columns of operating points
_SQUARE = "\u25a0 "  # in the colour of a mask


def write_answer(text: Text, result: ScreeningResult) -> None:
    """What was found; why nothing is said where the checks leave no score."""
    t, kind = text.t, registry.task(result.provenance.task).kind
    text.head(t("Result"))
    if result.prediction is None:
        text.say(t("Not examined: the checks refused this image, so there is no score."), 3)
    elif not result.gate.shows_score:
        text.say(t("Score and overlay are withheld: the checks raised questions that nobody has confirmed."), 3)
    elif kind == "detector":
        _write_boxes(text, result)
    elif kind == "segmenter":
        _write_masks(text, result)
    else:
        for index, finding in enumerate(result.prediction.findings):
            _write_region(text, result, finding, index)
    if result.prediction and result.gate.shows_score:
        text.say(t("A score is no diagnosis and no calibrated probability."), 2)


def _write_region(text: Text, result: ScreeningResult, finding: Finding, index: int) -> None:
    t, task = text.t, registry.task(result.provenance.task)
    words = {
        True: t("Above the operating point"),
        False: t("Below the operating point"),
        None: t("No operating point"),
    }[finding.positive]
    if finding.grade is not None:
        words = t(task.labels[finding.grade].name)
    side = {"L": t("Left"), "R": t("Right")}.get(finding.laterality or "", "")
    text.say(f"{side}: {words}" if side else words, scale=1.2)
    score = score_words(finding.probability)
    values = {"grade": question_words(task.id, finding.label, t), "score": score}
    if finding.grade is None:
        text.say(t("Score {score}.", score=score))
    elif finding.positive is None:
        text.say(t("Score for {grade}: {score}.", **values))
    elif finding.positive:
        text.say(t("Score for {grade}: {score}, at or above the operating point.", **values))
    else:
        text.say(t("Score for {grade}: {score}, below the operating point.", **values))
    if finding.probabilities is not None:
        names = {label.id: t(label.name) for label in task.labels}
        shares = [f"{names[label]} {number(share)}" for label, share in finding.probabilities.items()]
        text.say(" \u00b7 ".join(shares))
    for line in _measures(result, index, t):
        text.say(line)


def _measures(result: ScreeningResult, index: int, t: Translator) -> Iterator[str]:
    """What was measured beside the answer, as on the task's page."""
    assert result.prediction is not None
    measures = result.prediction.measures
    if "uptake_ratio" in measures and math.isfinite(measures["uptake_ratio"][index]):
        ratio = number(measures["uptake_ratio"][index], 1)
        yield t("Uptake: **{ratio} times** that of the shafts beside the knee.", ratio=ratio).replace("**", "")
    if "roi_hu" in measures and math.isfinite(measures["roi_hu"][index]):
        yield t("Measured in the middle of the region: {hu} HU.", hu=round(measures["roi_hu"][index]))
    branches = result.prediction.branches.values()
    if len({max(rows[index], key=rows[index].__getitem__) for rows in branches}) > 1:
        yield t("The two networks disagree.")


def _write_boxes(text: Text, result: ScreeningResult) -> None:
    assert result.prediction is not None
    t, findings = text.t, result.prediction.findings
    called = sum(bool(finding.positive) for finding in findings)
    text.say(t("Boxes called: {n}", n=called) if called else t("No box: called normal"), scale=1.2)
    if findings:
        heads = (t("No."), t("Finding"), t("Score"), t("Called"), t("Box, pixels"))
        text.row(list(zip(_BOX_EDGES, heads, strict=True)), scale=0.85)
    # Called boxes first; both kinds keep their numbers, which stand on the image too.
    shown = sorted(enumerate(findings, start=1), key=lambda own: not own[1].positive)
    for place, finding in shown[:_MOST_BOXES]:
        name = question_words(result.provenance.task, finding.label, t)
        corners = " ".join(str(round(value)) for value in finding.box_xyxy or ())
        called_words = t("yes") if finding.positive else t("no")
        cells = (str(place), name, score_words(finding.probability), called_words, corners)
        text.row(list(zip(_BOX_EDGES, cells, strict=True)), scale=0.92)
    if len(shown) > _MOST_BOXES:
        text.say(t("Boxes not listed here: {n}.", n=len(shown) - _MOST_BOXES))
    for line in _heart(result, t):
        text.say(line, 2)


def _heart(result: ScreeningResult, t: Translator) -> Iterator[str]:
    """The cardiothoracic ratio, as on the task's page."""
    assert result.prediction is not None
    ratio = result.prediction.measures.get("cardiothoracic_ratio", (math.nan,))[0]
    view = result.study.tags.get("ViewPosition", "")
    values = {"ratio": number(ratio), "limit": number(MAX_RATIO)}
    if not math.isfinite(ratio):
        return
    if not is_judged(view):
        words = t("Cardiothoracic ratio **{ratio}**: AP film, the heart is magnified, so it is not judged.", **values)
    elif is_enlarged(ratio, view):
        words = t("Cardiothoracic ratio **{ratio}**: above {limit}, the heart is enlarged on a PA film.", **values)
    else:
        words = t("Cardiothoracic ratio **{ratio}**: not above {limit}.", **values)
    yield words.replace("**", "")


def _write_masks(text: Text, result: ScreeningResult) -> None:
    assert result.prediction is not None
    t = text.t
    for finding in result.prediction.findings:
        name = question_words(result.provenance.task, finding.label, t)
        found = t("Above the operating point") if finding.positive else t("Below the operating point")
        text.say(f"{_SQUARE}{name}: {found}", scale=1.2, colour=LABEL_COLOURS[finding.label])
        share = result.prediction.measures[f"area_share_{finding.label}"][0]
        text.say(
            t(
                "Places: {n}. Area: {area} pixels, {share} % of the field of view. Highest score of a pixel: {score}.",
                n=len(finding.lesions),
                area=f"{sum(lesion.area_px for lesion in finding.lesions):,.0f}",
                share=number(100 * share),
                score=score_words(finding.probability),
            )
        )


def write_points(text: Text, manifest: Manifest, result: ScreeningResult) -> None:
    """The operating points behind the answer, with their 95 % intervals and the data they were measured on."""
    t, kind = text.t, registry.task(manifest.task).kind
    points = _used_points(manifest, result)
    if not points:
        return
    of_what = {"segmenter": t("single pixels"), "detector": t("whole films")}.get(kind, "")
    text.head(" \u00b7 ".join(filter(None, (t("Operating point, with 95 % intervals"), of_what))))
    heads = (t("Finding"), t("Threshold"), t("Sensitivity"), t("Specificity"), "n")
    text.row(list(zip(_POINT_EDGES, heads, strict=True)), scale=0.85)
    for point in points:
        threshold = number(point.cut_off)
        if point.threshold_low is not None and point.threshold_high is not None:
            threshold += f" ({number(point.threshold_low)}\u2013{number(point.threshold_high)})"
        digits = 3 if kind == "segmenter" else 2  # nearly every pixel is healthy
        estimates = (_estimate(point.sensitivity, digits), _estimate(point.specificity, digits))
        name = question_words(manifest.task, point.label, t)
        text.row(list(zip(_POINT_EDGES, (name, threshold, *estimates, str(point.n)), strict=True)))
    text.say(t("Measured on: {data}", data="; ".join(dict.fromkeys(t(point.data) for point in points))), 2)
    never = [
        question_words(manifest.task, point.label, t)
        for point in manifest.operating_points
        if point.threshold is not None and point.threshold >= NEVER
    ]
    if never:
        text.say(
            t("Never called, no better than chance on the validation films: {findings}.", findings=", ".join(never)), 2
        )


def _used_points(manifest: Manifest, result: ScreeningResult) -> list[OperatingPoint]:
    """Of one threshold for all the one; of a threshold each those that can be reached. None without a threshold."""
    if result.prediction is None or not result.gate.shows_score:
        return []
    if registry.task(manifest.task).kind in ("segmenter", "detector"):
        first = {point.label: point for point in reversed(manifest.operating_points)}
        return [first[label] for label in manifest.labels if label in first and first[label].cut_off < NEVER]
    return [
        point
        for point in manifest.operating_points
        if point.id == result.operating_point and point.threshold is not None
    ]


def _estimate(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return "\u2013"
    value, low, high = (number(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}\u2013{high})"


def _check(check: Check, t: Translator, *, has_patient: bool) -> str:
    """What a check found; the age itself only where the patient may be described."""
    if "age" not in check.values or has_patient:
        return t(check.message, **check.values)
    if check.outcome == "passed":
        return t("Age within {low} to {high} years", **check.values)
    return t("Age outside the model's range of {low} to {high} years", **check.values)


def write_checks(text: Text, result: ScreeningResult, *, has_patient: bool) -> None:
    """Outcome of the gate, and every check with its own, those with a question first."""
    t, gate = text.t, result.gate
    text.head(t("Checks before the score"))
    outcome = {
        "accepted": t("All passed."),
        "needs_confirmation": t("Questions, not confirmed: no score is shown."),
        "refused": t("The image was refused."),
    }[gate.outcome]
    if gate.outcome == "needs_confirmation" and gate.confirmed:
        outcome = t("Questions, confirmed by the reader.")
    text.say(outcome, 2)
    words = {"passed": "\u2713", "confirm": "?", "refused": "\u00d7"}
    order = tuple(reversed(words))
    for place, check in enumerate(sorted(gate.checks, key=lambda check: order.index(check.outcome))):
        lines_before = len(text.cells)
        if lines_before >= _MOST_CHECK_LINES:
            text.say(t("Further checks: {n}.", n=len(gate.checks) - place), x=0.2)
            return
        text.say(_check(check, t, has_patient=has_patient), 2, x=0.2)
        top, parts = text.cells[lines_before]
        text.cells[lines_before] = (top, [(0.0, words[check.outcome], 0.2, 1.0, parts[0][4]), *parts])
    for note in result.study.notes[:2]:
        text.say(t(note), 2, x=0.2)
