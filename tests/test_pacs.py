"""The round trip with a real PACS: search, screen, store, find again and read back with libraries that are not ours."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from app_pages import SLOW_S, says, words
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.uid import EncapsulatedPDFStorage, generate_uid
from streamlit.testing.v1 import AppTest

from core import registry
from core.cli.main import main
from core.errors import PacsError, UsageError
from core.io.phantom_file import write_dicom
from core.io.progress import Progress
from core.io.reader import KEY, shared_reader
from core.manifest import DEMO_STATEMENT
from core.services import audit
from core.services.history import open_history
from core.services.pacs import cohort
from core.services.pacs.client import Pacs
from core.services.pacs.cohort import IMAGES, TABLE, fetch_cohort
from core.services.pacs.cohorts import Cohorts
from core.services.pacs.matches import Query
from core.services.pacs.settings import PASSWORD, URL, USER, PacsSettings
from pages.parts import access
from pages.parts import cohort as cohort_part
from pages.parts import pacs as page_part
from pages.parts.settings import Place, Settings
from tools.servers import Orthanc

ROOT = Path(__file__).resolve().parents[1]
HIP, CT, KNEE, RETINA = "hip_osteoporosis", "ct_osteoporosis", "knee_djd", "retina_lesions"
NAME = "Planted^Name"


@pytest.fixture
def pacs(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pacs]:
    """Its client; commands find the same PACS."""
    for name, value in environment(orthanc).items():
        monkeypatch.setenv(name, value)
    return Pacs(PacsSettings(orthanc.url, orthanc.user, orthanc.password))


def environment(orthanc: Orthanc) -> dict[str, str]:
    """Of a command that shall find this PACS."""
    return {URL: orthanc.url, USER: orthanc.user, PASSWORD: orthanc.password, KEY: "key of the tests"}


def other_side(orthanc: Orthanc) -> Any:
    """A client that others wrote."""
    return DICOMwebClient(orthanc.url, session=create_session_from_user_pass(orthanc.user, orthanc.password))


def patient_file(task: str, place: int = 0, accession: str = "") -> pydicom.Dataset:
    """A phantom in the study of a patient of its own."""
    part = registry.part(task, "phantom")
    file = pydicom.dcmread(io.BytesIO(write_dicom(part.make_sample(next(iter(part.SAMPLES))))))
    file.PatientName, file.PatientID = NAME, f"ID-{place}"
    file.AccessionNumber, file.StudyDate, file.StudyTime = accession or f"ACC{place}", "20250102", "101500"
    file.PatientBirthDate, file.StudyID, file.ReferringPhysicianName = "19440203", "S1", ""
    file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID = (generate_uid(None) for _ in range(3))
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    return file


def small_file(place: int) -> pydicom.Dataset:
    """A radiograph of a few pixels, each image another one."""
    file = patient_file(HIP, place)
    file.Rows = file.Columns = 32
    file.PixelData = np.full((32, 32), place, np.uint16).tobytes()
    return file


def bytes_of(file: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- round trip ------------------------------------------------------------------------------------------------------


def test_results_are_found_again_and_read_back(
    orthanc: Orthanc, pacs: Pacs, capsys: pytest.CaptureFixture[str]
) -> None:
    peer, source = other_side(orthanc), patient_file(RETINA)
    peer.store_instances([source, patient_file(HIP, 1)])
    command = ["pacs", "screen", RETINA, "--accession", "ACC0", "--store"]
    assert main(command) == 0
    (record,) = records(capsys)
    assert record["stored"] == 4
    assert NAME not in json.dumps(record)

    found = peer.search_for_instances(source.StudyInstanceUID, fields=["00080060"])
    kinds = sorted(item["00080060"]["Value"][0] for item in found)
    assert kinds == sorted([source.Modality, "OT", "SEG", "SR", "DOC"])
    objects = {
        own.Modality: own
        for own in peer.retrieve_study(source.StudyInstanceUID)
        if own.SOPInstanceUID != source.SOPInstanceUID
    }
    for own in objects.values():
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "AccessionNumber",
            "StudyInstanceUID",
            "StudyDate",
        ):
            assert own.get(keyword) == source.get(keyword), keyword
        assert "PatientIdentityRemoved" not in own
        assert own.SeriesDescription.startswith("PHANTOM")
    masks = highdicom.seg.Segmentation.from_dataset(objects["SEG"])
    assert {segment.TrackingID for segment in masks.SegmentSequence} == {
        label.id for label in registry.task(RETINA).labels
    }
    assert (masks.Rows, masks.Columns) == (source.Rows, source.Columns)
    assert masks.get_source_image_uids()[0][2] == source.SOPInstanceUID
    scores = objects["SR"].ContentSequence
    assert "score" in str(scores).lower()
    assert objects["DOC"].SOPClassUID == EncapsulatedPDFStorage
    assert objects["DOC"].EncapsulatedDocument.startswith(b"%PDF")

    assert main(command) == 0, "what this program stored is no image to screen"
    assert len(records(capsys)) == 1


def test_only_what_was_asked_for_is_found(orthanc: Orthanc, pacs: Pacs, capsys: pytest.CaptureFixture[str]) -> None:
    other_side(orthanc).store_instances([patient_file(HIP, 1), patient_file(HIP, 2), patient_file(KNEE, 3)])
    assert [own.patient_id for own in pacs.studies(Query(patient_id="ID-2"), 10)] == ["ID-2"]
    assert pacs.studies(Query(accession="ACC"), 10) == []
    with pytest.raises(PacsError, match="more than 2"):
        pacs.studies(Query(first=date.fromisoformat("2025-01-02")), 2)
    assert (
        len(
            pacs.studies(
                Query(
                    first=date.fromisoformat("2025-01-02"), last=date.fromisoformat("2025-01-02"), modalities=("NM",)
                ),
                5,
            )
        )
        == 1
    )
    assert pacs.studies(Query(first=date.fromisoformat("2025-01-03")), 5) == []
    assert main(["pacs", "search", "--patient-id", "ID-2", "--json"]) == 0
    assert [found["accession"] for found in records(capsys)] == ["ACC2"]
    assert main(["pacs", "ping"]) == 0


def test_the_file_comes_as_it_went_in(orthanc: Orthanc, pacs: Pacs) -> None:
    file = patient_file(KNEE)
    other_side(orthanc).store_instances([file])
    (image,) = pacs.images(Query(accession="ACC0"), 5)
    content = pacs.fetch(image)
    assert pydicom.dcmread(io.BytesIO(content)).PixelData == file.PixelData
    study, same = pacs.read(image)
    assert same == content
    assert [study.pseudonym] == shared_reader().hash_keys(["ID-0"], "patient")


def test_wrong_credentials_are_named_and_never_shown(orthanc: Orthanc) -> None:
    with pytest.raises(PacsError, match="HTTP 401") as caught:
        Pacs(PacsSettings(orthanc.url, orthanc.user, "WRONG-PASSWORD")).ping()
    assert "WRONG-PASSWORD" not in str(caught.value)


def test_storing_needs_a_key_and_a_pacs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(URL, "off")
    assert main(["pacs", "ping"]) == 2
    assert "no PACS is named" in capsys.readouterr().err
    monkeypatch.setenv(URL, "http://127.0.0.1:1")
    monkeypatch.delenv(KEY, raising=False)
    assert main(["pacs", "screen", HIP, "--accession", "A", "--store"]) == 2
    assert KEY in capsys.readouterr().err


# --- killed in the middle --------------------------------------------------------------------------------------------


def test_a_killed_pacs_costs_no_image_and_doubles_none(
    orthanc: Orthanc, pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, whole = 30, {}
    for place in range(n):
        file = small_file(place)
        other_side(orthanc).store_instances([file])
        whole[file.PatientID] = file.PixelData
    queries = {place: Query(accession=f"ACC{place}") for place in range(n)}
    fetched: list[str] = []

    def count(path: Path, content: bytes) -> None:
        write(path, content)
        if path.parent.name == IMAGES:
            fetched.append(path.name)
            if len(fetched) == n // 2:
                orthanc.kill()

    write = cohort.write_atomically
    monkeypatch.setattr(cohort, "write_atomically", count)
    started = time.monotonic()
    with Progress(None, "") as progress, pytest.raises(PacsError, match="no connection"):
        fetch_cohort(pacs, queries, tmp_path, progress)
    assert time.monotonic() - started < 60
    assert len(list((tmp_path / IMAGES).iterdir())) == n // 2
    orthanc.start()
    with Progress(None, "") as progress:
        assert fetch_cohort(pacs, queries, tmp_path, progress) == {"fetched": n}
    assert len(fetched) == len(set(fetched)) == n, "each was fetched once"
    found = [pydicom.dcmread(path) for path in (tmp_path / IMAGES).iterdir()]
    assert {file.PatientID: file.PixelData for file in found} == whole, "none lost, none mixed"
    assert len(found) == n, "none doubled"


def test_a_killed_command_that_stores_goes_on_and_doubles_nothing(orthanc: Orthanc, tmp_path: Path) -> None:
    n, peer = 2, other_side(orthanc)
    peer.store_instances([patient_file(HIP, place, accession="SAME") for place in range(n)])
    command = [sys.executable, "-m", "core", "pacs", "screen", HIP, "--accession", "SAME", "--store"]
    command += ["--journal", str(tmp_path / "journal.jsonl")]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment(orthanc)}, stdout=subprocess.PIPE, text=True
        )

    first = start()
    assert first.stdout is not None
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    again, _ = start().communicate(timeout=120)
    answered = [json.loads(line) for line in again.splitlines()]
    assert [record["stored"] for record in answered] == [3] * n
    assert all(record["provenance"]["statement"] == DEMO_STATEMENT for record in answered)
    for study in peer.search_for_studies():
        assert len(peer.search_for_instances(study["0020000D"]["Value"][0])) == 4, "one image and three objects"


def test_a_result_that_was_stored_but_not_noted_is_the_same_object(
    orthanc: Orthanc, pacs: Pacs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer, journal = other_side(orthanc), tmp_path / "journal.jsonl"
    peer.store_instances([patient_file(HIP)])
    command = ["pacs", "screen", HIP, "--accession", "ACC0", "--store", "--journal", str(journal)]
    assert main(command) == 0
    first = {item["00080018"]["Value"][0] for item in peer.search_for_instances()}
    journal.write_bytes(
        b"".join(journal.read_bytes().splitlines(keepends=True)[:-1])
    )  # killed before the answer was kept
    assert main(command) == 0
    assert {item["00080018"]["Value"][0] for item in peer.search_for_instances()} == first
    assert len(records(capsys)) == 2


# --- cohort ----------------------------------------------------------------------------------------------------------


def test_a_list_of_accession_numbers_becomes_a_folder(
    orthanc: Orthanc, pacs: Pacs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_side(orthanc).store_instances([patient_file(HIP, 1), patient_file(HIP, 2), patient_file(KNEE, 3)])
    numbers, out = tmp_path / "numbers.txt", tmp_path / "cohort"
    numbers.write_text("ACC2\n\nMISSING\nACC1\nACC3\nACC2\n")
    assert main(["pacs", "cohort", HIP, "--accessions", str(numbers), "--out", str(out)]) == 1
    assert capsys.readouterr().out == "2 fetched, 2 no such study\n"
    with (out / TABLE).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["request"], row["outcome"]) for row in table] == [
        *(("1", "fetched"), ("3", "no such study")),
        *(("4", "fetched"), ("5", "no such study")),
    ]
    assert [pydicom.dcmread(out / row["file"]).AccessionNumber for row in table if row["file"]] == ["ACC2", "ACC1"]
    told = (out / TABLE).read_text()
    assert not any(word in told for word in ("ACC1", "ID-1", NAME))
    if os.name == "posix":
        assert (out / IMAGES).stat().st_mode & 0o077 == 0


def test_what_cannot_be_read_is_listed_and_not_written(orthanc: Orthanc, pacs: Pacs, tmp_path: Path) -> None:
    liar = small_file(1)
    liar.Rows = 4096  # Orthanc keeps it as it is
    other_side(orthanc).store_instances([liar, small_file(2)])
    queries = {1: Query(patient_id="ID-1"), 2: Query(patient_id="ID-2")}
    with Progress(None, "") as progress:
        counts = fetch_cohort(pacs, queries, tmp_path, progress)
    assert counts["fetched"] == 1
    assert counts.total() == 2
    assert len(list((tmp_path / IMAGES).iterdir())) == 1


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def offered(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> Orthanc:
    """Pages offer this PACS, and to store in it."""
    settings = PacsSettings(orthanc.url, orthanc.user, orthanc.password, can_store=True)
    monkeypatch.setattr(page_part, "pacs_settings", lambda: settings)
    return orthanc


def _hip() -> None:
    from pages.parts.hip import show_hip_page

    show_hip_page()


def _ct() -> None:
    from pages.parts.ct import show_ct_page

    show_ct_page()


def searched(page: Callable[[], None], task: str, accession: str) -> AppTest:
    """The page after a search; without the router, which would take the click away."""
    app = AppTest.from_function(page, default_timeout=SLOW_S)
    app.session_state["language"] = "en"
    app.run()
    app.segmented_control(key=f"{task}.source").set_value("pacs").run()
    app.text_input(key=f"{task}.archive.number").set_value(accession)
    app.button(key=f"{task}.archive.search").click().run()
    assert not app.exception
    return app


def test_a_page_finds_an_image_and_stores_its_answer_once(offered: Orthanc) -> None:
    peer, source = other_side(offered), patient_file(HIP)
    peer.store_instances([source, patient_file(HIP, 1)])
    app = searched(_hip, HIP, "ACC0")
    assert NAME in app.selectbox(key=f"{HIP}.pacs.study").options[0]
    assert NAME not in words(app), "a name is there to choose by, and nowhere else"
    app.text_input(key=f"{HIP}.archive.number").set_value("")
    app.date_input(key=f"{HIP}.archive.day").set_value(date(2025, 1, 2))
    app.button(key=f"{HIP}.archive.search").click().run()
    assert len(app.selectbox(key=f"{HIP}.pacs.study").options) == 2
    app.text_input(key=f"{HIP}.archive.number").set_value("ACC0")
    app.button(key=f"{HIP}.archive.search").click().run()
    store = next(button for button in app.button if str(button.key).startswith(f"{HIP}.store."))
    store.click().run()
    assert not app.exception
    assert [note.value for note in app.success] == ["Stored in the study, objects: 3."]
    told = [entry for entry in audit.entries(open_history().store) if entry.action == "export"]
    assert told[-1].object.startswith("PACS, file ")
    store.click().run()
    assert len(peer.search_for_instances(source.StudyInstanceUID)) == 4
    app.segmented_control(key=f"{HIP}.source").set_value("sample").run()
    assert f"{HIP}.pacs.studies" not in app.session_state, "names are gone with the search"


def test_who_may_only_look_is_offered_no_pacs(offered: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_part.has_pacs()
    monkeypatch.setattr(access, "_role", lambda: "viewer")
    assert not page_part.has_pacs()
    monkeypatch.setattr(access, "_role", lambda: "evaluator")
    assert page_part.has_pacs()


def test_a_page_reads_a_whole_series(offered: Orthanc) -> None:
    phantom = registry.part(CT, "phantom").make_phantom
    rng = np.random.default_rng(3)
    first = phantom(rng)
    slices = [
        pydicom.dcmread(io.BytesIO(write_dicom(own))) for own in (first, *(phantom(rng, like=first) for _ in "ab"))
    ]
    for number, file in enumerate(slices, start=1):
        file.PatientID, file.AccessionNumber, file.InstanceNumber = "ID-7", "ACC7", str(number)
        file.StudyInstanceUID, file.SeriesInstanceUID = slices[0].StudyInstanceUID, slices[0].SeriesInstanceUID
    other_side(offered).store_instances(slices)
    app = searched(_ct, CT, "ACC7")
    assert says(app, "Slices in the series: {n}.", n=3)
    assert any(str(button.key).startswith(f"{CT}.store.") for button in app.button)


def test_a_page_says_that_nothing_was_found_or_that_the_pacs_is_down(offered: Orthanc) -> None:
    app = searched(_hip, HIP, "")
    assert says(app, "Enter a patient id, an accession number or a day.")
    app.text_input(key=f"{HIP}.archive.number").set_value("NOBODY")
    app.button(key=f"{HIP}.archive.search").click().run()
    assert says(app, "No such study in the PACS.")
    offered.kill()
    app.text_input(key=f"{HIP}.archive.number").set_value("ACC0")
    app.button(key=f"{HIP}.archive.search").click().run()
    assert not app.exception
    assert "E_PACS · no connection" in words(app)
    app.segmented_control(key=f"{HIP}.source").set_value("sample").run()
    assert "E_PACS" not in words(app), "samples work without it"


def test_no_page_offers_what_no_installation_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "off")
    app = AppTest.from_function(_hip, default_timeout=SLOW_S).run()
    assert app.segmented_control(key=f"{HIP}.source").options == ["Sample", "Upload"]


def _cohort() -> None:
    from pages.parts.cohort import show_cohort

    show_cohort("hip_osteoporosis")


def test_a_page_fetches_a_cohort_that_the_evaluation_takes(
    orthanc: Orthanc, pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Settings(evaluation=Place(tmp_path / "store", tmp_path / "root"))
    monkeypatch.setattr(cohort_part, "settings", lambda: own)
    cohort_part.cohorts.clear()
    other_side(orthanc).store_instances([patient_file(HIP, place) for place in range(4)])
    app = AppTest.from_function(_cohort, default_timeout=SLOW_S)
    app.session_state["language"] = "en"
    app.run()
    app.text_area(key="cohort.numbers").set_value("ACC0\nACC1\nACC2\nACC3\nMISSING")
    app.text_input(key="cohort.name").set_value("hip_2026").run()
    app.button(key="cohort.create").click().run()
    assert not app.exception
    store = cohort_part.cohorts(tmp_path / "store", tmp_path / "root")
    cohort_job = store.find("".join(app.query_params["cohort"]))
    assert cohort_job is not None
    limit = time.monotonic() + 60
    while store.stage(cohort_job) in ("planned", "running") and time.monotonic() < limit:
        time.sleep(0.2)
    app.run()
    assert store.stage(cohort_job) == "done"
    assert [note.value for note in app.success] == ["Images in the folder `hip_2026`: 4. Choose it above."]
    assert says(app, "Requests without a study or an image of this kind: {n}.", n=1)
    log = (cohort_job.folder / "log.txt").read_text()
    assert not any(word in log for word in (NAME, "ID-0", "ACC0", orthanc.password))

    labels = tmp_path / "labels.csv"
    labels.write_text("accession,label\n" + "".join(f"ACC{place},{place % 2}\n" for place in range(4)))
    data = ["--data", str(cohort_job.out), "--labels", str(labels), "--out", str(tmp_path / "evaluation")]
    assert main(["evaluate", HIP, *data, "--check"]) == 0
    assert json.loads((tmp_path / "evaluation" / "check.json").read_text())["n_rows"] == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "a" * 41, "x y"])
def test_a_cohort_stays_in_its_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Cohorts(tmp_path / "store", tmp_path / "root").create(HIP, name, "ACC0")
