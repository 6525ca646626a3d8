"""Figures of segmenters show the computed numbers, in both themes and all languages."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import pytest
from numpy.typing import NDArray
from tiny_masks import PUBLISHED, N, evidence, masks_manifest

from core.evaluation.masks import mask_reports
from core.figures.labels import DrawnLabel
from core.figures.lesions import froc_alt, froc_figure
from core.figures.segmentation import (
    image_auroc_alt,
    image_auroc_figure,
    pixel_precision_recall_alt,
    pixel_precision_recall_figure,
    pixel_roc_alt,
    pixel_roc_figure,
)
from core.figures.style import BOX_COLOURS, DARK, LABEL_COLOURS, LIGHT, number, with_interval
from core.i18n import LANGUAGES, Translator
from core.imaging.boxes import ink
from core.io.pixel_evidence import MIN_AREA_PX
from core.metrics.lesions import FrocCurve

NAMES = {"haemorrhage": "Haemorrhage", "exudate": "Hard exudate"}
PAPER, NIGHT = "#FFFFFF", "#0E1621"  # the pages' backgrounds
RETINA = ((139, 59, 22), (175, 86, 28), (210, 121, 55), (208, 142, 108), (119, 37, 0))  # of IDRiD photographs


@cache
def drawn(n: int) -> list[DrawnLabel]:
    """Of the first n pictures."""
    reports = mask_reports(masks_manifest(), evidence().of(np.arange(N) < n), PUBLISHED)
    return [
        DrawnLabel(own.label, NAMES[own.label], own.pixels, own.at_point.at_threshold, own.rule, own.lesions)
        for own in reports.labels
    ]


BOTH = drawn(N)


@dataclass(frozen=True)
class _Drawing:
    figure: Callable[[Sequence[DrawnLabel], Translator, bool], go.Figure]
    alt: Callable[[Sequence[DrawnLabel], Translator], str]


DRAWINGS = {
    "roc": _Drawing(pixel_roc_figure, pixel_roc_alt),
    "precision_recall": _Drawing(pixel_precision_recall_figure, pixel_precision_recall_alt),
    "images": _Drawing(image_auroc_figure, image_auroc_alt),
    "froc": _Drawing(
        lambda labels, t, dark: froc_figure(labels, MIN_AREA_PX, t, dark),
        lambda labels, t: froc_alt(labels, MIN_AREA_PX, t),
    ),
}


@pytest.fixture
def t() -> Translator:
    return Translator("en")


def traces(figure: go.Figure, name: str) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name and trace.name.startswith(name)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_has_template_titles_and_words(name: str, language: str, dark: bool) -> None:
    words = Translator(language)
    figure = DRAWINGS[name].figure(BOTH, words, dark)
    json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert figure.layout.template.layout.font.color == (DARK if dark else LIGHT).text
    title = figure.layout.title.text.split("<br>")
    assert title[0].startswith("<b>")
    assert f"n = {N}" in title
    assert max(len(line) for line in title) <= 54  # some 460 pixels
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text
    alt = DRAWINGS[name].alt(BOTH, words)
    assert len(alt) > 30
    assert not set("{}<>") & set(alt)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_label_has_one_colour_everywhere(name: str, t: Translator) -> None:
    figure = DRAWINGS[name].figure(BOTH, t, False)
    for label in BOTH:
        own = traces(figure, label.name)
        assert len(own) >= 2
        colours = {trace.line.color if trace.mode == "lines" else trace.marker.color for trace in own}
        assert colours == {LABEL_COLOURS[label.id]}


def test_curves_of_network_and_rule(t: Translator) -> None:
    roc, recall = pixel_roc_figure(BOTH, t, False), pixel_precision_recall_figure(BOTH, t, False)
    for label in BOTH:
        assert label.pixels.auroc is not None
        assert label.pixels.average_precision is not None
        assert label.pixels.curve is not None
        (network,) = traces(roc, f"{label.name}: AUROC {with_interval(label.pixels.auroc, t, 3)}")
        (rule,) = traces(roc, f"{label.name}, trivial rule: {number(label.rule.auroc.value, 3)}")
        assert (network.line.dash, rule.line.dash) == ("solid", "dash")
        assert np.trapezoid(network.y, network.x) == pytest.approx(label.pixels.auroc.value, abs=1e-6)
        assert np.trapezoid(rule.y, rule.x) == pytest.approx(label.rule.curve.auroc, abs=1e-6)
        (network,) = traces(recall, f"{label.name}: AP {with_interval(label.pixels.average_precision, t, 3)}")
        steps = np.sum(np.diff(network.x) * network.y[1:])
        assert steps == pytest.approx(label.pixels.average_precision.value, abs=1e-6)
        (chance,) = traces(recall, f"{label.name}: prevalence")
        assert list(chance.y) == [label.pixels.curve.prevalence] * 2


def test_operating_points_lie_where_they_were_measured(t: Translator) -> None:
    roc, recall = pixel_roc_figure(BOTH, t, False), pixel_precision_recall_figure(BOTH, t, False)
    for label in BOTH:
        at = label.at_point
        (on_roc,), (on_recall,) = (traces(f, f"{label.name}: Operating point") for f in (roc, recall))
        assert on_roc.y == on_recall.x == (at.sensitivity.value,)
        assert on_roc.x[0] == pytest.approx(at.n_false_positive / (at.n_false_positive + at.n_true_negative))
        assert on_recall.y[0] == pytest.approx(at.n_true_positive / (at.n_true_positive + at.n_false_positive))


def test_images_are_sorted_and_those_without_the_lesion_are_named(t: Translator) -> None:
    figure, alt = image_auroc_figure(BOTH, t, False), image_auroc_alt(BOTH, t)
    for label, holding in zip(BOTH, (8, 5), strict=True):
        (points,) = traces(figure, f"{label.name}: images {holding}")
        assert list(points.y) == sorted(value for value in label.pixels.image_auroc.values if value is not None)
        assert list(points.x) == list(range(1, holding + 1))
        (mean,) = traces(figure, f"{label.name}: mean")
        assert mean.y[0] == pytest.approx(np.mean(points.y))
        sentence = f"{label.name}: {N - holding} images without it have no AUROC"
        assert sentence in figure.layout.title.text
        assert sentence in alt


def test_froc_readings_lie_on_the_steps(t: Translator) -> None:
    figure = froc_figure(BOTH, MIN_AREA_PX, t, False)
    assert f"{MIN_AREA_PX} pixels" in figure.layout.title.text
    for label in BOTH:
        assert label.lesions.froc is not None
        curve, readings = traces(figure, label.name)
        assert curve.line.shape == "hv"
        assert list(readings.x) == [0.25, 0.5, 1, 2]
        for point, x, y in zip(label.lesions.froc.points, readings.x, readings.y, strict=True):
            assert point.sensitivity is not None
            assert y == point.sensitivity.value == curve.y[np.flatnonzero(curve.x <= x)[-1]]
            low, high = y - readings.error_y.arrayminus[0], y + readings.error_y.array[0]
            assert low <= y <= high


def test_froc_ends_where_pieces_merge_and_keeps_a_curve_without_false_positives(t: Translator) -> None:
    label = BOTH[0]
    assert label.lesions.froc is not None
    thresholds = np.array([np.inf, 0.9, 0.5, 0.1])

    def shown(fp: list[float]) -> tuple[list[float], list[float]]:
        froc = FrocCurve(thresholds, np.array(fp), np.array([0, 0.4, 0.8, 1.0]), (), 10, 5)
        own = replace(label, lesions=replace(label.lesions, froc=froc))
        curve = froc_figure([own], MIN_AREA_PX, t, False).data[0]
        return list(curve.x), list(curve.y)

    assert shown([0, 0.5, 3, 1]) == ([0.01, 0.5, 3], [0, 0.4, 0.8])
    assert shown([0, 0, 0, 0]) == ([0.01] * 4, [0, 0.4, 0.8, 1])


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_label_that_no_image_holds_has_no_curve(name: str, t: Translator) -> None:
    labels = drawn(4)
    figure = DRAWINGS[name].figure(labels, t, False)
    json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert not [trace for trace in traces(figure, "Hard exudate") if trace.mode == "lines" and len(trace.x) > 2]
    assert [trace for trace in traces(figure, "Haemorrhage") if len(trace.x) > 2]
    assert "nan" not in DRAWINGS[name].alt(labels, t)


@pytest.mark.parametrize("name", DRAWINGS)
def test_names_cannot_carry_markup(name: str, t: Translator) -> None:
    figure = DRAWINGS[name].figure([replace(label, name="<i>") for label in BOTH], t, False)
    assert "<i>" not in figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")


# --- colours ---------------------------------------------------------------------------------------------------------

# What is seen without one kind of cones: matrices on linear RGB of Machado et al., IEEE TVCG 2009;15:1291.
VISION = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]


def linear(rgb: Sequence[int]) -> NDArray[np.float64]:
    shares = np.array(rgb) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb: Sequence[int], vision: str) -> NDArray[np.float64]:
    seen = np.clip(np.array(VISION[vision]) @ linear(rgb), 0, 1)
    x, y, z = np.cbrt(
        np.array(TO_XYZ) @ seen / [0.95047, 1, 1.08883]
    )  # dark colours a little further apart than in CIELAB
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


@pytest.mark.parametrize("vision", VISION)
def test_labels_differ_from_each_other_and_from_the_retina(vision: str) -> None:
    colours = [rgb(colour) for colour in LABEL_COLOURS.values()]
    pairs = [*combinations(colours, 2), *((colour, retina) for colour in colours for retina in RETINA)]
    assert min(np.linalg.norm(lab(one, vision) - lab(other, vision)) for one, other in pairs) > 30


@pytest.mark.parametrize("vision", VISION)
def test_boxes_of_findings_differ_for_every_kind_of_colour_vision(vision: str) -> None:
    """Their numbers tell them apart as well, so that seven colours may lie closer than two."""
    colours = [rgb(colour) for colour in BOX_COLOURS.values()]
    assert min(np.linalg.norm(lab(one, vision) - lab(other, vision)) for one, other in combinations(colours, 2)) > 10


def test_numbers_are_read_on_every_colour_of_a_box() -> None:
    for colour in BOX_COLOURS.values():
        low, high = sorted(linear(rgb(one)) @ TO_XYZ[1] for one in (colour, ink(colour)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("page", [PAPER, NIGHT])
def test_lines_are_seen_on_both_pages(page: str) -> None:
    for colour in LABEL_COLOURS.values():
        low, high = sorted(linear(rgb(one)) @ TO_XYZ[1] for one in (colour, page))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11
