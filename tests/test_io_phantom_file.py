"""Phantom files: every container gives the same pixels, header and mark through the reader, and the same bytes each time."""

import hashlib
import time
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from io_files import read, rgb_picture
from numpy.testing import assert_array_equal

from core.errors import UsageError
from core.io.phantom_file import patient_id, write_dicom
from core.io.phantom_matlab import write_matlab
from core.phantom import Phantom


def radiograph() -> Phantom:
    meta = {
        "Modality": "CR",
        "BodyPartExamined": "HIP",
        "ViewPosition": "AP",
        "Laterality": "R",
        "PixelSpacing": 0.5,
        "StudyDate": "20240229",
        "PatientSex": "F",
        "PatientAge": 71,
        "PatientWeight": 57.5,
    }
    y, x = np.mgrid[:80, :64].astype(np.float32)
    return Phantom((y * 64 + x) / 5119, {}, {}, meta)


def slice_of_ct(**more: object) -> Phantom:
    meta = {
        "Modality": "CT",
        "BodyPartExamined": "ABDOMEN",
        "PixelSpacing": 0.7812,
        "SliceThickness": 2.5,
        "KVP": 120,
        "ConvolutionKernel": "B30f",
        "ContrastBolusAgent": "yes",
        "StudyDate": "20240229",
        "PatientSex": "M",
        "PatientAge": 66,
    }
    y, x = np.mgrid[:64, :96].astype(np.float32)
    return Phantom(y * 50 + x - 1100, {}, {}, meta | more, "HU")


def bone_scan(**more: object) -> Phantom:
    meta = {
        "Modality": "NM",
        "BodyPartExamined": "WHOLE BODY",
        "ViewPosition": "A",
        "PixelSpacing": 2.3,
        "StudyDate": "20240229",
        "PatientSex": "F",
        "PatientAge": 62,
        "KneeJointId": "2,5",
    }
    y, x = np.mgrid[:1024, :256].astype(np.float32)
    return Phantom(y * 7 + x, {}, {}, meta | more, "counts", y * 60 + x)


def fundus(shape: tuple[int, int] = (48, 64), **more: object) -> Phantom:
    meta = {
        "Modality": "OP",
        "BodyPartExamined": "EYE",
        "Laterality": "L",
        "PatientID": "PHANTOM-eye",
        "StudyDate": "20240229",
        "PatientSex": "F",
        "PatientAge": 58,
    }
    return Phantom(rgb_picture(shape), {}, {}, meta | more, "rgb")


def test_radiograph_has_the_bytes_it_had_before_other_images_could_be_written() -> None:
    plain, inverted = (
        hashlib.sha256(write_dicom(radiograph(), monochrome1=flag)).hexdigest() for flag in (False, True)
    )
    assert (plain, inverted) == (
        "7beefc2861860f2e9d04de742d5f2aecbee46baff7bd3fc5e1a9b70713fe3295",
        "f085a6d2a3bcaf778071d1f7497051a3778b5effe1e5cefbfd81c8ff1b3994d7",
    )


# --- CT --------------------------------------------------------------------------------------------------------------


def test_slice_comes_back_in_hu() -> None:
    phantom = slice_of_ct(SlicePosition=-412.5)
    study = read(write_dicom(phantom))
    frame = study.frame
    assert_array_equal(frame.pixels, np.clip(phantom.pixels, -1024, 3071))
    assert (frame.unit, frame.spacing_mm, frame.window) == ("HU", (0.7812, 0.7812), (200.0, 700.0))
    expected = {
        "Modality": "CT",
        "BodyPartExamined": "ABDOMEN",
        "SliceThickness": "2.5",
        "KVP": "120",
        "ConvolutionKernel": "B30f",
        "ContrastBolusAgent": "yes",
        "SlicePosition": "-412.50",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "BitsStored": "12",
    }
    assert {key: study.tags.get(key) for key in expected} == expected
    assert (study.age_years, study.sex, study.weight_kg, study.is_phantom) == (66, "M", None, True)


def test_what_meta_lacks_is_not_written() -> None:
    phantom = slice_of_ct(ContrastBolusAgent="")
    lean = replace(phantom, meta={key: value for key, value in phantom.meta.items() if key != "StudyDate"})
    header = pydicom.dcmread(BytesIO(write_dicom(lean)))
    absent = (
        "ViewPosition",
        "ImageLaterality",
        "PatientWeight",
        "ContrastBolusAgent",
        "ImagePositionPatient",
        "StudyDate",
    )
    assert not {*absent} & {*header.dir()}
    assert "SlicePosition" not in read(write_dicom(lean)).tags


def test_slices_of_one_patient_share_the_series() -> None:
    first, second = (slice_of_ct(PatientID="PHANTOM-7", SlicePosition=z) for z in (0, 5))
    second = replace(second, pixels=second.pixels + 1)
    headers = [pydicom.dcmread(BytesIO(write_dicom(phantom))) for phantom in (first, second)]
    assert {patient_id(first), patient_id(second), *(header.PatientID for header in headers)} == {"PHANTOM-7"}
    assert (
        len({header.SeriesInstanceUID for header in headers})
        == len({header.StudyInstanceUID for header in headers})
        == 1
    )
    assert len({header.SOPInstanceUID for header in headers}) == 2
    assert patient_id(slice_of_ct()) != patient_id(replace(second, meta=slice_of_ct().meta))


@pytest.mark.parametrize("phantom", [slice_of_ct(), bone_scan(), fundus()])
def test_only_a_radiograph_is_stored_inverted(phantom: Phantom) -> None:
    with pytest.raises(UsageError):
        write_dicom(phantom, monochrome1=True)


# --- bone scan -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dicom", "5", "7.3"])
def test_both_views_come_back_from_every_container(kind: str) -> None:
    phantom = bone_scan()
    data = write_dicom(phantom) if kind == "dicom" else write_matlab(phantom, kind)
    anterior, posterior = read(data), read(data, 1)
    assert phantom.posterior is not None
    assert_array_equal(anterior.frame.pixels, phantom.pixels)
    assert_array_equal(posterior.frame.pixels, phantom.posterior)
    for study, view in ((anterior, "A"), (posterior, "P")):
        assert (study.frame.unit, study.is_phantom) == ("counts", True)
        assert (study.tags["Modality"], study.tags["ViewPosition"]) == ("NM", view)
        assert study.tags.get("KneeJointId") == (None if kind == "dicom" else "2,5")
        assert study.tags.get("KneeJointName") == (None if kind == "dicom" else "2,5")


def test_nuclear_header() -> None:
    header = pydicom.dcmread(BytesIO(write_dicom(bone_scan())))
    assert header.SOPClassUID.name == "Nuclear Medicine Image Storage"
    assert list(header.ImageType) == ["DERIVED", "SECONDARY", "WHOLE BODY", "EMISSION", "PHANTOM"]
    assert (header.NumberOfFrames, header.NumberOfDetectors, list(header.DetectorVector)) == (2, 2, [1, 2])
    assert [pointer.json_key for pointer in header.FrameIncrementPointer] == ["00540010", "00540020"]
    codes = [detector.ViewCodeSequence[0] for detector in header.DetectorInformationSequence]
    assert [code.CodeMeaning for code in codes] == ["Anterior projection", "Posterior projection"]
    assert "WindowCenter" not in header
    assert "ViewPosition" not in header


def test_a_single_view() -> None:
    study = read(write_dicom(replace(bone_scan(), posterior=None)))
    assert (study.tags["NumberOfFrames"], study.tags["ViewPosition"], study.notes) == ("1", "A", ())


def test_matlab_without_knee_codes() -> None:
    phantom = bone_scan(KneeJointId="")
    for version in ("5", "7.3"):
        study = read(write_matlab(phantom, version))
        assert not {"KneeJointId", "KneeJointName"} & {*study.tags}


# --- fundus photograph -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48, 64), (47, 63)])
def test_photograph_comes_back_in_colour(shape: tuple[int, int]) -> None:
    phantom = fundus(shape)
    study = read(write_dicom(phantom))
    assert study.frame.pixels.dtype == np.uint8
    assert_array_equal(study.frame.pixels, phantom.pixels)
    assert (study.frame.unit, study.frame.spacing_mm, study.frame.window) == ("rgb", None, None)
    assert (study.laterality, study.is_phantom, study.notes) == ("L", True, ())
    assert (study.age_years, study.sex) == (58, "F")
    direct = phantom.study()
    assert_array_equal(direct.frame.pixels, study.frame.pixels)
    assert (direct.frame.unit, direct.frame.spacing_mm, direct.frame.window) == ("rgb", None, None)
    assert direct.laterality == "L"


def test_ophthalmic_header() -> None:
    header = pydicom.dcmread(BytesIO(write_dicom(fundus(PixelSpacing=0.01))))
    assert header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    assert list(header.ImageType) == ["DERIVED", "SECONDARY", "", "COLOR", "PHANTOM"]
    assert (header.Modality, header.ImageLaterality, header.PhotometricInterpretation) == ("OP", "L", "RGB")
    assert (header.SamplesPerPixel, header.BitsAllocated, header.BitsStored, header.PlanarConfiguration) == (3, 8, 8, 0)
    assert (str(header.PatientName), header.PatientID, header.BurnedInAnnotation) == ("PHANTOM", "PHANTOM-eye", "NO")
    assert [float(mm) for mm in header.PixelSpacing] == [0.01, 0.01]
    assert not {"ViewPosition", "WindowCenter", "RescaleSlope"} & {*header.dir()}


@pytest.mark.parametrize("phantom", [bone_scan(), fundus()])
def test_same_bytes_at_another_time(phantom: Phantom) -> None:

    def digests() -> list[str]:
        files = [write_dicom(phantom)]
        if phantom.unit == "counts":
            files += [write_matlab(phantom, version) for version in ("5", "7.3")]
        return [hashlib.sha256(file).hexdigest() for file in files]

    first = digests()
    time.sleep(1.1)  # the dates inside such files count seconds
    assert digests() == first
