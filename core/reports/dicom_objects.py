"""A result as DICOM objects: what they say is decided here; the reader process makes them beside the source file."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from core import registry
from core.imaging.display import to_bytes
from core.io.derived.plan import Number, Plan, Reported
from core.manifest import Manifest
from core.records import Finding, ScreeningResult
from core.reports.case_pictures import STRENGTH, captioned_pictures
from core.reports.overlay_png import caption

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest a zip file knows: equal objects give equal archives


def plan_objects(
    result: ScreeningResult,
    manifest: Manifest,
    *,
    display: NDArray[np.float32],
    report: bytes,
    made_at: datetime,
    strength: float = STRENGTH,
) -> Plan:
    """What the DICOM objects of a result hold.

    Args:
        result: Shows a score.
        manifest: Of the model that answered.
        display: The frame's display values in [0, 1], (H, W) or (H, W, 3).
        report: The PDF of `case_pdf`, without the patient.
        made_at: Time of the objects, aware of its zone.
        strength: Opacity of the strongest evidence, 0 to 1.
    """
    assert result.prediction is not None, "a refused study has no objects"
    study, origin = result.study, result.provenance
    return Plan(
        task=origin.task,
        model=origin.model,
        version=origin.version,
        weights_sha256=origin.weights_sha256,
        file_sha256=study.file_sha256,
        pseudonym=study.pseudonym,
        made_at=made_at.astimezone(UTC),
        statement=origin.statement,
        caption=caption(result),
        is_phantom=study.is_phantom,
        has_burned_in=study.tags.get("BurnedInAnnotation") == "YES",
        spacing_mm=study.frame.spacing_mm,
        reported=tuple(_reported(result, manifest)),
        image=to_bytes(display),
        overlay=captioned_pictures(result, display, strength),
        masks={
            (finding.label, _names(result)[finding.label]): finding.mask
            for finding in result.prediction.findings
            if finding.mask is not None
        },
        document=report,
    )


def zip_files(files: Mapping[str, bytes]) -> bytes:
    """One archive of all files; the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _names(result: ScreeningResult) -> dict[str, str]:
    return {label.id: label.name for label in registry.task(result.provenance.task).labels}


def _reported(result: ScreeningResult, manifest: Manifest) -> Iterator[Reported]:
    """A group a finding; of films with boxes one more a label, with its highest score."""
    assert result.prediction is not None
    names, kind = _names(result), registry.task(result.provenance.task).kind
    for index, finding in enumerate(result.prediction.findings):
        grade = None if finding.grade is None else list(names.items())[finding.grade]
        box = finding.box_xyxy or result.regions[min(index, len(result.regions) - 1)].box_xyxy
        yield Reported(
            label=finding.label,
            name=names[finding.label],
            numbers=tuple(_numbers(result, manifest, finding, index)),
            box_xyxy=box,
            laterality=finding.laterality,
            is_called=finding.positive,
            grade=grade,
            probabilities=tuple((names[label], value) for label, value in (finding.probabilities or {}).items()),
        )
    if kind == "detector":
        yield from _whole_film(result, names)


def _numbers(result: ScreeningResult, manifest: Manifest, finding: Finding, index: int) -> Iterator[Number]:
    assert result.prediction is not None
    yield Number("score", finding.probability)
    threshold = result.threshold if finding.threshold is None else finding.threshold
    if finding.mask is not None:  # the result names the point of the explained label alone
        threshold = next(point.threshold for point in manifest.operating_points if point.label == finding.label)
    if threshold is not None:
        yield Number("threshold", threshold)
    measures = result.prediction.measures
    for key in ("roi_hu", "uptake_ratio"):
        if key in measures and math.isfinite(measures[key][index]):
            yield Number(key, measures[key][index])
    if finding.mask is not None:
        yield Number("area_px", sum(lesion.area_px for lesion in finding.lesions))
        yield Number("area_percent", 100 * measures[f"area_share_{finding.label}"][0])


def _whole_film(result: ScreeningResult, names: Mapping[str, str]) -> Iterator[Reported]:
    assert result.prediction is not None
    measures = result.prediction.measures
    ratio = measures.get("cardiothoracic_ratio", (math.nan,))[0]
    for label, name in names.items():
        numbers = [Number("score", measures[f"presence_{label}"][0])]
        if label == "cardiac_hypertrophy" and math.isfinite(ratio):
            numbers.append(Number("cardiothoracic_ratio", ratio))
        called = any(finding.positive for finding in result.prediction.findings if finding.label == label)
        yield Reported(label=label, name=name, numbers=tuple(numbers), is_called=called)
