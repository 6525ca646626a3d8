"""DICOM objects of a result: valid by an independent tool, true to the result, and silent about the patient unless asked."""

import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage, SegmentationStorage
from pypdf import PdfReader

from core import registry, screening
from core.cli.main import main
from core.errors import FileError
from core.imaging.display import to_bytes, to_display
from core.io.derived.plan import Plan, pack_plan, unpack_plan
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.manifest import DEMO_STATEMENT
from core.records import ScreeningResult
from core.reports.case_pdf import case_pdf
from core.reports.dicom_objects import plan_objects, zip_files

MADE = datetime(2026, 11, 29, 20, 15, tzinfo=UTC)
VALIDATOR = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which("dciodvfy")
PLANTED = {
    "PatientName": "洪^吉洞=PLANTED^NAME",
    "PatientID": "PLANTED-ID",
    "PatientBirthDate": "19440203",
    "AccessionNumber": "PLANTEDACC",
    "StudyDate": "20250607",
    "StudyTime": "081500",
    "StudyID": "PLANTEDSTUDY",
    "ReferringPhysicianName": "PLANTED^PHYSICIAN",
    "StudyDescription": "PLANTED DESCRIPTION",
    "InstitutionName": "PLANTED HOSPITAL",
}
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDate", "StudyID")


@cache
def source(task: str) -> bytes:
    """A phantom with the words of a patient in its header."""
    part = registry.part(task, "phantom")
    file = pydicom.dcmread(io.BytesIO(write_dicom(part.make_sample(next(iter(part.SAMPLES))))))
    file.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in PLANTED.items():
        setattr(file, keyword, value)
    return saved(file)


def saved(file: Dataset) -> bytes:
    buffer = io.BytesIO()
    file.save_as(buffer)
    return buffer.getvalue()


def screened(task: str, data: bytes) -> ScreeningResult:
    return screening.screen(shared_reader().read(data), screening.load(task), confirmed=True)


@cache
def result_of(task: str) -> ScreeningResult:
    return screened(task, source(task))


def plan_of(result: ScreeningResult, report: bytes = b"%PDF-1.4 short") -> Plan:
    manifest = registry.manifest_of(result.provenance.task)
    assert manifest is not None
    return plan_objects(result, manifest, display=to_display(result.study.frame), report=report, made_at=MADE)


@cache
def objects(task: str, *, is_identified: bool) -> dict[str, bytes]:
    return shared_reader().derive(plan_of(result_of(task)), source(task) if is_identified else b"")


def opened(files: dict[str, bytes], name: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(files[name]))


def errors(data: bytes, folder: Path) -> list[str]:
    assert VALIDATOR, "dciodvfy is missing"
    path = folder / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run([VALIDATOR, "-new", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Fatal"))]


# --- valid -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(VALIDATOR is None, reason="no dciodvfy for this machine")
@pytest.mark.parametrize("is_identified", [False, True])
@pytest.mark.parametrize("task", registry.tasks())
def test_an_independent_validator_finds_no_error(task: str, is_identified: bool, tmp_path: Path) -> None:
    files = objects(task, is_identified=is_identified)
    wanted = {"overlay.dcm", "measurements.dcm", "report.dcm"}
    wanted |= set() if is_identified else {"image.dcm"}
    wanted |= {"segmentation.dcm"} if task == "retina_lesions" else set()
    assert set(files) == wanted
    assert [(name, line) for name, data in files.items() for line in errors(data, tmp_path)] == []


@pytest.mark.skipif(VALIDATOR is None, reason="no dciodvfy for this machine")
def test_the_validator_would_tell(tmp_path: Path) -> None:
    overlay = opened(objects("hip_osteoporosis", is_identified=False), "overlay.dcm")
    del overlay.Rows
    assert any("Rows" in line for line in errors(saved(overlay), tmp_path))


# --- whose they are --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", registry.tasks())
def test_nothing_of_the_patient_is_in_de_identified_objects(task: str) -> None:
    original = pydicom.dcmread(io.BytesIO(source(task)))
    banned = [b"PLANTED", "洪".encode(), "吉洞".encode(), b"19440203", b"20250607", b"081500"]
    banned += [str(original[f"{level}InstanceUID"].value).encode() for level in ("Study", "Series", "SOP")]
    files = objects(task, is_identified=False)
    for name, data in files.items():
        assert not [word for word in banned if word in data], name
        made = opened(files, name)
        assert made.PatientID == result_of(task).study.pseudonym
        assert str(made.PatientName) == "PHANTOM"
        assert made.PatientIdentityRemoved == "YES"
        assert made.DeidentificationMethod
        for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
            assert made[keyword].value in ("", None)
        assert "PatientAge" not in made


@pytest.mark.parametrize("task", registry.tasks())
def test_identified_objects_belong_to_the_study_of_the_source(task: str) -> None:
    original, files = pydicom.dcmread(io.BytesIO(source(task))), objects(task, is_identified=True)
    for name in files:
        made = opened(files, name)
        for keyword in (*PATIENT, "StudyInstanceUID"):
            assert str(made[keyword].value) == str(original[keyword].value), (name, keyword)
        assert made.SeriesInstanceUID != original.SeriesInstanceUID
        assert "PatientIdentityRemoved" not in made


def test_a_name_in_korean_letters_of_another_set_is_copied_whole() -> None:
    file = pydicom.dcmread(io.BytesIO(source("hip_osteoporosis")))
    file.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    file.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
    file.PatientSex = "X"  # not as the standard wants it
    data = saved(file)
    made = shared_reader().derive(plan_of(screened("hip_osteoporosis", data)), data)
    for name in made:
        assert str(opened(made, name).PatientName) == "Hong^Gildong=洪^吉洞=홍^길동"
        assert opened(made, name).PatientSex == "X"


def test_objects_of_one_result_share_a_study_and_nothing_else() -> None:
    made = [opened(objects("retina_lesions", is_identified=False), name) for name in ("image.dcm", "overlay.dcm")]
    made += [
        opened(objects("retina_lesions", is_identified=False), name) for name in ("measurements.dcm", "report.dcm")
    ]
    assert len({own.StudyInstanceUID for own in made}) == 1
    assert len({own.SeriesInstanceUID for own in made}) == len({own.SOPInstanceUID for own in made}) == len(made)
    again = shared_reader().derive(plan_of(result_of("retina_lesions")))
    assert opened(again, "report.dcm").SOPInstanceUID == made[-1].SOPInstanceUID
    later = shared_reader().derive(replace(plan_of(result_of("retina_lesions")), made_at=MADE.replace(hour=21)))
    assert opened(later, "report.dcm").SOPInstanceUID != made[-1].SOPInstanceUID
    assert opened(later, "report.dcm").StudyInstanceUID == made[-1].StudyInstanceUID


def test_the_source_must_be_the_file_that_was_screened() -> None:
    with pytest.raises(FileError, match="another file") as caught:
        shared_reader().derive(plan_of(result_of("hip_osteoporosis")), source("chest_lesions"))
    assert caught.value.code == "E_TAG"


def test_burned_in_text_is_never_called_de_identified() -> None:
    file = pydicom.dcmread(io.BytesIO(source("hip_osteoporosis")))
    file.BurnedInAnnotation = "YES"
    data = saved(file)
    plan = plan_of(screened("hip_osteoporosis", data))
    with pytest.raises(FileError) as caught:
        shared_reader().derive(plan)
    assert caught.value.code == "E_BURNED_IN"
    assert opened(shared_reader().derive(plan, data), "report.dcm").BurnedInAnnotation == "YES"


# --- what they say ---------------------------------------------------------------------------------------------------


def items(content: Dataset) -> Iterator[Dataset]:
    for item in content.get("ContentSequence", []):
        yield item
        yield from items(item)


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def numbers(group: Dataset) -> dict[str, float]:
    return {
        meaning(item): float(item.MeasuredValueSequence[0].NumericValue)
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def groups(report: Dataset) -> list[Dataset]:
    return [item for item in items(report) if item.ValueType == "CONTAINER" and meaning(item) == "Measurement Group"]


def test_boxes_and_scores_of_a_film_are_those_of_the_result() -> None:
    result, files = result_of("chest_lesions"), objects("chest_lesions", is_identified=True)
    assert result.prediction is not None
    report = highdicom.sr.srread(io.BytesIO(files["measurements.dcm"]))
    found = report.content.get_planar_roi_measurement_groups()
    assert len(found) == len(result.prediction.findings) > 3
    original = pydicom.dcmread(io.BytesIO(source("chest_lesions")))
    for group, finding in zip(found, result.prediction.findings, strict=True):
        assert finding.box_xyxy is not None
        x0, y0, x1, y1 = finding.box_xyxy
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        assert group.roi.graphic_type.value == "POLYLINE"
        np.testing.assert_allclose(group.roi.value, corners, atol=1e-3)
        measured = {own.name.meaning: own.value for own in group.get_measurements()}
        assert measured["Model score"] == pytest.approx(finding.probability, abs=1e-6)
        assert measured["Threshold of the operating point"] == pytest.approx(finding.threshold)
        (side,) = group.get_qualitative_evaluations()
        assert (side.value.meaning == "At or above the operating point") == finding.positive
    images = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in items(report)
        if "ReferencedSOPSequence" in item
    }
    assert images == {original.SOPInstanceUID}
    whole = [numbers(group) for group in groups(report)][len(found) :]
    assert [own["Model score"] for own in whole] == pytest.approx(
        [result.prediction.measures[f"presence_{label.id}"][0] for label in registry.task("chest_lesions").labels]
    )
    assert whole[0]["Cardiothoracic ratio"] == pytest.approx(result.prediction.measures["cardiothoracic_ratio"][0])


def test_both_knees_are_told_with_side_grade_and_region() -> None:
    result = result_of("knee_djd")
    assert result.prediction is not None
    found = groups(opened(objects("knee_djd", is_identified=False), "measurements.dcm"))
    assert len(found) == 2
    for group, finding in zip(found, result.prediction.findings, strict=True):
        codes = {meaning(item): item.ConceptCodeSequence[0] for item in items(group) if item.ValueType == "CODE"}
        assert codes["Laterality"].CodeMeaning == {"R": "Right", "L": "Left"}[finding.laterality or ""]
        grade = registry.task("knee_djd").labels[finding.grade or 0].name
        assert codes["Most probable grade"].CodeMeaning == grade
        measured = numbers(group)
        assert sum(value for name, value in measured.items() if name.startswith("Class")) == pytest.approx(1, abs=1e-4)
        assert measured["Model score"] == pytest.approx(finding.probability)


def test_masks_are_stored_pixel_by_pixel_and_told_with_their_area() -> None:
    result = result_of("retina_lesions")
    assert result.prediction is not None
    for is_identified in (False, True):
        files = objects("retina_lesions", is_identified=is_identified)
        image = pydicom.dcmread(io.BytesIO(source("retina_lesions") if is_identified else files["image.dcm"]))
        masks = highdicom.seg.segread(io.BytesIO(files["segmentation.dcm"]))
        ((_, _, uid),) = masks.get_source_image_uids()
        assert uid == image.SOPInstanceUID
        stored = masks.get_pixels_by_source_instance([uid])[0]
        for place, finding in enumerate(result.prediction.findings):
            assert finding.mask is not None
            assert finding.mask.any()
            np.testing.assert_array_equal(stored[:, :, place] != 0, finding.mask)
        found = groups(opened(files, "measurements.dcm"))
        for place, (group, finding) in enumerate(zip(found, result.prediction.findings, strict=True), start=1):
            area = sum(lesion.area_px for lesion in finding.lesions)
            assert numbers(group)["Area"] == pytest.approx(area, rel=1e-5)
            (segment,) = [item for item in group.ContentSequence if meaning(item) == "Referenced Segmentation Frame"]
            assert segment.ReferencedSOPSequence[0].ReferencedSegmentNumber == place
            assert segment.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == masks.SOPInstanceUID


def test_each_label_has_the_threshold_of_its_own_point() -> None:
    manifest = registry.manifest_of("retina_lesions")
    assert manifest is not None
    found = groups(opened(objects("retina_lesions", is_identified=False), "measurements.dcm"))
    told = [numbers(group)["Threshold of the operating point"] for group in found]
    assert told == pytest.approx([point.threshold for point in manifest.operating_points])


def test_the_image_is_what_was_shown() -> None:
    for task in ("hip_osteoporosis", "retina_lesions"):
        made = opened(objects(task, is_identified=False), "image.dcm")
        assert made.SOPClassUID == SecondaryCaptureImageStorage
        np.testing.assert_array_equal(made.pixel_array, to_bytes(to_display(result_of(task).study.frame)))


def test_objects_say_what_they_are_worth() -> None:
    files = objects("hip_osteoporosis", is_identified=True)
    for name in files:
        assert opened(files, name).SeriesDescription.startswith("PHANTOM, DEMONSTRATION: ")
    overlay = opened(files, "overlay.dcm")
    assert DEMO_STATEMENT in overlay.ImageComments
    assert DEMO_STATEMENT in overlay.DerivationDescription
    strip = overlay.pixel_array[-40:]
    assert set(np.unique(strip)) >= {0, 255}  # white letters on black below the picture
    comments = [item.TextValue for item in items(opened(files, "measurements.dcm")) if meaning(item) == "Comment"]
    assert any(DEMO_STATEMENT in comment for comment in comments)
    assert DEMO_STATEMENT in opened(files, "report.dcm").DocumentTitle
    real = opened(objects("retina_lesions", is_identified=False), "overlay.dcm")
    assert "DEMONSTRATION" not in real.SeriesDescription


def test_the_printed_report_comes_out_as_it_went_in() -> None:
    result, manifest = result_of("hip_osteoporosis"), registry.manifest_of("hip_osteoporosis")
    assert manifest is not None
    report = case_pdf(result, manifest, display=to_display(result.study.frame), made_at=MADE, language="ko")
    made = opened(shared_reader().derive(plan_of(result, report)), "report.dcm")
    assert made.SOPClassUID == EncapsulatedPDFStorage
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == report
    assert len(PdfReader(io.BytesIO(made.EncapsulatedDocument)).pages) == 1


# --- other sources ---------------------------------------------------------------------------------------------------


def test_a_picture_without_header_gets_a_source_of_its_own(tmp_path: Path) -> None:
    part = registry.part("retina_lesions", "phantom")
    buffer = io.BytesIO()
    Image.fromarray(part.make_sample(next(iter(part.SAMPLES))).stored.astype(np.uint8)).save(buffer, "PNG")
    result = screened("retina_lesions", buffer.getvalue())
    files = shared_reader().derive(plan_of(result))
    if VALIDATOR:
        assert [line for data in files.values() for line in errors(data, tmp_path)] == []
    masks = opened(files, "segmentation.dcm")
    assert masks.SOPClassUID == SegmentationStorage
    image = opened(files, "image.dcm")
    assert (
        masks.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    )
    assert image.PatientID.startswith("FILE-")
    assert image.PatientName == ""
    assert image.SeriesDescription == "Research use: image as displayed"


def test_of_two_views_the_screened_one_is_referred_to() -> None:
    file = pydicom.dcmread(io.BytesIO(source("knee_djd")))
    assert file.NumberOfFrames == 2
    file.PixelData = file.pixel_array[::-1].tobytes()
    file.DetectorInformationSequence = list(file.DetectorInformationSequence)[::-1]
    turned = saved(file)
    for data, frame in ((source("knee_djd"), 1), (turned, 2)):
        made = shared_reader().derive(plan_of(screened("knee_djd", data)), data)
        told = {
            item.ReferencedSOPSequence[0].ReferencedFrameNumber
            for item in items(opened(made, "measurements.dcm"))
            if "ReferencedSOPSequence" in item
        }
        assert told == {frame}


def test_a_plan_survives_its_way_to_the_reader() -> None:
    plan = plan_of(result_of("retina_lesions"))
    header, body = pack_plan(plan)
    back, rest = unpack_plan(header, body + b"source")
    assert rest == b"source"
    assert back.digest == plan.digest
    assert back.reported == plan.reported
    assert (back.document, back.made_at) == (plan.document, plan.made_at)


def test_an_archive_of_the_same_files_is_the_same() -> None:
    files = {"a.dcm": b"1", "b.dcm": b"2"}
    assert zip_files(files) == zip_files(files)
    with zipfile.ZipFile(io.BytesIO(zip_files(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


# --- on the command line ---------------------------------------------------------------------------------------------


def test_the_command_writes_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(source("hip_osteoporosis"))
    command = ["screen", "hip_osteoporosis", str(film), "--confirm", "--dicom-out"]
    assert main([*command, str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("film_image.dcm", "film_measurements.dcm", "film_overlay.dcm", "film_report.dcm")
    ]
    assert not any(b"PLANTED" in path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert main([*command, str(tmp_path / "own"), "--identified"]) == 0
    assert pydicom.dcmread(tmp_path / "own" / "film_overlay.dcm").PatientID == "PLANTED-ID"
    assert "PLANTED" not in capsys.readouterr().out


def test_the_command_refuses_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "film.png"
    Image.fromarray(np.uint8(np.random.default_rng(0).integers(0, 255, (440, 380)))).save(picture)
    command = ["screen", "hip_osteoporosis", str(picture)]
    assert main([*command, "--identified"]) == 2
    assert main([*command, "--identified", "--dicom-out", str(tmp_path / "out")]) == 2
    assert main([*command, "--dicom-out", str(tmp_path / "out")]) == 0
    assert "no DICOM objects" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
