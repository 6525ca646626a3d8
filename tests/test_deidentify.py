"""De-identified copies: nothing planted is left, relations stay, pixels are equal, and burned-in text must be excluded."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid as uids
import pytest
from io_files import describe, dicom, finish, ramp
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag

from core.cli.main import main
from core.errors import FileError
from core.imaging.burned_in import looks_written
from core.io.phantom_file import write_dicom
from core.io.reader import Reader, shared_reader
from core.registry import part

MARKER = "ZEBRAFINCH"
DAY = "19481203"
UID = "1.2.826.0.1.3680043.8.498.777777"
SALT = "ab" * 32

# One element for every kind of field; the value is the marker where the kind allows it.
TEXT = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientComments",
    "EthnicGroup",
    "Occupation",
    "AdditionalPatientHistory",
    "MedicalAlerts",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "InstitutionalDepartmentName",
    "ReferringPhysicianName",
    "OperatorsName",
    "PerformingPhysicianName",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
    "DeviceSerialNumber",
    "RequestedProcedureDescription",
    "AdmissionID",
    "DerivationDescription",
    "WindowCenterWidthExplanation",
    "AcquisitionDeviceProcessingDescription",
    "PatientBirthName",
    "ClinicalTrialSubjectID",
    "RetrieveAETitle",
    "SoftwareVersions",
    "DetectorDescription",
)
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "DateOfLastCalibration")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


def planted(data: bytes) -> bytes:
    """The file with the marker in every kind of field, in items at three depths, private blocks, overlays, behind the pixels."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword in TEXT:
        setattr(dataset, keyword, MARKER)
    for keyword in DATES:
        setattr(dataset, keyword, DAY)
    for keyword in UIDS:
        setattr(dataset, keyword, f"{UID}.{UIDS.index(keyword)}")
    person, region, deeper = Dataset(), Dataset(), Dataset()
    person.PatientName, person.PatientID, person.ContentDate = MARKER, MARKER, DAY
    deeper.RequestAttributesSequence = [person]
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "29836001", "SCT", "Hip"
    region.AnatomicRegionModifierSequence = [deeper]
    region.PatientComments = MARKER
    dataset.AnatomicRegionSequence = [region]
    dataset.RequestAttributesSequence = [person]
    dataset.ReferencedStudySequence = [person]
    block = dataset.private_block(0x0029, MARKER, create=True)
    block.add_new(0x10, "LO", MARKER)
    block.add_new(0x11, "SQ", [person])
    region.private_block(0x0031, "inner", create=True).add_new(1, "UT", MARKER)
    dataset.add_new((0x6000, 0x4000), "LT", MARKER)
    dataset.add_new((0x6000, 0x3000), "OW", MARKER.encode())
    dataset.add_new((0x5000, 0x0030), "SH", MARKER)
    dataset.add_new((0x0008, 0x9FF2), "LO", MARKER)  # no such element
    icon = Dataset()
    icon.Rows = icon.Columns = 4
    icon.BitsAllocated = 8
    icon.PixelData = (MARKER * 2).encode()[:16]
    dataset.IconImageSequence = [icon]
    dataset.file_meta.SourceApplicationEntityTitle = MARKER
    dataset.file_meta.PrivateInformationCreatorUID, dataset.file_meta.PrivateInformation = UID, MARKER.encode()
    dataset.preamble = (b"MZ" + MARKER.encode()).ljust(128, b"\0")
    dataset.PixelData = dataset.PixelData + MARKER.encode()
    dataset.add_new((0xFFFC, 0xFFFC), "OB", MARKER.encode())
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def hip() -> bytes:
    return write_dicom(part("hip_osteoporosis", "phantom").make_sample("right_hip"))


def copied(data: bytes, salt: str = SALT) -> Dataset:
    return pydicom.dcmread(io.BytesIO(shared_reader().deidentify(data, salt)))


def refusal(data: bytes) -> str:
    with pytest.raises(FileError) as caught:
        shared_reader().deidentify(data, SALT)
    return caught.value.code


# --- nothing is left -------------------------------------------------------------------------------------------------


def test_no_planted_marker_is_left() -> None:
    data = planted(hip())
    assert data.count(MARKER.encode()) >= 26 + len(DATES)
    copy = shared_reader().deidentify(data, SALT)
    assert copy.count(MARKER.encode()) == 0
    assert copy.count(DAY.encode()) == 0
    assert copy.count(UID.encode()) == 0
    assert copy[:128] == b"\0" * 128
    dataset = pydicom.dcmread(io.BytesIO(copy))
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert [element.tag for element in dataset.iterall() if element.tag.is_private] == []
    assert Tag(0x6000, 0x3000) not in dataset


def test_a_copy_says_what_it_is_and_is_read_like_its_original() -> None:
    original, copy = shared_reader().read(planted(hip())), copied(planted(hip()))
    assert copy.PatientIdentityRemoved == "YES"
    assert "PS3.15" in copy.DeidentificationMethod[0]
    assert copy.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert copy.LongitudinalTemporalInformationModified == "REMOVED"
    assert copy.PatientID == original.pseudonym
    buffer = io.BytesIO()
    copy.save_as(buffer)
    again = shared_reader().read(buffer.getvalue())
    np.testing.assert_array_equal(again.frame.pixels, original.frame.pixels)
    assert again.frame.spacing_mm == original.frame.spacing_mm
    assert again.is_phantom
    for keyword in ("Modality", "BodyPartExamined", "ImageLaterality", "ViewPosition", "BurnedInAnnotation"):
        assert again.tags.get(keyword) == original.tags.get(keyword)
    assert again.age_years is None, "an empty date, not another one"
    assert copy.StudyDate == ""


def test_relations_stay_within_a_run_and_end_with_it() -> None:
    first = planted(hip())
    second = pydicom.dcmread(io.BytesIO(first))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = f"{UID}.9"
    buffer = io.BytesIO()
    second.save_as(buffer)
    with Reader(workers=1) as one, Reader(workers=1) as other:
        copies = [
            one.deidentify(first, SALT),
            other.deidentify(buffer.getvalue(), SALT),
            one.deidentify(first, "cd" * 32),
        ]
    a, b, elsewhere = (pydicom.dcmread(io.BytesIO(copy)) for copy in copies)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert a[keyword].value == b[keyword].value != elsewhere[keyword].value
    assert len({a.SOPInstanceUID, b.SOPInstanceUID, elsewhere.SOPInstanceUID}) == 3
    assert a.SOPClassUID == second.SOPClassUID


@pytest.mark.parametrize("task_id", ["ct_osteoporosis", "knee_djd", "chest_lesions", "retina_lesions"])
def test_images_of_every_task_keep_their_pixels(task_id: str) -> None:
    phantom = part(task_id, "phantom")
    data = write_dicom(phantom.make_sample(next(iter(phantom.SAMPLES))))
    copy = shared_reader().deidentify(data, SALT)
    for frame in range(int(shared_reader().read(data).tags["NumberOfFrames"])):
        original, again = (shared_reader().read(file, frame).frame for file in (data, copy))
        np.testing.assert_array_equal(again.pixels, original.pixels)
        assert again.unit == original.unit


def test_what_hides_in_unused_bits_and_codestreams_does_not_come_along() -> None:
    stored = ramp(12)
    letters = np.frombuffer((MARKER * 400).encode(), np.uint8)[: stored.size].reshape(stored.shape).astype(np.uint16)
    hidden = stored | (letters & 0xF) << 12
    facts = {"BitsStored": 12, "BurnedInAnnotation": "NO"}
    copy = copied(dicom(hidden, **facts))
    np.testing.assert_array_equal(copy.pixel_array, stored)
    assert np.frombuffer(copy.PixelData, np.uint16).max() < 4096

    picture = io.BytesIO()
    Image.fromarray(ramp(8)).save(picture, "JPEG", quality=95, comment=MARKER.encode())
    assert MARKER.encode() in picture.getvalue()
    dataset = describe(ramp(8), BurnedInAnnotation="NO")
    dataset.PixelData = encapsulate([picture.getvalue()])
    copy = copied(finish(dataset, uids.JPEGBaseline8Bit))
    assert copy.file_meta.TransferSyntaxUID == uids.ExplicitVRLittleEndian
    assert copy.LossyImageCompression == "01"
    assert MARKER.encode() not in copy.PixelData


@pytest.mark.parametrize("syntax", [uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian, uids.ExplicitVRBigEndian])
def test_signed_pixels_keep_their_sign_in_every_byte_order(syntax: str) -> None:
    stored = ramp(12, signed=True)
    copy = copied(dicom(stored, syntax, BitsStored=12, BurnedInAnnotation="NO"))
    np.testing.assert_array_equal(copy.pixel_array, stored)


def test_what_is_no_image_is_refused() -> None:
    assert refusal(b"not a file") == "E_NOT_IMAGE"
    assert refusal(hip()[:4000]) == "E_TRUNCATED"
    shifted = describe(ramp(12), BitsStored=12, BurnedInAnnotation="NO")
    shifted.HighBit = 15
    assert refusal(finish(shifted)) == "E_TAG"
    private = describe(ramp(12), SOPClassUID=UID, BurnedInAnnotation="NO")
    assert refusal(finish(private)) == "E_TAG"


# --- burned-in text --------------------------------------------------------------------------------------------------


def written(words: str = "CHEN^MEI-LING") -> np.ndarray:
    """A dim picture with white letters at its top."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:256, :256]
    picture = Image.fromarray(
        (90 + 60 * np.sin(x / 40) * np.cos(y / 50) + rng.normal(0, 4, (256, 256))).astype(np.uint8)
    )
    ImageDraw.Draw(picture).text((8, 6), words, fill=255, font=ImageFont.load_default(16))
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("facts", "is_refused"),
    [
        ({"Modality": "US", "BurnedInAnnotation": None}, True),
        ({"Modality": "XA", "BurnedInAnnotation": None}, True),
        ({"Modality": None, "BurnedInAnnotation": None}, True),
        ({"SOPClassUID": uids.SecondaryCaptureImageStorage, "BurnedInAnnotation": None}, True),
        ({"SOPClassUID": uids.MultiFrameGrayscaleByteSecondaryCaptureImageStorage, "BurnedInAnnotation": None}, True),
        ({"BurnedInAnnotation": "YES"}, True),
        ({"BurnedInAnnotation": "MAYBE"}, True),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, False),
        ({"BurnedInAnnotation": None}, False),
    ],
)
def test_burned_in_text_is_refused(facts: dict[str, object], is_refused: bool) -> None:
    data = dicom(written(""), **facts)
    assert (refusal(data) == "E_BURNED_IN") if is_refused else copied(data).PatientIdentityRemoved == "YES"


def test_a_header_that_is_silent_leaves_it_to_the_pixels() -> None:
    assert refusal(dicom(written())) == "E_BURNED_IN"
    assert copied(dicom(written("L"))).PatientIdentityRemoved == "YES"


def test_a_name_in_a_later_frame_is_found() -> None:
    frames = np.stack([written(""), written(), written("")])
    assert refusal(dicom(frames)) == "E_BURNED_IN"


@pytest.mark.parametrize("size", [12, 16, 24, 40, 64])
@pytest.mark.parametrize("is_dark", [False, True])
def test_lines_of_letters_are_seen(size: int, is_dark: bool) -> None:
    picture = Image.new("L", (900, 300), 180 if is_dark else 70)
    letters = ImageDraw.Draw(picture)
    letters.text((12, 9), "ID 0123456", fill=0 if is_dark else 255, font=ImageFont.load_default(size))
    assert looks_written(np.asarray(picture))
    assert looks_written(np.stack([np.asarray(picture)] * 3, -1))


@pytest.mark.parametrize(
    "task_id", ["hip_osteoporosis", "ct_osteoporosis", "knee_djd", "chest_lesions", "retina_lesions"]
)
def test_anatomy_and_noise_are_no_letters(task_id: str) -> None:
    phantom = part(task_id, "phantom")
    assert not looks_written(phantom.make_sample(next(iter(phantom.SAMPLES))).pixels)
    rng = np.random.default_rng(2)
    assert not looks_written(rng.poisson(2.0, (256, 256)))
    assert not looks_written(np.zeros((64, 64)))


# --- the command -----------------------------------------------------------------------------------------------------


def test_command_copies_a_folder_and_names_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    (source / MARKER).mkdir(parents=True)
    (source / MARKER / f"{MARKER}.dcm").write_bytes(planted(hip()))
    (source / "written.dcm").write_bytes(dicom(written()))
    assert main(["deidentify", str(source), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "written.dcm: E_BURNED_IN" in said.err
    assert "1 of 2 files copied, 1 refused" in said.out
    (copy,) = out.iterdir()
    assert copy.name == f"{hashlib.sha256(copy.read_bytes()).hexdigest()[:32]}.dcm"
    assert MARKER.encode() not in copy.read_bytes()
    assert main(["deidentify", str(source), "--out", str(out)]) == 2, "a folder that holds something"
    assert main(["deidentify", str(source / MARKER), "--out", str(tmp_path / "second")]) == 0
    assert main(["deidentify", str(out / "nothing.dcm"), "--out", str(tmp_path / "third")]) == 1
