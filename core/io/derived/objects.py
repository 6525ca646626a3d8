"""All objects of one result: image, overlay, masks, structured report and printed report."""

import io
import warnings
from collections.abc import Iterator

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.base import SOPClass
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from core.io.derived import codes as own
from core.io.derived.context import MANUFACTURER, Context, without_pixels
from core.io.derived.measurements import structured_report
from core.io.derived.plan import Plan

_PLACED = (
    *("NumberOfFrames", "FrameIncrementPointer", "FrameOfReferenceUID", "PixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
)


def derive(plan: Plan, source: bytes, key: bytes) -> list[tuple[str, bytes | str]]:
    """Files of DICOM objects: name and bytes.

    Args:
        plan: The result.
        source: Bytes of the file that was screened, to copy its patient and study modules; b"" = de-identified.
        key: Secret of the UIDs.

    Raises:
        FileError: See `context.Context`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom quotes names in its warnings
        context = Context(plan, source, key)
        return [(name, _bytes(made)) for name, made in _objects(context)]


def _objects(context: Context) -> Iterator[tuple[str, SOPClass]]:
    plan = context.plan
    if not context.is_identified:
        yield "image.dcm", context.stand_in()
    overlay = context.capture(plan.overlay, "overlay", 1)
    yield "overlay.dcm", context.finish(overlay, "overlay")
    masks = _segmentation(context) if plan.masks else None
    if masks is not None:
        yield "segmentation.dcm", masks
    yield "measurements.dcm", structured_report(context, masks)
    yield "report.dcm", _document(context)


def _bytes(made: SOPClass) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _segmentation(context: Context) -> SOPClass:
    """One segment a label, in the size of the frame."""
    plan = context.plan
    algorithm = AlgorithmIdentificationSequence(
        name=plan.model, version=plan.version, family=codes.DCM.ArtificialIntelligence, source=MANUFACTURER
    )
    descriptions = [
        SegmentDescription(
            segment_number=place,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=own.finding(label, name),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            anatomic_regions=[own.SITES[plan.task]],
            tracking_uid=context.uid(context.digest, label, "segment"),
            tracking_id=label,
        )
        for place, (label, name) in enumerate(plan.masks, start=1)
    ]
    made = Segmentation(
        source_images=[_flat(context.reference)],
        pixel_array=np.stack([mask.astype(np.uint8) for mask in plan.masks.values()], axis=-1)[None],
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        omit_empty_frames=False,
        content_label="SUSPECTED_LESION",
        content_description=context.title("masks"),
        content_creator_name="Fivefold",
        coding_schemes=own.schemes(),
        **context.identity("segmentation", 2),
    )
    for element in made.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = context.reference.SOPClassUID
    if context.frame_numbers:
        for group in made.PerFrameFunctionalGroupsSequence:
            group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = context.frame_numbers
    made.PatientOrientation = []  # the source may not tell
    return context.finish(made, "masks")


def _flat(image: Dataset) -> Dataset:
    """The header of an image of one frame without place in space.

    A photograph may have several frames and lacks what highdicom asks of an image with frames or with a place.
    """
    header = without_pixels(image, *_PLACED)
    header.SOPClassUID = SecondaryCaptureImageStorage
    return header


def _document(context: Context) -> SOPClass:
    """The report as encapsulated PDF (PS3.3 A.45.1)."""
    plan = context.plan
    made = SOPClass(
        study_instance_uid=context.study_uid,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **context.identity("document", 4),
    )
    context.finish(made, "case report")
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES" if plan.has_burned_in else "NO"
    made.AcquisitionDateTime = plan.made_at.strftime("%Y%m%d%H%M%S") + "+0000"
    made.DocumentTitle = context.title("case report") + (f". {plan.statement}" if plan.statement else "")
    made.ConceptNameCodeSequence = []
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = plan.document + b"\0" * (len(plan.document) % 2)
    made.EncapsulatedDocumentLength = len(plan.document)
    return made
