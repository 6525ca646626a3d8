"""The structured report: scores, measured numbers and boxes as TID 1500 (PS3.16)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom import sr
from highdicom.base import SOPClass
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.sr.codedict import codes

from core.io.derived import codes as own
from core.io.derived.context import MANUFACTURER, Context
from core.io.derived.plan import Reported


def structured_report(context: Context, masks: SOPClass | None) -> SOPClass:
    """One measurement group a finding, box or region.

    Args:
        context: Of the result.
        masks: The segmentation, where there is one; groups of its labels refer to their segment.
    """
    plan = context.plan
    groups = [_group(context, reported, place, masks) for place, reported in enumerate(plan.reported, start=1)]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_device(context)),
        procedure_reported=own.PROCEDURES[plan.task],
        imaging_measurements=groups,
    )
    comment = sr.TextContentItem(codes.DCM.Comment, plan.caption, RelationshipTypeValues.CONTAINS)
    content[0].ContentSequence.append(comment)
    made = sr.ComprehensiveSR(
        evidence=[context.reference, *([] if masks is None else [masks])],
        content=content[0],
        is_complete=True,
        is_verified=False,
        coding_schemes=own.schemes(),
        **context.identity("measurements", 3),
    )
    return context.finish(made, "measurements")


def _device(context: Context) -> sr.ObserverContext:
    facts = context.equipment()
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=context.uid("device", context.plan.weights_sha256),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=facts["manufacturer_model_name"],
        serial_number=facts["device_serial_number"],
    )
    return sr.ObserverContext(codes.DCM.Device, device)


def _group(context: Context, reported: Reported, place: int, masks: SOPClass | None) -> Any:
    plan = context.plan
    site = sr.FindingSite(own.SITES[plan.task], own.SIDES.get(reported.laterality or ""))
    words: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=context.uid(context.digest, "group", str(place)), identifier=f"{place}: {reported.label}"
        ),
        "algorithm_id": sr.AlgorithmIdentification(plan.model, plan.version, parameters=[plan.weights_sha256]),
        "finding_type": own.finding(reported.label, reported.name),
        "finding_sites": [site],
        "measurements": list(_numbers(reported)),
        "qualitative_evaluations": list(_evaluations(reported)),
    }
    labels = [label for label, _ in plan.masks]
    if masks is not None and reported.label in labels:
        segment = labels.index(reported.label) + 1
        source = sr.SourceImageForSegmentation(*_referenced(context))
        frame = sr.ReferencedSegmentationFrame(masks.SOPClassUID, masks.SOPInstanceUID, segment, segment, source)
        # One of both: a frame of a segmentation belongs to one segment (PS3.3 10.3).
        del frame[0].ReferencedSOPSequence[0].ReferencedFrameNumber
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **words)
    if reported.box_xyxy is None:
        image = sr.SourceImageForMeasurementGroup(*_referenced(context))
        return sr.MeasurementsAndQualitativeEvaluations(source_images=[image], **words)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=_region(context, reported), **words)


def _region(context: Context, reported: Reported) -> sr.ImageRegion:
    """A box as closed polyline; (0, 0) is the outer corner of the first pixel (PS3.3 C.18.6.1.1), as in a box of ours."""
    assert reported.box_xyxy is not None
    rows, columns = context.plan.image.shape[:2]
    x0, y0, x1, y1 = reported.box_xyxy
    x0, x1 = (min(max(value, 0.0), float(columns)) for value in (x0, x1))
    y0, y1 = (min(max(value, 0.0), float(rows)) for value in (y0, y1))
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    return sr.ImageRegion("POLYLINE", corners, sr.SourceImageForRegion(*_referenced(context)))


def _referenced(context: Context) -> tuple[str, str, list[int] | None]:
    """Class, instance and frames of the image."""
    image = context.reference
    return str(image.SOPClassUID), str(image.SOPInstanceUID), context.frame_numbers


def _numbers(reported: Reported) -> Iterator[sr.Measurement]:
    for number in reported.numbers:
        name, unit = own.NUMBERS[number.key]
        yield sr.Measurement(name, number.value, unit)
    for place, (grade, value) in enumerate(reported.probabilities):
        name = own.private(f"PROBABILITY_{place}", f"Class probability: {grade}")
        yield sr.Measurement(name, value, codes.UCUM.NoUnits)


def _evaluations(reported: Reported) -> Iterator[sr.QualitativeEvaluation]:
    if reported.is_called is not None:
        yield sr.QualitativeEvaluation(own.SIDE, own.ABOVE if reported.is_called else own.BELOW)
    if reported.grade is not None:
        yield sr.QualitativeEvaluation(own.GRADE, own.finding(*reported.grade))
