"""The report of a case: one page, text to select in three languages, hashes and statement, no word of the header."""

import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pypdf import PdfReader
from streamlit.testing.v1 import AppTest

from core import registry, screening
from core.cli.main import main
from core.cli.screen_files import report_path
from core.errors import UsageError
from core.figures.printed.style import to_png
from core.i18n import LANGUAGES, Translator
from core.imaging.display import to_bytes, to_display
from core.io.phantom_file import write_dicom
from core.io.reader import shared_reader
from core.manifest import DEMO_STATEMENT, SYNTHETIC_STATEMENT
from core.records import Check, Gate, ScreeningResult
from core.reports import case_pdf as module
from core.reports.case_pdf import case_pdf
from pages.parts.picture import Look, objects_to_save, report_to_save

MADE = datetime(2026, 11, 29, 20, 15, tzinfo=UTC)
PLANTED = {
    "PatientName": "PLANTED^NAME",
    "PatientID": "PLANTED-ID",
    "PatientBirthDate": "19440203",
    "AccessionNumber": "PLANTEDACC",
    "StudyDate": "20250607",
    "InstitutionName": "PLANTED HOSPITAL",
    "StudyDescription": "PLANTED STUDY",
    "ProtocolName": "PLANTED PROTOCOL",
    "ViewPosition": "PLANTEDVIEW",
}


def sample(task: str, place: int = 0) -> bytes:
    part = registry.part(task, "phantom")
    return write_dicom(part.make_sample(list(part.SAMPLES)[place]))


@cache
def result_of(task: str, place: int = 0) -> ScreeningResult:
    return screening.screen(shared_reader().read(sample(task, place)), screening.load(task))


def report(result: ScreeningResult, language: str = "en", **options: bool) -> bytes:
    manifest = registry.manifest_of(result.provenance.task)
    assert manifest is not None
    display = to_display(result.study.frame)
    return case_pdf(result, manifest, display=display, made_at=MADE, language=language, **options)


def text_of(data: bytes) -> str:
    (page,) = PdfReader(io.BytesIO(data)).pages
    assert [round(float(side)) for side in page.mediabox[2:]] == [595, 842]
    return re.sub(r"\s+", "", page.extract_text())


def flat(text: str) -> str:
    return re.sub(r"\s+", "", text)


# Every task, and of one each language: a page takes a second.
PAGES = [*zip(registry.tasks(), [*LANGUAGES] * 2, strict=False), *(("chest_lesions", own) for own in LANGUAGES)]


@pytest.mark.parametrize(("task", "language"), dict.fromkeys(PAGES))
def test_one_page_says_what_was_found_and_where_it_comes_from(task: str, language: str) -> None:
    result, t = result_of(task), Translator(language)
    text = text_of(report(result, language, has_patient=True))
    assert result.prediction is not None
    said = ["2026-11-2920:15UTC", result.study.file_sha256, result.provenance.weights_sha256]
    said += [t("Case report"), t(registry.task(task).title), t("research use, not a medical device")]
    said += [t("PHANTOM: a simulated image, no patient")]
    said += [t(check.message, **check.values) for check in result.gate.checks]
    kind, names = registry.task(task).kind, {label.id: t(label.name) for label in registry.task(task).labels}
    for finding in result.prediction.findings:
        if 0.005 <= finding.probability < 0.995:
            said.append(f"{finding.probability:.2f}")
        if finding.positive:
            said.append(names[finding.label if finding.grade is None else list(names)[finding.grade]])
        if kind == "detector" and finding.positive:
            said.append(" ".join(str(round(value)) for value in finding.box_xyxy or ()))
    for words in said:
        assert flat(words) in text, words
    statement = result.provenance.statement
    assert statement in (DEMO_STATEMENT, SYNTHETIC_STATEMENT, "")
    assert all((flat(t(own)) in text) == (own == statement) for own in (DEMO_STATEMENT, SYNTHETIC_STATEMENT))
    assert "\u25a1" not in text  # a letter that the fonts lack


def test_both_knees_have_their_own_answer() -> None:
    result = result_of("knee_djd", 1)
    assert result.prediction is not None
    text = text_of(report(result))
    labels = registry.task("knee_djd").labels
    for side, finding in zip(("Right", "Left"), result.prediction.findings, strict=True):
        assert finding.grade is not None
        assert f"{side}:{labels[finding.grade].name}" in text


def test_areas_of_masks_are_given() -> None:
    result = result_of("retina_lesions")
    assert result.prediction is not None
    text = text_of(report(result))
    for finding in result.prediction.findings:
        area = sum(lesion.area_px for lesion in finding.lesions)
        assert f"Places:{len(finding.lesions)}.Area:{area:,.0f}pixels" in text


def test_the_same_input_gives_the_same_bytes_and_the_hour_is_utc() -> None:
    result = result_of("hip_osteoporosis")
    first, again = report(result), report(result)
    assert first == again
    assert set(PdfReader(io.BytesIO(first)).metadata or {}) == {"/Title"}
    manifest = registry.manifest_of("hip_osteoporosis")
    assert manifest is not None
    there = MADE.astimezone(timezone(timedelta(hours=8)))
    display = to_display(result.study.frame)
    assert case_pdf(result, manifest, display=display, made_at=there, language="en") == first


def planted(task: str) -> bytes:
    file = pydicom.dcmread(io.BytesIO(sample(task)))
    for keyword, value in PLANTED.items():
        setattr(file, keyword, value)
    buffer = io.BytesIO()
    file.save_as(buffer)
    return buffer.getvalue()


def test_nothing_of_the_header_that_names_a_person_is_printed() -> None:
    study = shared_reader().read(planted("hip_osteoporosis"))
    result = screening.screen(study, screening.load("hip_osteoporosis"), confirmed=True)
    assert study.pseudonym is not None
    for has_patient in (False, True):
        data = report(result, has_patient=has_patient)
        text = text_of(data)
        assert "PLANTED" not in text
        assert b"PLANTED" not in data
        assert not any(date in text for date in ("1944", "2025"))
        assert (study.pseudonym in text) == has_patient
        assert (f"{study.age_years:.0f}years" in text) == has_patient
        assert (f"Age{study.age_years:.0f}" in text) == has_patient
        assert ("Agewithin50to100years" in text) != has_patient


def test_without_a_score_there_is_neither_score_nor_overlay() -> None:
    result = result_of("hip_osteoporosis")
    question = Check("side_unknown", "confirm", "Side not in the header: taken as left")
    unanswered = replace(result, gate=Gate((question,)))
    text = text_of(report(unanswered))
    assert "Scoreandoverlayarewithheld" in text
    assert "Score0" not in text
    assert "Operatingpoint,with" not in text
    refused = replace(result, gate=Gate((replace(question, outcome="refused"),)), prediction=None, explanation=None)
    assert "Notexamined" in text_of(report(refused))
    confirmed = replace(unanswered, gate=Gate((question,), confirmed=True))
    assert "Questions,confirmedbythereader" in text_of(report(confirmed))


def test_long_words_stay_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ink in the margins, however much there is to say."""
    long = "臺北市立聯合醫院 민감도 very long words $x^2$ " * 12
    pages: list[Figure] = []
    monkeypatch.setattr(module, "to_pdf", lambda made, title: pages.extend(made) or b"")
    for task in ("chest_lesions", "knee_djd"):
        result, manifest = result_of(task), registry.manifest_of(task)
        assert manifest is not None
        checks = tuple(Check(f"c{n}", "confirm", long) for n in range(30))
        own = manifest.model_copy(update={"intended_use": long, "limitations": (long,) * 9, "version": long})
        told = replace(result, gate=Gate(checks, confirmed=True), provenance=replace(result.provenance, statement=long))
        display = to_display(result.study.frame)
        case_pdf(told, own, display=display, made_at=MADE, language="ko", has_patient=True)
    for page in pages:
        canvas = np.asarray(Image.open(io.BytesIO(to_png(page))).convert("L"))
        edge = 90  # 0.45 inches
        for margin in (canvas[:edge], canvas[-edge:], canvas[:, :edge], canvas[:, -edge:]):
            assert margin.min() > 250
        places = [artist.get_position() for artist in page.texts]
        assert min(y for _, y in places) > 0.03


def test_the_command_writes_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film, reports = tmp_path / "film.dcm", tmp_path / "reports"
    film.write_bytes(planted("hip_osteoporosis"))
    options = ["--confirm", "--json", "--report", str(reports), "--language", "zh_Hant"]
    assert main(["screen", "hip_osteoporosis", str(film), *options]) == 0
    record = json.loads(capsys.readouterr().out)
    data = (reports / "film_report.pdf").read_bytes()
    assert record["provenance"]["weights_sha256"] in text_of(data)
    assert flat(Translator("zh_Hant")("Hip osteoporosis (X-ray)")) in text_of(data)
    assert b"PLANTED" not in data


def test_one_name_is_for_one_image() -> None:
    one, two = [Path("a.png")], [Path("a.png"), Path("b.png")]
    assert report_path(Path("out.pdf"), one, "a") == Path("out.pdf")
    assert report_path(Path("out"), two, "b") == Path("out/b_report.pdf")
    with pytest.raises(UsageError, match="takes one image"):
        report_path(Path("out.pdf"), two, "a")


# --- on the page -----------------------------------------------------------------------------------------------------


def _exports() -> None:
    import streamlit as st

    from core import registry
    from pages.parts.exports import show_case_exports
    from pages.parts.picture import Look

    manifest = registry.manifest_of("hip_osteoporosis")
    assert manifest is not None
    show_case_exports(manifest, st.session_state["result"], Look(), "stem")


def _names(app: AppTest) -> list[str]:
    return [button.proto.id.rsplit("-", 1)[-1] for button in app.get("download_button")]


def test_the_page_offers_both_and_asks_before_it_names_a_patient() -> None:
    app = AppTest.from_function(_exports, default_timeout=60)
    app.session_state["language"] = "en"
    app.session_state["result"] = result_of("hip_osteoporosis")
    app.run()
    assert not app.exception
    assert _names(app) == ["hip_osteoporosis.save.report", "hip_osteoporosis.save.dicom"]
    assert not any(button.proto.disabled for button in app.get("download_button"))
    assert not app.checkbox(key="hip_osteoporosis.report.patient").value


def test_the_page_offers_no_objects_of_an_image_with_burned_in_text() -> None:
    result = result_of("hip_osteoporosis")
    study = replace(result.study, tags={**result.study.tags, "BurnedInAnnotation": "YES"})
    app = AppTest.from_function(_exports, default_timeout=60)
    app.session_state["language"] = "en"
    app.session_state["result"] = replace(result, study=study)
    app.run()
    assert [button.proto.disabled for button in app.get("download_button")] == [False, True]


def test_what_the_page_saves_is_what_was_shown() -> None:
    result, manifest = result_of("hip_osteoporosis"), registry.manifest_of("hip_osteoporosis")
    assert manifest is not None
    look = Look(inverted=True)
    with zipfile.ZipFile(io.BytesIO(objects_to_save(result, manifest, look, "ko"))) as archive:
        files = {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    assert set(files) == {"image.dcm", "overlay.dcm", "measurements.dcm", "report.dcm"}
    np.testing.assert_array_equal(files["image.dcm"].pixel_array, to_bytes(1 - to_display(result.study.frame)))
    saved = report_to_save(result, manifest, look, "en", has_patient=True)
    assert str(result.study.pseudonym) in text_of(saved)
    assert str(result.study.pseudonym) not in text_of(files["report.dcm"].EncapsulatedDocument)
